"""Sessions by command."""

import json
import sys
from pathlib import Path
from uuid import uuid4

from installation import Installation
from slices.cli.commands import Run, until
from slices.cli.test_guides import blocks, typed
from terminal import Terminal

TALKER = """
import json, sys

def say(kind, **fields):
    print(json.dumps({"podium": kind, **fields}), flush=True)

for line in sys.stdin:
    said = json.loads(line)
    if said["text"].endswith("?"):
        say("ask", text="Which one?")
    else:
        say("say", text="You said " + said["text"], data=said["data"])
        say("idle")
say("result", output="bye")
"""


def talker(podium: Run) -> str:
    name = f"talker-{uuid4().hex[:8]}"
    config = {
        "command": [sys.executable, "-c", TALKER],
        "output": "events",
        "session": {"input": "events"},
    }
    said = podium("agent", "add", name, "--config", json.dumps(config))
    assert said.status == 0, said
    return name


def test_a_session(podium: Run) -> None:
    agent = talker(podium)
    begun = podium("session", "start", agent, "hello", "--title", "Talk", "--label", "team=core")
    assert begun.status == 0, begun
    session = begun.out.strip()

    def state() -> str:
        return podium("session", "show", session, "--json").json["state"]

    until(lambda: state() == "idle")
    again = ("session", "send", session, "again", "--data", '{"n": 1}', "--key", "k", "--json")
    assert podium(*again).json == podium(*again).json
    assert podium("session", "send", session, "really?").status == 0
    until(lambda: state() == "waiting")
    shown = podium("session", "show", session)
    assert "Talk" in shown.out
    assert agent in shown.out
    assert session in podium("session", "list", "--agent", agent, "--label", "team=core").out
    assert podium("session", "list", "--agent", agent, "-s", "idle", "--json").json == []
    assert podium("session", "pause", session, "--json").json["paused"] is True
    assert "paused" in podium("session", "list", "--agent", agent).out
    assert podium("session", "resume", session, "--json").json["paused"] is False
    assert podium("session", "delete", session, "--yes").status == 6
    assert podium("session", "close", session, "--json").json["closed"] is True
    told = podium("session", "transcript", session, "--follow").out.splitlines()
    author = told[0].partition(">")[0]
    assert sorted(told) == sorted(
        [
            f"{author}> hello",
            "You said hello",
            f"{author}> again",
            "You said again",
            f"{author}> really?",
            "? Which one?",
        ]
    )
    lines = podium("session", "transcript", session, "--json").out.splitlines()
    assert [json.loads(each)["id"] for each in lines] == list(range(1, 7))
    until(lambda: state() == "completed")
    nobody = podium("session", "send", "nope", "more")
    assert nobody.err.startswith("Error: 'nope' is no id of a session.")
    refused = podium("session", "send", session, "more")
    assert (refused.status, "has ended" in refused.err) == (6, True)
    assert podium("session", "delete", session).status == 2  # there is no terminal to ask on
    deleted = podium("session", "delete", session, "--yes")
    assert (deleted.status, deleted.out) == (0, f"{session} is deleted\n")
    assert podium("session", "show", session).status == 4


def test_sessions_are_terminated(podium: Run) -> None:
    agent = talker(podium)
    made = [podium("session", "start", agent, "--json").json["id"] for _ in range(2)]
    ended = podium("session", "terminate", made[0], "--reason", "Enough.")
    assert ended.out.split() == [made[0]]
    assert podium("session", "terminate", agent, "--json").json == [made[1]]
    assert podium("session", "terminate", agent).err == "No session was left to be ended.\n"
    until(
        lambda: (
            {each["state"] for each in podium("session", "list", "-a", agent, "--json").json}
            == {"terminated"}
        )
    )


def test_what_is_wrong_is_told(podium: Run, echo: str) -> None:
    assert podium("session", "list").status == 0
    refused = podium("session", "start", echo)
    assert (refused.status, "cannot be talked to" in refused.err) == (2, True), refused
    agent = talker(podium)
    session = podium("session", "start", agent, "--detach").out.strip()
    said = podium("session", "attach", session)
    assert (said.status, "terminal" in said.err) == (2, True)
    assert podium("session", "start", agent, "--config", "[]").status == 2
    assert podium("session", "start", agent, "--idle", "soon").status == 2
    podium("session", "terminate", session)


def test_somebody_talks_at_a_terminal(installation: Installation, podium: Run) -> None:
    agent = talker(podium)
    project = podium("agent", "show", agent, "--json").json["project"]
    environment = installation.environment | {"PODIUM_PROJECT": project}
    here = Terminal(installation.argv("session", "start", agent), environment)
    here.expect("Ctrl-D leaves it")
    here.type("hello\n")
    here.expect("You said hello")
    here.type("what?\n")
    here.expect("? Which one?")
    here.type("\x04")
    assert here.end() == 0
    assert "The session is waiting." in here.seen
    assert here.seen.count("You said hello") == 1
    podium("session", "terminate", agent)


def test_the_guide(installation: Installation, tmp_path: Path) -> None:
    code, _ = blocks("sessions.md", "python")
    (config,) = blocks("sessions.md", "json")
    (tmp_path / "assistant.py").write_text(code)
    own = config.replace("/opt/agents/assistant.py", str(tmp_path / "assistant.py"))
    (tmp_path / "assistant.json").write_text(own)
    (shell,) = blocks("sessions.md", "sh")
    project = f"g-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0
    told = typed(installation, shell, tmp_path, PODIUM_PROJECT=project)
    assert "You said: good morning" in told
    assert "? Which one do you mean?" in told
    assert "completed" in told


def test_it_is_terminated_by_the_beginning_of_its_id(podium: Run) -> None:
    agent = talker(podium)
    first, second = (podium("session", "start", agent, "--detach").out.strip() for _ in range(2))
    assert podium("session", "terminate", f"{first[:18]}…").out.split() == [first]
    assert podium("session", "show", second, "--json").json["state"] != "terminated"
    assert podium("session", "terminate", agent).out.split() == [second]
    assert "There is no agent" in podium("session", "terminate", "deadbeef").err
    assert podium("agent", "add", "deadbeef", "--", "cat").status == 0
    assert podium("session", "terminate", "deadbeef").status == 0
