"""What is live, coloured and asked for on a terminal."""

import re
from pathlib import Path
from typing import Any

import pytest

from installation import Installation
from terminal import Terminal

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def slow(installation: Installation) -> str:
    """An agent that takes eight seconds, and its project."""
    for arguments in (
        ["project", "create", "terminal"],
        [
            "agent",
            "add",
            "slow",
            "-p",
            "terminal",
            "--",
            "sh",
            "-c",
            "echo begun; sleep 8; echo done",
        ],
    ):
        assert installation.podium(*arguments).status in {0, 6}
    return "slow"


def terminal(installation: Installation, *arguments: str, **environment: Any) -> Terminal:
    return Terminal(
        installation.argv(*arguments),
        {**installation.environment, "PODIUM_PROJECT": "terminal", **environment},
    )


def tasks(installation: Installation) -> list[Any]:
    return installation.podium("task", "list", "-p", "terminal", "--json").json


def test_ctrl_c_asks_whether_to_cancel(installation: Installation, slow: str) -> None:
    screen = terminal(installation, "ask", "x", "-a", slow)
    screen.expect("begun")
    screen.type("\x03")
    screen.expect("Cancel the task?")
    screen.type("n\n")
    assert screen.end() == 130
    assert "podium task logs -f" in screen.seen
    task = tasks(installation)[0]
    assert task["state"] == "running"
    assert installation.podium("task", "wait", task["id"], "-p", "terminal").status == 0


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_no_answer_leaves_the_task_alone(installation: Installation, slow: str, key: str) -> None:
    screen = terminal(installation, "ask", "x", "-a", slow)
    screen.expect("begun")
    screen.type("\x03")
    screen.expect("Cancel the task?")
    screen.type(key)
    assert screen.end() == 130
    assert "It goes on." in screen.seen
    assert "Traceback" not in screen.seen
    screen = terminal(installation, "agent", "remove", slow)
    screen.expect("Remove the agent slow?")
    screen.type(key)
    assert screen.end() == 130
    assert "Nothing was done." in screen.seen


def test_ctrl_c_and_yes_cancels(installation: Installation, slow: str) -> None:
    screen = terminal(installation, "ask", "x", "-a", slow)
    screen.expect("begun")
    screen.type("\x03")
    screen.expect("Cancel the task?")
    screen.type("\n")
    assert screen.end() == 5
    assert tasks(installation)[0]["state"] == "cancelled"


def test_a_result_that_was_seen_is_not_shown_twice(installation: Installation, slow: str) -> None:
    screen = terminal(installation, "ask", "x", "-a", slow)
    assert screen.end() == 0
    assert screen.seen.count("done") == 1


@pytest.mark.usefixtures("slow")
def test_nor_is_one_that_was_read_from_what_the_agent_wrote(installation: Installation) -> None:
    rules = '{"output": "lines", "lines": [{"text": "/said", "log": "/said"}]}'
    script = """echo plain; echo '{"said": "first"}'; echo '{"said": "at last"}'"""
    added = ("agent", "add", "sayer", "-p", "terminal", "--config", rules, "--", "sh", "-c", script)
    assert installation.podium(*added).status in {0, 6}
    screen = terminal(installation, "ask", "x", "-a", "sayer")
    assert screen.end() == 0
    assert [screen.seen.count(text) for text in ("plain", "first", "at last")] == [1, 1, 1]


def test_tasks_are_watched_live(installation: Installation, slow: str) -> None:
    made = installation.podium("task", "create", "-a", slow, "-t", "Look at me", "-p", "terminal")
    screen = terminal(installation, "task", "watch", made.out.strip())
    screen.expect("Look at me")
    screen.expect("\x1b[32msucceeded")
    assert screen.end() == 0


def test_what_waits_without_end_says_so(installation: Installation, slow: str) -> None:
    for arguments, told in (
        (["event", "follow"], "Waiting for events. Ctrl-C ends this."),
        (["task", "watch"], "Watching the tasks of the project as they come and change. Ctrl-C"),
    ):
        screen = terminal(installation, *arguments)
        screen.expect(told)
        screen.type("\x03")
        assert screen.end() == 130
    events = installation.podium("event", "list", "-p", "terminal", "--json").json
    screen = terminal(installation, "event", "follow", "--json", "--after", events[0]["cursor"])
    screen.expect(events[1]["cursor"])
    screen.type("\x03")
    assert screen.end() == 130
    assert "Ctrl-C" not in screen.seen


def test_ctrl_c_while_waiting_tells_what_goes_on(installation: Installation, slow: str) -> None:
    screen = terminal(installation, "task", "create", "-a", slow, "--wait")
    screen.expect("running")
    screen.type("\x03")
    assert screen.end() == 130
    task = tasks(installation)[0]
    told = screen.seen[screen.seen.index("go on") :]
    assert f"{task['id']} running" in told
    assert installation.podium("task", "wait", task["id"], "-p", "terminal").status == 0


def test_what_runs_is_in_view_of_many(installation: Installation, slow: str) -> None:
    for _ in range(25):
        made = installation.podium("task", "create", "-a", slow, "--delay", "1h", "-p", "terminal")
        assert made.status == 0
    made = installation.podium("task", "create", "-a", slow, "-t", "It runs", "-p", "terminal")
    screen = terminal(installation, "task", "watch", LINES="24", COLUMNS="120", NO_COLOR="1")
    screen.expect("running")
    screen.expect("succeeded")
    screen.type("\x03")
    assert screen.end() == 130
    assert made.out.strip() in screen.seen
    assert "more pending" in screen.seen
    left = [task["id"] for task in tasks(installation)]
    installation.podium("task", "cancel", *left, "-p", "terminal")


