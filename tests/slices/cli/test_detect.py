"""Coding agents on PATH, versions and labels of agents, by command. Stand-ins play the agents."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from in_process import Said
from installation import Installation
from podium.agents.runtimes.environment import DEFAULT_ALLOWED
from podium.cli import detection
from podium.cli.coding_agents import KNOWN
from podium.cli.detection import USUALLY_PASSED
from slices.cli.commands import Run

Place = Callable[..., Path]
STREAM = Path(__file__).parents[1] / "agents" / "streams" / "claude-code.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of PATH with no coding agent yet; what else the tests need is in it."""
    found = tmp_path / "bin"
    found.mkdir()
    for tool in ("sh", "cat"):
        (found / tool).symlink_to(f"/bin/{tool}")
    return found


@pytest.fixture
def place() -> Place:
    """Puts a stand-in for a coding agent somewhere: it tells a version, and prints a stream."""

    def put(path: Path, says: str, stream: Path = STREAM) -> Path:
        script = f'if [ "$1" = --version ]; then echo "{says}"; else cat "{stream}"; fi'
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return put


@pytest.fixture
def detect(podium: Run, folder: Path) -> Run:
    """Runs ``podium agent detect`` where PATH is the folder alone."""

    def run(*arguments: str, **environment: str) -> Said:
        return podium("agent", "detect", *arguments, PATH=str(folder), **environment)

    return run


def by_name(said: Said) -> dict[str, Any]:
    assert said.status == 0, said
    return {each["name"]: each for each in said.json}


def test_the_usual_variables_are_those_of_command_agents() -> None:
    assert USUALLY_PASSED == DEFAULT_ALLOWED


def test_each_known_agent_is_told_apart() -> None:
    assert len(KNOWN) >= 10
    assert len({each.name for each in KNOWN}) == len({each.program for each in KNOWN}) == len(KNOWN)
    for each in KNOWN:
        assert each.install
        assert each.source.startswith("https://")
        assert "code" in each.capabilities


def test_where_there_is_none_it_says_how_to_get_one(detect: Run) -> None:
    said = detect()
    assert (said.status, "None of these coding agents is on PATH." in said.err) == (1, True)
    for each in KNOWN:
        assert each.install in said.out
    told = detect("--json")
    assert told.status == 1
    assert {each["state"] for each in told.json} == {"not found"}
    only = detect("--only", "codex", "--only", "goose")
    assert only.status == 1
    assert "@openai/codex" in only.out
    assert "claude" not in only.out
    wrong = detect("--only", "emacs")
    assert (wrong.status, "claude-code" in wrong.err) == (2, True)


def test_what_is_found_is_registered_and_runs(
    detect: Run, podium: Run, folder: Path, place: Place
) -> None:
    program = place(folder / "claude", "9.8.7 (Claude Code)")
    dry = detect("--dry-run")
    assert (dry.status, "9.8.7" in dry.out, "new" in dry.out) == (0, True, True)
    assert "aider" in dry.err
    assert podium("agent", "list", "--json").json == []
    asked = detect()
    assert (asked.status, "--yes" in asked.err) == (2, True)
    said = detect("--yes", "-c", "review")
    assert said.status == 0, said
    assert "claude-code is registered; it is ready\n" in said.out
    agent = podium("agent", "show", "claude-code", "--json").json
    assert agent["config"]["command"][:2] == [str(program), "--print"]
    assert agent["capabilities"] == ["code", "review"]
    assert agent["labels"] == {"vendor": "anthropic"}
    assert (agent["healthy"], agent["health_checked_at"] is None) == (True, False)
    told = podium("ask", "hello", "-a", "claude-code", "--json").json
    assert told["output"]["text"] == "Hello from the stand-in."


def test_again_changes_nothing_and_a_moved_program_is_a_new_version(
    detect: Run, podium: Run, folder: Path, place: Place, tmp_path: Path
) -> None:
    place(folder / "codex", "codex-cli 1.2.3")
    first = by_name(detect("--yes", "--json"))["codex"]
    assert (first["state"], first["agent_version"], first["ready"]) == ("new", 1, True)
    assert first["program_version"] == "1.2.3"
    again = detect("--yes")
    assert (again.status, "There is nothing to register." in again.err) == (0, True)
    own = [
        "--config",
        '{"output": "text", "grace_seconds": 1}',
        "--",
        str(folder / "codex"),
        "mine",
    ]
    assert podium("agent", "edit", "codex", *own).status == 0
    assert by_name(detect("--yes", "--json"))["codex"]["state"] == "registered"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (folder / "codex").rename(moved / "codex")
    found = podium("agent", "detect", "-y", "--json", PATH=f"{folder}:{moved}")
    changed = by_name(found)["codex"]
    assert (changed["state"], changed["agent_version"]) == ("changed", 3)
    config = podium("agent", "show", "codex", "--json").json["config"]
    assert config["command"] == [str(moved / "codex"), "mine"]
    assert (config["output"], config["grace_seconds"]) == ("text", 1)


def test_namesakes_and_taken_names_are_left_alone(
    detect: Run, podium: Run, folder: Path, place: Place
) -> None:
    place(folder / "goose", "goose version: v3.24.1")
    place(folder / "copilot", "copilot version: v1.34.0")
    place(folder / "gemini", "0.61.0")
    assert podium("agent", "add", "gemini-cli", "--", "cat").status == 0
    said = detect("--yes")
    assert said.status == 0, said
    assert "does not say that it is Goose" in said.err
    assert "An agent gemini-cli that runs something else is registered" in said.err
    states = {name: each["state"] for name, each in by_name(detect("--json", "-y")).items()}
    assert (states["goose"], states["copilot"]) == ("not recognized", "not recognized")
    assert (states["gemini-cli"], states["aider"]) == ("name taken", "not found")
    assert [each["name"] for each in podium("agent", "list", "--json").json] == ["gemini-cli"]


