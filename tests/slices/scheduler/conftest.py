"""An engine on a database that is swept between tests, whose books are checked after each."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from podium.scheduler import election, keeper
from podium.storage.database import Database
from slices.scheduler.books import assert_balanced
from slices.scheduler.engine import Engine
from slices.scheduler.keepers import Flaky

_NAME = "scheduler_tests"
_SWEEP = """
do $$
declare
    name text;
begin
    set local session_replication_role = replica;  -- in whatever order
    for name in select tablename from pg_tables
                 where schemaname = 'public' and tablename not in ('alembic_version', 'meta')
    loop
        execute format('delete from %I', name);
    end loop;
end $$
"""


@pytest.fixture(scope="session")
async def scheduler_database(
    server_url: str, direct_url: str, template: str
) -> AsyncIterator[Database]:
    """One database for many tests: making one takes longer than most of them."""
    admin = await asyncpg.connect(direct_url.format("postgres"))
    await admin.execute(f"create database {_NAME} template {template}")
    await admin.execute(f"alter database {_NAME} set synchronous_commit = off")
    database = Database(server_url.format(_NAME))
    yield database
    await database.close()
    await admin.execute(f"drop database {_NAME} with (force)")
    await admin.close()


async def sweep(database: Database) -> None:
    """Empty all tables."""
    await database.call(_SWEEP)


@pytest.fixture
async def engine(scheduler_database: Database) -> AsyncIterator[Engine]:
    await sweep(scheduler_database)
    engine = await Engine.create(scheduler_database)
    yield engine
    await assert_balanced(scheduler_database)


@pytest.fixture
async def worker(engine: Engine) -> UUID:
    return await engine.worker()


@pytest.fixture
async def flaky(database: Database) -> AsyncIterator[Flaky]:
    other = Flaky(database.engine.url.render_as_string(hide_password=False))
    yield other
    await other.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks of a tenth of a second, and leads and patience to match."""
    for module in (keeper, election):
        monkeypatch.setattr(module, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(election, "_LEAD_SECONDS", 0.6)
    monkeypatch.setattr(keeper, "_ASLEEP_SECONDS", 0.4)
