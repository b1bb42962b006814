"""Parts as programs: command agents that speak the protocol, and by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from podium.agents.runtimes import protocol
from podium.checkup.__main__ import main
from slices.checkup.repos import NOW, Repo

COMMAND = [sys.executable, "-I", "-X", "utf8", "-m", "podium.checkup"]


def as_agent(part: str, directory: Path, **envelope: Any) -> tuple[int, list[Any]]:
    """Run a part as the command runtime does; its exit status and messages."""
    document = directory / "input.json"
    document.write_text(json.dumps(envelope))
    env = {"PATH": os.environ["PATH"], "PODIUM_INPUT": str(document)}
    ended = subprocess.run(
        [*COMMAND, part], cwd=directory, env=env, capture_output=True, text=True, check=False
    )
    messages = [protocol.parse(line) for line in ended.stdout.splitlines()]
    assert None not in messages, "nothing but the protocol is on standard output"
    return ended.returncode, messages


@pytest.mark.parametrize("part", ["history", "lint", "secrets", "large_files"])
def test_a_command_agent_speaks_the_protocol(repo: Repo, tmp_path: Path, part: str) -> None:
    first = repo.commit({"a.py": "import os\n# TODO: one\n"})
    repo.commit({"b.py": "b = 1\n"})
    surveyed = {
        "state": "succeeded",
        "output": {"details": {"repository": {"head": first}}},
        "error": None,
    }
    status, messages = as_agent(
        part,
        tmp_path,
        input={"repo": str(repo.path), "now": NOW},
        dependencies={"survey": surveyed},
    )
    assert status == 0
    result = messages[-1]
    assert isinstance(result, protocol.Result)
    assert {"summary", "findings", "details"} <= set(result.output)
    steps = [message for message in messages if isinstance(message, protocol.Progress)]
    assert steps[-1].fraction == 1.0
    assert all(step.note for step in steps)
    if part == "history":
        assert result.output["summary"]["commits"] == 1, "the commit that the survey looked at"


def test_a_command_agent_says_why_it_failed(tmp_path: Path) -> None:
    status, messages = as_agent("history", tmp_path, input={"repo": str(tmp_path)})
    assert status == 1
    error = messages[-1]
    assert isinstance(error, protocol.Error)
    assert (error.error_class, error.code) == ("invalid_input", "not_a_repository")
    assert error.hint


def test_by_hand(repo: Repo) -> None:
    repo.commit({"a.py": "# TODO: one\n"})
    arguments = [*COMMAND, "todos", "--repo", "."]
    ended = subprocess.run(arguments, cwd=repo.path, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["summary"]["marks"] == 1
    assert "searching for marks" in ended.stderr


def test_everything_by_hand(repo: Repo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repo.commit({"a.py": "import os\n"})
    out = tmp_path / "out"
    assert main(["all", "--repo", str(repo.path), "--out", str(out), "--head", "HEAD"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["summary"]["outcome"] == "complete"
    assert "wrote " in said.err
    page = (out / "report.md").read_text()
    assert "## Timings" in page


def test_everything_goes_on_after_a_part_that_fails(
    repo: Repo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.commit({"a.py": "a = 1\n"})
    repo.commit({"a.py": "a = 2\n"})
    tree = repo.git("rev-parse", "HEAD~1^{tree}")
    (repo.path / ".git/objects" / tree[:2] / tree[2:]).unlink()
    assert main(["all", "--repo", str(repo.path), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["summary"]["outcome"] == "partial"
    assert f"history: git cannot read the object {tree}" in said.err
    assert "hint: run 'git fsck'" in said.err


def test_everything_as_one_agent(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"a.py": "# TODO: one\n"})
    given = {"repo": str(repo.path), "skip": ["history"]}
    status, messages = as_agent("all", tmp_path, input=given)
    assert status == 0
    result = messages[-1]
    assert isinstance(result, protocol.Result)
    output: Any = result.output
    assert "history" not in {part["part"] for part in output["parts"]}
    shares = [each.fraction for each in messages if isinstance(each, protocol.Progress)]
    assert shares == sorted(shares, key=lambda share: share or 0)
    assert shares[-1] == 1
    kept = [each.name for each in messages if isinstance(each, protocol.Artifact)]
    assert kept == ["report.json", "report.md"]


@pytest.mark.parametrize("part", ["survey", "all", "lint"])
def test_no_repository_by_hand(
    tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([part, "--repo", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "is not inside a git repository" in said.err
