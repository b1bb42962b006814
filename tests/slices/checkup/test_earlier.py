"""Whose report a directory holds."""

import json
from pathlib import Path

import pytest

from podium.checkup.earlier import held
from podium.checkup.opening import open_repository
from slices.checkup.repos import Repo


def write(directory: Path, top: Path, head: str | None = None) -> None:
    """A report of the repository at ``top``."""
    of = {"top": str(top), "head": head}
    document = {"generator": {"name": "podium checkup"}, "repository": of}
    (directory / "report.json").write_text(json.dumps(document))


def test_nothing_is_held_by_an_empty_directory(repo: Repo, tmp_path: Path) -> None:
    repository = open_repository(repo.path)
    assert held(tmp_path, repository) is None
    assert held(tmp_path / "none", repository) is None


def test_a_report_of_the_same_place_is_replaced(repo: Repo, tmp_path: Path) -> None:
    (repo.path / "sub").mkdir()
    write(tmp_path, repo.path)
    assert held(tmp_path, open_repository(repo.path / "sub")) is None


def test_a_report_of_another_place_is_held(repo: Repo, tmp_path: Path) -> None:
    head = repo.commit({"a": "1"})
    write(tmp_path, tmp_path, head)
    assert held(tmp_path, open_repository(repo.path)) == f"the report of {tmp_path}"


def test_a_repository_that_was_moved_is_the_same(repo: Repo, tmp_path: Path) -> None:
    head = repo.commit({"a": "1"})
    gone = tmp_path / "gone"
    write(tmp_path, gone, head)
    repository = open_repository(repo.path)
    assert held(tmp_path, repository) is None
    for unknown in ("1" * 40, None):
        write(tmp_path, gone, unknown)
        assert held(tmp_path, repository) == f"the report of {gone}"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 100_000, b'{"generator": 1}'])
def test_what_no_checkup_wrote_is_held(repo: Repo, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    found = held(tmp_path, open_repository(repo.path))
    assert found == "a report.json that no checkup wrote"


def test_what_cannot_be_read_is_held(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    assert held(tmp_path, open_repository(repo.path)) == "a report.json that cannot be read"
