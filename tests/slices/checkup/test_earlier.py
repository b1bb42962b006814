"""Whose report a directory holds."""

import json
from pathlib import Path

import pytest

from podium.checkup.context import CheckupError
from podium.checkup.earlier import replaced
from podium.checkup.opening import open_repository
from slices.checkup.repos import Repo


def write(directory: Path, top: Path, head: str | None = None) -> None:
    """A report of the repository at ``top``."""
    of = {"top": str(top), "head": head}
    document = {"generator": {"name": "podium checkup"}, "repository": of}
    (directory / "report.json").write_text(json.dumps(document))


def test_nothing_is_replaced_in_an_empty_directory(repo: Repo, tmp_path: Path) -> None:
    repository = open_repository(repo.path)
    assert replaced(tmp_path, repository) is None
    assert replaced(tmp_path / "none", repository) is None


def test_a_report_of_the_same_place_is_replaced(repo: Repo, tmp_path: Path) -> None:
    (repo.path / "sub").mkdir()
    write(tmp_path, repo.path)
    assert replaced(tmp_path, open_repository(repo.path / "sub")) is None


def test_a_report_of_another_place_is_another(repo: Repo, tmp_path: Path) -> None:
    head = repo.commit({"a": "1"})
    write(tmp_path, tmp_path, head)
    assert replaced(tmp_path, open_repository(repo.path)) == str(tmp_path)


def test_a_repository_that_was_moved_is_the_same(repo: Repo, tmp_path: Path) -> None:
    head = repo.commit({"a": "1"})
    gone = tmp_path / "gone"
    write(tmp_path, gone, head)
    repository = open_repository(repo.path)
    assert replaced(tmp_path, repository) is None
    for unknown in ("1" * 40, None):
        write(tmp_path, gone, unknown)
        assert replaced(tmp_path, repository) == str(gone)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 100_000, b'{"generator": 1}'])
def test_what_no_checkup_wrote_is_refused(repo: Repo, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(CheckupError, match="that no checkup wrote") as raised:
        replaced(tmp_path, open_repository(repo.path))
    assert raised.value.code == "out_taken"


def test_what_cannot_be_read_is_refused(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(CheckupError, match="that cannot be read: Is a directory"):
        replaced(tmp_path, open_repository(repo.path))


@pytest.mark.parametrize("head", ["\ud800", "a\0b", "--all", "x" * 5000, ""])
def test_a_report_is_not_believed(repo: Repo, tmp_path: Path, head: str) -> None:
    """Neither its commit nor its place is what git or the system can take."""
    repo.commit({"a": "1"})
    write(tmp_path, Path("/" + "x" * 5000), head)
    assert replaced(tmp_path, open_repository(repo.path)) == "/" + "x" * 5000
