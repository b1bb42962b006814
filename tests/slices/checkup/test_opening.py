"""What is told of a repository that cannot be looked at, before anything is started."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.checkup import survey
from podium.checkup.context import CheckupError
from podium.checkup.opening import open_to_survey
from podium.checkup.paths import path_text
from slices.checkup.repos import Recorder, Repo, run

Make = Callable[..., Repo]


def problem(path: Path, head: str | None = None) -> CheckupError:
    with pytest.raises(CheckupError) as caught:
        open_to_survey(path, head)
    assert caught.value.hint
    return caught.value


def problem_of_survey(repo: Repo) -> CheckupError:
    with pytest.raises(CheckupError) as caught:
        run(survey, repo)
    return caught.value


@pytest.mark.parametrize("inside", ["", "deep/down"])
def test_a_repository_has_no_problem(repo: Repo, inside: str) -> None:
    (repo.path / "deep/down").mkdir(parents=True)
    assert open_to_survey(repo.path / inside).head is None


def test_other_kinds_of_repository_have_no_problem(repo: Repo, make: Make, tmp_path: Path) -> None:
    head = repo.commit({})
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    assert open_to_survey(tmp_path / "side").head == head
    assert open_to_survey(make("bare.git", "--bare").path).bare


def test_what_is_no_repository_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, text in {
        "absent": "does not exist",
        "file": "is a file",
        "": "is not inside a git repository",
    }.items():
        found = problem(tmp_path / name)
        assert (found.code, text in found.message) == ("not_a_repository", True)


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("content", [b"", b"rubbish\n", b"\x00" * 41, None])
def test_a_damaged_head_is_named(make: Make, content: bytes | None, *, bare: bool) -> None:
    repo = make("damaged", *(["--bare"] if bare else []))
    head = repo.path / ("HEAD" if bare else ".git/HEAD")
    head.unlink() if content is None else head.write_bytes(content)
    found = problem(repo.path)
    assert found.code == "repository_damaged"
    assert f"{head.parent} for a repository: its HEAD" in found.message


def _without_objects(repo: Repo) -> None:
    shutil.rmtree(repo.path / ".git/objects")
    (repo.path / ".git/objects").mkdir()


def _with_an_empty_commit(repo: Repo) -> None:
    head = repo.git("rev-parse", "HEAD")
    commit = repo.path / ".git/objects" / head[:2] / head[2:]
    commit.chmod(0o600)
    commit.write_bytes(b"")


@pytest.mark.parametrize("damage", [_without_objects, _with_an_empty_commit])
def test_a_repository_that_lacks_what_head_points_at(
    repo: Repo, damage: Callable[[Repo], None]
) -> None:
    head = repo.commit({"a": "1"})
    damage(repo)
    for found in (problem(repo.path), problem_of_survey(repo)):
        assert found.code == "repository_damaged"
        assert f"{repo.path} is damaged: HEAD points at {head}, which is missing" in found.message
        assert "git fsck" in (found.hint or "")
        assert "give a commit" not in (found.hint or "")
    assert problem(repo.path, head).code == "no_such_commit"


def test_a_commit_without_its_list_of_files(repo: Repo) -> None:
    head = repo.commit({"a": "1"})
    tree = repo.git("rev-parse", "HEAD^{tree}")
    (repo.path / ".git/objects" / tree[:2] / tree[2:]).unlink()
    for found in (problem(repo.path), problem(repo.path, head)):
        assert found.code == "repository_damaged"
        assert f"the list of the files of commit {head} is missing" in found.message


@pytest.mark.parametrize("content", [b"", b"rubbish\n"])
def test_a_branch_that_cannot_be_read_is_not_one_to_come(repo: Repo, content: bytes) -> None:
    """As after a loss of power: the file is there, but nothing is in it."""
    repo.commit({"a": "1"})
    (repo.path / ".git/refs/heads/main").write_bytes(content)
    found = problem(repo.path)
    assert found.code == "repository_damaged"
    assert "HEAD names a branch that cannot be read" in found.message
    assert "refs/heads/main" in found.message
    assert "git fsck" in (found.hint or "")


def test_a_link_to_a_repository_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /no/such/place\n")
    assert problem(tmp_path).code == "repository_unreadable"


def test_a_commit_that_does_not_exist(repo: Repo) -> None:
    repo.commit({"a": "1"})
    assert problem(repo.path, "nosuchref").code == "no_such_commit"
    assert problem(repo.path, "--all").code == "no_such_commit"


def test_head_names_a_branch_that_does_not_exist(repo: Repo, make: Make) -> None:
    """As in a bare repository whose first push was to another branch."""
    repo.commit({"a": "1"})
    bare = make("bare.git", "--bare")
    repo.git("push", "-q", str(bare.path), "main:trunk")
    found = problem(bare.path)
    assert found.code == "head_missing"
    assert "names the branch main, which has no commit; others have: trunk" in found.message
    assert "--head trunk" in (found.hint or "")
    assert open_to_survey(bare.path, "trunk").head
    with pytest.raises(CheckupError, match="names the branch main"):
        run(survey, bare)


def test_what_is_staged_on_a_new_branch_is_looked_at(repo: Repo) -> None:
    repo.commit({"a": "1"})
    repo.git("checkout", "-q", "--orphan", "fresh")
    output = run(survey, repo)
    assert output["summary"]["files"] == 1
    (note,) = [note for note in output["notes"] if "HEAD" in note]
    assert "the branch fresh, which has no commit" in note
    assert "--head main" in note
    assert note.endswith("Looked at: 1 staged file.")


def test_a_directory_whose_name_is_no_utf_8(tmp_path: Path) -> None:
    repo = Repo(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
    head = repo.commit({"a.py": "print(1)\n"})
    output = survey.run({"repo": path_text(str(repo.path))}, Recorder())
    output = json.loads(json.dumps(output, ensure_ascii=False).encode())
    found = output["details"]["repository"]
    assert (found["head"], found["name"]) == (head, "caf\\xe9")
