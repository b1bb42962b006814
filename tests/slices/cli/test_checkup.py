"""The checkup by command, against a real Podium: side by side, cancelled and refused."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from installation import Installation, interrupt
from slices.cli.commands import Run, made, until


def test_checkup_of_a_repository(installation: Installation, podium: Run, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    out = tmp_path / "report"
    said = podium("run", "checkup", "--repo", str(repo), "--out", str(out))
    assert said.status == 0, said
    assert "Report" in said.out
    assert str(out / "report.md") in said.out
    assert "Survey of the repository: succeeded" in said.err
    assert json.loads((out / "report.json").read_text())["summary"]["outcome"] == "complete"
    said = podium("run", "checkup", "--repo", str(repo), "--skip", "lint", "--json", cwd=tmp_path)
    assert (said.status, said.err, said.json["ok"]) == (0, "", True)
    assert "lint" not in said.json["tasks"]
    assert (tmp_path / "podium-report" / "report.md").exists()


def test_checkup_of_a_repository_whose_path_is_no_utf_8(podium: Run, tmp_path: Path) -> None:
    repo = repository(tmp_path / os.fsdecode(b"caf\xe9"))
    said = podium("run", "checkup", "--json", cwd=repo)
    assert (said.status, said.err, said.json["ok"]) == (0, "", True)
    report = repo / "podium-report" / "report.json"
    assert said.json["report_json"] == report.as_uri()
    assert json.loads(report.read_text())["repository"]["name"] == "caf\\xe9"


def test_checkups_side_by_side(installation: Installation, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    processes = [
        installation.begin("run", "checkup", "-r", str(repo), "-o", str(tmp_path / str(number)))
        for number in range(3)
    ]
    for process in processes:
        out, err = process.communicate(timeout=110)
        assert process.returncode == 0, (out, err)


def test_ctrl_c_cancels_a_checkup(installation: Installation, podium: Run, tmp_path: Path) -> None:
    """Its survey waits behind a task that holds the only place of the agent."""
    agent = ("agent", "add", "checkup-survey", "--max-concurrency", "1", "--", "sleep", "60")
    assert podium(*agent).status == 0
    holder = made(podium("task", "create", "-a", "checkup-survey"))
    until(lambda: podium("task", "show", holder, "--json").json["state"] == "running")
    project = podium("task", "show", holder, "--json").json["project"]
    repo, out_folder = str(repository(tmp_path / "repo")), str(tmp_path / "out")
    process = installation.begin("run", "checkup", "-r", repo, "-o", out_folder, "-p", project)
    ours = ("task", "list", "--json", "-l", "checkup=report")
    until(lambda: bool(podium(*ours).json))
    interrupt(process)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "Cancelling the checkup" in err
    assert not Path(out_folder).exists()
    states = {task["id"]: task["state"] for task in podium("task", "list", "--json").json}
    assert states.pop(holder) == "running"
    assert set(states.values()) == {"cancelled"}
    assert len(states) == 9
    assert podium("task", "cancel", holder).status == 0


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_is_no_repository_is_told_at_once(
    installation: Installation, tmp_path: Path, options: list[str]
) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        said = installation.podium("run", "checkup", "--repo", str(path), *options)
        assert (said.status, said.out) == (2, "")
        assert str(path) in said.err
    said = installation.podium("run", "checkup", "--repo", "/", "--skip", "nothing", *options)
    assert said.status == 2


def test_what_cannot_be_looked_at_is_told_at_once(podium: Run, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    said = podium("run", "checkup", "-r", str(repo), "--head", "nosuchref")
    assert (said.status, "no commit nosuchref" in said.err) == (2, True)
    (repo / ".git" / "HEAD").write_text("rubbish")
    said = podium("run", "checkup", "-r", str(repo))
    assert (said.status, "its HEAD is missing or holds" in said.err) == (2, True)
    assert not podium("task", "list", "--json").json


def test_the_data_directory_is_out_of_reach_of_a_checkup(
    installation: Installation, podium: Run, tmp_path: Path
) -> None:
    repo, inside = repository(tmp_path / "repo"), installation.home / "inside"
    (tmp_path / "link").symlink_to(installation.home)
    for options in (
        ("--repo", str(repo), "--out", str(inside)),
        ("--repo", str(repo), "--out", str(tmp_path / "link" / "inside")),
        ("--repo", str(inside)),
    ):
        said = podium("run", "checkup", *options, cwd=tmp_path)
        assert said.status == 2
        assert f"{options[-2]}: {options[-1]} is inside Podium's data directory" in said.err
    assert not inside.exists()
    assert not podium("task", "list", "--json").json


def test_a_report_that_cannot_be_written_is_told_before_anything_runs(
    installation: Installation, tmp_path: Path
) -> None:
    repo = repository(tmp_path / "repo")
    (tmp_path / "file").write_text("")
    said = installation.podium(
        "run", "checkup", "-r", str(repo), "-o", str(tmp_path / "file" / "x")
    )
    assert said.status == 2
    assert "out_not_writable" in said.err
    said = installation.podium("run", "checkup", "-r", str(repo), "--skip", "nothing")
    assert "There is no part 'nothing'" in said.err


def test_the_report_of_another_repository_is_not_replaced_without_a_word(
    podium: Run, tmp_path: Path
) -> None:
    one, other = repository(tmp_path / "one"), repository(tmp_path / "other")
    quick = ("--skip", "history", "--skip", "lint", "--skip", "secrets", "--skip", "large_files")
    written = tmp_path / "podium-report" / "report.json"

    def checked() -> str:
        return json.loads(written.read_text())["repository"]["name"]

    for _ in range(2):
        said = podium("run", "checkup", "-r", str(one), *quick, "--json", cwd=tmp_path)
        assert (said.status, said.err) == (0, "")
    said = podium("run", "checkup", "-r", str(other), *quick, "--json", cwd=tmp_path)
    assert said.status == 0
    assert f"podium-report holds the report of {one}, which this one replaces" in said.err
    assert checked() == "other"
    written.write_text("{}")
    said = podium("run", "checkup", "-r", str(other), *quick, cwd=tmp_path)
    assert said.status == 2
    assert "podium-report holds a report.json that no checkup wrote" in said.err


def repository(path: Path) -> Path:
    """A small git repository."""
    path.mkdir()
    (path / "main.py").write_text("import os\n# TODO: finish\nprint('hi')\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", str(path)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    return path
