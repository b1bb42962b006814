"""Repositories that several tests look at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slices.checkup.repos import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository without a commit."""
    return Repo(tmp_path / "repo")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Repo]:
    """Makes repositories by name."""

    def made(name: str, *options: str) -> Repo:
        return Repo(tmp_path / name, *options)

    return made