def test_a_program_that_does_not_answer_is_no_agent(detect: Run, folder: Path) -> None:
    (folder / "qwen").write_text("#!/bin/sh\nexit 1\n")
    (folder / "qwen").chmod(0o755)
    assert by_name(detect("--json"))["qwen-code"]["state"] == "not recognized"


def test_one_that_is_too_slow_to_say_what_it_is_is_believed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(detection, "_SECONDS", 0.5)
    (folder / "gemini").write_text("#!/bin/sh\nexec sleep 30\n")
    (folder / "gemini").chmod(0o755)
    known = [each for each in KNOWN if each.name == "gemini-cli"]
    (found,) = detection.look(known)
    assert (found.path, found.version, found.is_it) == (str(folder / "gemini"), None, True)


def test_keys_are_passed_on_only_when_asked_for(
    detect: Run, podium: Run, folder: Path, place: Place
) -> None:
    place(folder / "droid", "0.225.1")
    said = detect("--yes", FACTORY_API_KEY="CANARY")
    assert "droid is not given FACTORY_API_KEY" in said.err
    config = podium("agent", "show", "droid", "--json").json["config"]
    assert config["env_allow"] == list(DEFAULT_ALLOWED)
    changed = by_name(detect("--yes", "--keys", "--json", FACTORY_API_KEY="CANARY"))["droid"]
    assert (changed["state"], changed["agent_version"]) == ("changed", 2)
    shown = podium("agent", "show", "droid", "--json")
    assert shown.json["config"]["env_allow"] == [*DEFAULT_ALLOWED, "FACTORY_API_KEY"]
    assert "CANARY" not in shown.out
    assert by_name(detect("--keys", "--json"))["droid"]["state"] == "registered"
    assert by_name(detect("--json"))["droid"]["state"] == "registered"
    podium("agent", "remove", "droid", "-y")
    fresh = by_name(detect("-y", "--keys", "--json"))["droid"]
    assert (fresh["state"], fresh["agent_version"]) == ("new", 1)
    config = podium("agent", "show", "droid", "--json").json["config"]
    assert config["env_allow"] == [*DEFAULT_ALLOWED, "FACTORY_API_KEY"]


def test_an_operator_registers_without_keys_and_not_with(
    installation: Installation, folder: Path, place: Place
) -> None:
    place(folder / "amp", "0.0.1790142911-g7618fb (released now)")
    project = f"d-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0
    made = installation.podium(
        "token", "create", "op", "--preset", "operator", "-p", project, "--json"
    )
    reached: dict[str, Any] = {
        "PODIUM_URL": installation.podium("status", "--json").json["url"],
        "PODIUM_TOKEN": made.json["token"],
        "PATH": str(folder),
    }
    refused = installation.podium("agent", "detect", "-y", "--keys", **reached)
    assert (refused.status, "needs the scope admin" in refused.err) == (4, True)
    said = installation.podium("agent", "detect", "-y", **reached)
    assert said.status == 0, said
    assert "amp is registered" in said.out


def test_versions_are_compared_and_rolled_back(podium: Run, echo: str) -> None:
    podium("agent", "edit", echo, "--prompt", "argument", "--", "echo")
    shown = podium("agent", "diff", echo)
    for text in ("changed", "/config/command", '"cat"', '"echo"', "/config/prompt"):
        assert text in shown.out
    found = podium("agent", "diff", echo, "2", "1", "--json").json
    assert (found["old"], found["new"], len(found["differences"])) == (2, 1, 2)
    same = podium("agent", "diff", echo, "2", "2")
    assert (same.out, same.err) == ("", "Versions 2 and 2 are the same.\n")
    refused = podium("agent", "rollback", echo, "1", "--expected", "1")
    assert refused.status == 6
    assert podium("agent", "rollback", echo, "9").status == 4
    back = podium("agent", "rollback", echo, "1", "--expected", "2")
    assert back.out == "echo is at version 3, which is version 1 again\n"
    already = podium("agent", "rollback", echo, "1")
    assert already.out == "echo is what it was at version 1 already\n"
    assert podium("agent", "rollback", echo, "2", "--json").json["version"] == 4
    assert podium("ask", "words", "-a", echo).out == "words\n"


def test_agents_are_listed_and_probed_by_what_they_have(podium: Run, echo: str) -> None:
    podium("agent", "edit", echo, "-l", "team=core", "-c", "talk")
    podium("agent", "add", "other", "-l", "team=web", "--", "/no/such/program")
    for wanted in (["-l", "team=core"], ["-c", "talk"], ["--runtime", "command", "-c", "talk"]):
        found = podium("agent", "list", *wanted, "--json").json
        assert [each["name"] for each in found] == [echo]
    assert podium("agent", "list", "--runtime", "function").err == "There are no such agents.\n"
    probed = podium("agent", "probe", "--all")
    assert probed.status == 1
    assert probed.out.startswith("echo is ready: ")
    assert "other is not ready: " in probed.out
    listed = podium("agent", "probe", "--all", "--json")
    assert [(each["name"], each["ok"]) for each in listed.json] == [(echo, True), ("other", False)]
    podium("agent", "edit", "other", "--disable")
    assert podium("agent", "probe", "--all").status == 0
    podium("agent", "edit", echo, "--disable")
    none = podium("agent", "probe", "--all")
    assert (none.status, none.err) == (0, "There is no agent that is not disabled.\n")
    assert podium("agent", "probe").status == podium("agent", "probe", echo, "--all").status == 2
    assert os.uname().nodename in podium("agent", "show", echo).out
