"""Fixtures: data directories with an embedded cluster, which takes a second to make."""

import subprocess
from pathlib import Path

import pytest

from podium.storage.embedded import EmbeddedServers


@pytest.fixture(scope="session")
async def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory after its first start, to be copied."""
    home = tmp_path_factory.mktemp("made") / "home"
    servers = EmbeddedServers(home)
    await servers.start()
    await servers.stop()
    return home


@pytest.fixture
def home(made_home: Path, tmp_path: Path) -> Path:
    """A data directory of the test's own that was started once."""
    subprocess.run(["cp", "-a", str(made_home), str(tmp_path / "home")], check=True)
    return tmp_path / "home"
