"""A running Podium for the slices that users touch."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from installation import Installation


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """A Podium that all tests of the session share: they make projects and agents of their own."""
    with tempfile.TemporaryDirectory(prefix="podium-home-") as folder:
        found = Installation(Path(folder) / "home")
        found.start()
        yield found
        found.end_all()
        found.stop()
