"""Fixtures: data directories with an embedded cluster, which takes a second to make."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from podium.storage.embedded import EmbeddedServers


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not below pytest's own folder: each new session closes that to the servers' account."""
    with TemporaryDirectory(prefix="podium-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
async def made_home() -> AsyncIterator[Path]:
    """A data directory after its first start, to be copied."""
    with TemporaryDirectory(prefix="podium-test-") as folder:
        home = Path(folder) / "home"
        servers = EmbeddedServers(home)
        await servers.start()
        await servers.stop()
        yield home


@pytest.fixture
def home(made_home: Path, tmp_path: Path) -> Path:
    """A data directory of the test's own that was started once."""
    subprocess.run(["cp", "-a", str(made_home), str(tmp_path / "home")], check=True)
    return tmp_path / "home"