def test_a_table_takes_a_line_a_row_however_narrow(installation: Installation, slow: str) -> None:
    made = installation.podium(
        "task", "create", "-a", slow, "--delay", "1h", "-t", "word " * 30, "-p", "terminal"
    )
    task_id = made.out.strip()
    assert installation.podium("task", "cancel", task_id, "-p", "terminal").status == 0
    for arguments, shown in (
        (["task", "list"], [f"{task_id[:18]}… ", "cancelled", "word word", "slow", "Age"]),
        (["event", "list", "-n", "1"], [f"{task_id[:18]}… ", "task.cancelled", "Cancelled on"]),
        (["token", "list"], ["local", "Name"]),
    ):
        screen = terminal(installation, *arguments, COLUMNS="80", NO_COLOR="1")
        assert screen.end() == 0
        lines = screen.seen.splitlines()
        if "Too narrow to show: " in lines[-1]:
            lines.pop()
        rows = lines[2:]
        assert all(text in screen.seen for text in shown), screen.seen
        assert all(row[0] != " " and len(row) <= 80 for row in rows), screen.seen
    narrow = terminal(installation, "task", "history", task_id, COLUMNS="60", NO_COLOR="1")
    assert narrow.end() == 0
    assert narrow.seen.count("word") == 30, narrow.seen
    assert "Too narrow to show: By" in narrow.seen
    wide = terminal(installation, "task", "list", COLUMNS="200", NO_COLOR="1")
    assert wide.end() == 0
    assert "Too narrow" not in wide.seen
    assert "Age" in wide.seen


def test_what_does_not_fit_is_left_out_or_wrapped_by_words(
    installation: Installation, slow: str
) -> None:
    made = installation.podium(
        *("task", "create", "-a", slow, "--delay", "1h", "-t", "word " * 30, "-p", "terminal")
    )
    narrow = terminal(installation, "task", "list", COLUMNS="60", NO_COLOR="1")
    assert narrow.end() == 0
    assert "Agent" in narrow.seen.splitlines()[0]
    assert "Too narrow to show: Age, Ran" in narrow.seen
    task_id = made.out.strip()
    assert installation.podium("task", "cancel", task_id, "-p", "terminal").status == 0
    workers = terminal(installation, "status", COLUMNS="60", NO_COLOR="1")
    assert workers.end() == 0
    headers = next(each for each in workers.seen.splitlines() if "Worker" in each)
    assert "State" in headers, workers.seen
    assert "Too narrow to show: PID, " in workers.seen
    checked = terminal(installation, "doctor", COLUMNS="40", NO_COLOR="1")
    checked.end()
    lines = [_ESCAPES.sub("", each) for each in checked.seen.splitlines()[:-2]]
    begins = ("ok ", "warning ", "failed ", " " * 9)
    assert all(len(each) <= 40 and each.startswith(begins) for each in lines), checked.seen


@pytest.mark.parametrize("follow", [[], ["-f"]])
def test_a_log_shows_where_another_attempt_begins(
    installation: Installation, slow: str, follow: list[str]
) -> None:
    name = f"oops-{len(follow)}"
    script = "echo first $PODIUM_ATTEMPT; echo last $PODIUM_ATTEMPT; exit 1"
    added = installation.podium("agent", "add", name, "-p", "terminal", "--", "sh", "-c", script)
    assert added.status == 0, added
    made = installation.podium(
        "task", "create", "-a", name, "-p", "terminal", "--retries", "1", "--wait", "--json"
    )
    task_id = made.json["id"]
    screen = terminal(installation, "task", "logs", task_id, *follow, NO_COLOR="1")
    assert screen.end() == 0
    shown = ["first 1", "last 1", "\x1b[2m— attempt 2 —\x1b[0m", "first 2", "last 2"]
    assert [line for line in screen.seen.splitlines() if line] == shown
    one = terminal(installation, "task", "logs", task_id, "--attempt", "2", NO_COLOR="1")
    assert one.end() == 0
    assert "attempt" not in one.seen
    piped = installation.podium("task", "logs", task_id, *follow, "-p", "terminal")
    assert piped.out.splitlines() == [line for line in shown if "attempt" not in line]


def test_colour_can_be_refused(installation: Installation) -> None:
    for arguments, status in ((["task", "list"], 0), (["task", "show", "x"], 2)):
        coloured = terminal(installation, *arguments)
        assert coloured.end() == status
        assert "\x1b[" in coloured.seen
        plain = terminal(installation, *arguments, NO_COLOR="1")
        assert plain.end() == status
        assert "\x1b[3" not in plain.seen
        assert "\x1b[1;3" not in plain.seen


def test_before_something_is_lost_it_is_asked(installation: Installation, slow: str) -> None:
    screen = terminal(installation, "agent", "remove", slow)
    screen.expect("Remove the agent slow?")
    screen.type("n\n")
    assert screen.end() == 5
    assert "Nothing was done." in screen.seen
    screen = terminal(installation, "agent", "remove", slow)
    screen.expect("Remove the agent slow?")
    screen.type("y\n")
    assert screen.end() == 0


def test_a_checkup_is_watched_live(installation: Installation, tmp_path: Path) -> None:
    import subprocess

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    screen = terminal(
        installation, "run", "checkup", "-r", str(tmp_path), "-o", str(tmp_path / "report")
    )
    screen.expect("Survey of the repository")
    assert screen.end() == 0, screen.seen
    assert "report.md" in screen.seen
