"""``podium top`` on a real terminal, against a real Podium with tasks that run."""

import json
import re
import signal
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from installation import Installation
from slices.cli.commands import Run, made
from terminal import Terminal

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ALTERNATE, _BACK = "\x1b[?1049h", "\x1b[?1049l"
_SHOW_CURSOR = "\x1b[?25h"
_HOME = "\x1b[H"


@pytest.fixture
def project(podium: Run) -> str:
    """The name of the test's own project, which has an agent that reports and sleeps."""
    told = json.dumps({"podium": "progress", "fraction": 0.5, "note": "half"})
    script = f"echo '{told}'; sleep 20"
    config = '{"output": "events"}'
    said = podium("agent", "add", "sleeper", "--config", config, "--", "sh", "-c", script)
    assert said.status == 0, said
    (found,) = podium("export", "-k", "project", "--json").json
    return found["name"]


@pytest.fixture
def task(podium: Run, project: str) -> Iterator[str]:
    """A task that runs."""
    task_id = made(podium("task", "create", "-a", "sleeper", "-t", "Sleeps", "--queue", "beds"))
    deadline = time.monotonic() + 30
    while podium("task", "show", task_id, "--json").json["state"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield task_id
    podium("task", "cancel", task_id)


def top(installation: Installation, *arguments: str, **environment: str) -> Terminal:
    return Terminal(
        installation.argv("top", *arguments),
        {**installation.environment, "LINES": "", "COLUMNS": "", **environment},
    )


def _from_home(seen: str) -> str:
    """What was drawn since the cursor was last sent to the first cell; nothing if it was not."""
    _, home, drawn = seen.rpartition(_HOME)
    return drawn if home else ""


def last_frame(screen: Terminal) -> list[str]:
    """The lines of the frame that is drawn last, once it is whole."""
    screen.expect_that(lambda seen: "q quit" in _from_home(seen))
    drawn = _from_home(screen.seen)
    return [_ESCAPES.sub("", each).rstrip() for each in drawn.split("\n")]


def test_what_runs_is_seen_and_the_terminal_given_back(
    installation: Installation, project: str, podium: Run, task: str
) -> None:
    screen = top(installation, "-p", project)
    screen.expect("live")
    screen.expect("Sleeps")
    screen.expect("50% half")
    screen.expect("1 running")
    frame = last_frame(screen)
    assert len(frame) <= 24
    assert all(len(line) <= 80 for line in frame), frame
    text = "\n".join(frame)
    for each in (f"project {project}", "Running 1", "Queues 1", "Workers", "beds", "sleeper"):
        assert each in text, text
    screen.forget()
    other = made(podium("task", "create", "-a", "sleeper", "-t", "Another", "--delay", "1h"))
    screen.expect("Another", seconds=10)
    screen.expect("1 pending")
    assert podium("task", "cancel", other).status == 0
    screen.forget()
    screen.type("?")
    screen.expect("the next panel")
    screen.type("?p")
    screen.expect("HELD")
    screen.forget()
    screen.type("q")
    assert screen.end() == 0
    assert screen.seen.count(_BACK) == 1
    assert _SHOW_CURSOR in screen.seen
    assert screen.left == screen.found


def test_it_fits_whatever_the_size_is(installation: Installation, project: str, task: str) -> None:
    screen = top(installation, "-p", project)
    screen.expect("Sleeps")
    assert "beds  " not in "\n".join(each for each in last_frame(screen) if "Sleeps" in each)
    for columns, lines in ((160, 50), (60, 12), (100, 30)):
        screen.forget()
        screen.resize(columns, lines)
        screen.expect("q quit")
        time.sleep(1.5)
        screen.forget()
        screen.expect("q quit")
        frame = last_frame(screen)
        assert len(frame) <= lines, frame
        widest = max(len(line) for line in frame)
        assert columns - 2 <= widest <= columns, frame
        assert ("beds" in "\n".join(f for f in frame if "Sleeps" in f)) is (columns >= 130)
    screen.type("\t")
    screen.type("\x1b[B\x1b[A")
    screen.type("\x03")
    assert screen.end() == 0
    assert screen.left == screen.found


def test_a_narrow_one_keeps_what_tells_rows_apart(
    installation: Installation, project: str, task: str
) -> None:
    screen = top(installation, "--once", COLUMNS="60")
    assert screen.end() == 0
    seen = _ESCAPES.sub("", screen.seen)
    headers = [each.strip("│ \r").split() for each in seen.splitlines() if "Agent" in each]
    assert headers[0] == ["Task", "Agent", "Project", "Runs", "for", "Progress"], seen
    assert headers[1] == ["Task", "Agent", "Project", "State", "Age"], seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back_too(
    installation: Installation, project: str, number: int
) -> None:
    screen = top(installation, "-p", project)
    screen.expect("live")
    screen.signal(number)
    screen.end()
    assert screen.seen.index(_ALTERNATE) < screen.seen.index(_BACK)
    assert screen.left == screen.found
    assert "Traceback" not in screen.seen


def test_a_held_view_stays_as_it_is(installation: Installation, project: str, podium: Run) -> None:
    screen = top(installation, "-p", project)
    screen.expect("live")
    screen.type("p")
    screen.expect("HELD")
    screen.forget()
    task = made(podium("task", "create", "-a", "sleeper", "-t", "Unseen", "--delay", "1h"))
    time.sleep(3)
    screen.forget()
    time.sleep(1.5)
    screen.expect("HELD")
    assert "Unseen" not in screen.seen
    screen.type("p")
    screen.expect("Unseen")
    screen.type("q")
    assert screen.end() == 0
    assert podium("task", "cancel", task).status == 0


def test_a_server_that_restarts_is_found_again(fresh: Installation) -> None:
    fresh.start()
    assert fresh.podium("agent", "add", "sleeper", "--", "sleep", "60").status == 0
    screen = top(fresh)
    screen.expect("live")
    assert "all projects" in screen.seen
    assert fresh.podium("down").status == 0
    screen.expect("reconnecting")
    screen.expect("No server")
    fresh.start()
    screen.forget()
    screen.expect("live")
    task = made(fresh.podium("task", "create", "-a", "sleeper", "-t", "Afterwards"))
    screen.expect("Afterwards", seconds=15)
    assert fresh.podium("task", "cancel", task).status == 0
    screen.type("q")
    assert screen.end() == 0
    assert screen.left == screen.found


def test_what_a_token_may_not_see_is_told(
    installation: Installation, project: str, task: str
) -> None:
    scopes = ("--scope", "tasks:read", "--scope", "queues:read")
    token = installation.podium("token", "create", "t", *scopes, "-p", project, "--json").json
    url = installation.podium("status", "--json").json["url"]
    screen = top(installation, PODIUM_URL=url, PODIUM_TOKEN=token["token"])
    screen.expect("timed")
    screen.expect("This token may not see workers.")
    screen.expect("Sleeps")
    screen.type("q")
    assert screen.end() == 0
    assert screen.left == screen.found
    token = installation.podium("token", "create", "t", *scopes[:2], "--json").json
    screen = top(installation, PODIUM_URL=url, PODIUM_TOKEN=token["token"])
    assert screen.end() == 4
    assert "This needs the scope queues:read." in screen.seen.split(_BACK)[-1]
    assert screen.left == screen.found


def test_it_is_printed_once_as_text_or_json(
    installation: Installation, podium: Run, project: str, task: str
) -> None:
    said = installation.podium("top", "--once", "-p", project)
    assert said.status == 0, said
    assert "\x1b" not in said.out
    for each in ("Sleeps", "Running 1", "beds", "1 running", "Workers"):
        assert each in said.out, said.out
    told = installation.podium("top", "--json", "-p", project, "--queue", "beds").json
    assert [each["id"] for each in told["running"]] == [task]
    assert [each["name"] for each in told["queues"]] == ["beds"]
    assert installation.podium("top", "--json", "--queue", f"n-{uuid4().hex}").json["newest"] == []
    everywhere = installation.podium("top", "--json").json
    assert everywhere["project"] is None
    assert task in [each["id"] for each in everywhere["running"]]


def test_without_a_terminal_it_says_what_to_do(installation: Installation, podium: Run) -> None:
    said = podium("top")
    assert (said.status, said.out) == (2, "")
    assert "Give --once or --json." in said.err
    nobody = installation.podium("top", "-p", "nowhere", "--once")
    assert nobody.status == 4
    screen = top(installation, "-p", "nowhere")
    assert screen.end() == 4
    assert "There is no project 'nowhere'." in screen.seen.split(_BACK)[-1]
