"""Fixtures of commands against a real Podium."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from in_process import Said
from installation import Installation
from slices.cli.commands import Run


@pytest.fixture
def podium(installation: Installation) -> Run:
    """Runs commands in a project of the test's own."""
    project = f"c-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0

    def run(*arguments: str, **options: Any) -> Said:
        return installation.podium(*arguments, PODIUM_PROJECT=project, **options)

    return run


@pytest.fixture
def echo(podium: Run) -> str:
    """An agent that says what it is told."""
    said = podium("agent", "add", "echo", "--", "cat")
    assert said.status == 0, said
    return "echo"


@pytest.fixture
def fresh() -> Iterator[Installation]:
    """A Podium that has not been started."""
    with tempfile.TemporaryDirectory(prefix="podium-home-") as folder:
        found = Installation(Path(folder) / "home")
        yield found
        found.end_all()
        found.podium("down")
