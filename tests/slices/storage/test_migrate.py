"""Migrations: safe to repeat, safe at the same time, and clear about what cannot be used."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import asyncpg
import pytest
from alembic.config import Config
from sqlalchemy import text

from podium import app as composition
from podium.kernel.errors import Unavailable
from podium.scheduler.model import TALKS
from podium.storage import functions
from podium.storage import migrate as module
from podium.storage.database import Database
from podium.storage.migrate import DatabaseUnsupported, migrate, require_migrated, sql_files


@pytest.fixture
async def empty(server_url: str, direct_url: str) -> AsyncIterator[Database]:
    """A database without anything in it."""
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(direct_url.format("postgres"))
    await admin.execute(f"create database {name}")
    database = Database(server_url.format(name))
    yield database
    await database.close()
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


async def state(database: Database) -> tuple[set[str], set[str]]:
    """Names of the tables and the functions."""
    tables = await database.call("select tablename from pg_tables where schemaname = 'public'")
    functions = await database.call(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace"
    )
    return {row["tablename"] for row in tables}, {row["proname"] for row in functions}


async def test_an_empty_database_is_brought_up_and_stays_so(empty: Database) -> None:
    with pytest.raises(Unavailable, match="schema none"):
        await require_migrated(empty)
    await migrate(empty, composition.SQL_SLICES)
    await require_migrated(empty)
    tables, functions = made = await state(empty)
    assert {"task", "event_default", "alembic_version"} <= tables
    assert {"submit_tasks", "claim_tasks", "lock_events"} <= functions
    await migrate(empty, composition.SQL_SLICES)
    assert await state(empty) == made


async def migrate_to(empty: Database, monkeypatch: pytest.MonkeyPatch, revision: str) -> None:
    """Bring it up as an older version did."""
    upgrade = module.command.upgrade

    def upgrade_in_part(config: Config, _revision: str) -> None:
        upgrade(config, revision)

    async def without_functions(*_: object) -> None:
        """Those of this version are for its own tables."""

    with monkeypatch.context() as older:
        older.setattr(module.command, "upgrade", upgrade_in_part)
        older.setattr(module.functions, "install", without_functions)
        await migrate(empty, composition.SQL_SLICES)


async def test_an_older_database_is_upgraded_with_what_is_in_it(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate_to(empty, monkeypatch, "0001")
    await empty.call(
        "insert into token (id, name, secret_hash, scopes, created_by)"
        " values (gen_random_uuid(), 'ci', '', '{admin}', 'somebody')"
    )
    with pytest.raises(Unavailable, match="schema 0001"):
        await require_migrated(empty)
    await migrate(empty, composition.SQL_SLICES)
    await require_migrated(empty)
    [token] = await empty.call("select name, granted_by, revoked_at from token")
    assert tuple(token) == ("ci", None, None)


async def test_agents_that_can_be_talked_to_are_known_after_an_upgrade(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate_to(empty, monkeypatch, "0019")
    await empty.call("insert into project (id, name) values (gen_random_uuid(), 'p')")
    agents = {
        "function": ("function", "{}"),
        "talks": ("command", '{"session": {"input": "text"}}'),
        "silent": ("command", '{"session": null}'),
        "older": ("command", "{}"),
    }
    for name, (runtime, config) in agents.items():
        await empty.call(
            "with new as (insert into agent (id, project_id, name, runtime, capabilities)"
            " select gen_random_uuid(), id, $1::text, $2::text, '{code}' from project"
            " returning id)"
            " insert into agent_version (agent_id, version, runtime, config, created_by)"
            " select id, 1, $2::text, $3::text::jsonb, '' from new",
            name,
            runtime,
            config,
        )
    await migrate(empty, composition.SQL_SLICES)
    rows = await empty.call("select name, capabilities from agent")
    assert {row["name"]: row["capabilities"] for row in rows} == {
        "function": ["code", TALKS],
        "talks": ["code", TALKS],
        "silent": ["code"],
        "older": ["code"],
    }


async def test_an_upgrade_takes_as_long_as_it_needs(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = (await empty.call("select current_database()"))[0][0]
    [row] = await empty.call("select current_setting('server_version_num')::int as number")
    limit = "transaction_timeout" if row["number"] >= 170000 else "statement_timeout"
    await empty.call(f"alter database \"{name}\" set {limit} = '2s'")
    await empty.engine.dispose()
    scripts = [*sql_files(composition.SQL_SLICES), "select pg_sleep(3)"]

    def slow_files(_: object) -> list[str]:
        return scripts

    monkeypatch.setattr(module, "sql_files", slow_files)
    await migrate(empty, composition.SQL_SLICES)
    await require_migrated(empty)


async def test_sessions_have_their_settings_from_the_role_behind_a_pooler(
    empty: Database, direct_url: str
) -> None:
    url = empty.address.url.update_query_dict({"pooler": "transaction"})
    pooled = Database(url.render_as_string(hide_password=False))
    await migrate(pooled, composition.SQL_SLICES)
    await migrate(pooled, composition.SQL_SLICES)
    await pooled.close()
    admin = await asyncpg.connect(direct_url.format(str(url.database)))
    assert await admin.fetchval("show jit") == "off"
    assert await admin.fetchval("show idle_in_transaction_session_timeout") == "30s"
    kept = await admin.fetch(
        "select setconfig from pg_db_role_setting where setdatabase = $1",
        *(await admin.fetchrow("select oid from pg_database where datname = current_database()")),
    )
    assert len(kept) == 1
    await admin.close()


async def test_several_processes_may_start_at_once(empty: Database) -> None:
    await asyncio.gather(*(migrate(empty, composition.SQL_SLICES) for _ in range(5)))
    await require_migrated(empty)


async def test_an_upgrade_that_fails_leaves_nothing(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = sql_files(composition.SQL_SLICES)

    def with_a_fault(_slices: Sequence[str]) -> list[str]:
        return [*scripts, "select 1 / 0"]

    monkeypatch.setattr(module, "sql_files", with_a_fault)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty, composition.SQL_SLICES)
    assert await state(empty) == (set(), set())
    monkeypatch.undo()
    await migrate(empty, composition.SQL_SLICES)
    await require_migrated(empty)


async def test_a_newer_schema_is_refused(empty: Database) -> None:
    await migrate(empty, composition.SQL_SLICES)
    async with empty.engine.begin() as conn:
        await conn.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(DatabaseUnsupported, match=r"newer Podium \(schema 9999\)"):
        await migrate(empty, composition.SQL_SLICES)
    with pytest.raises(DatabaseUnsupported, match=r"newer Podium \(schema 9999\)"):
        await require_migrated(empty)


async def test_an_old_server_is_refused(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    [row] = await empty.call("show server_version_num")
    version = int(row["server_version_num"])
    monkeypatch.setattr(module, "_OLDEST_SERVER", version + 1)
    with pytest.raises(DatabaseUnsupported) as refused:
        await migrate(empty, composition.SQL_SLICES)
    assert refused.value.message.startswith(f"PostgreSQL {version // 10000} is too old")
    assert "PODIUM_DATABASE_URL" in (refused.value.hint or "")
    assert await state(empty) == (set(), set())


async def test_a_server_that_is_away_is_told_so(server_url: str) -> None:
    gone = Database("postgresql://podium@/none?host=/nowhere")
    with pytest.raises(Unavailable):
        await migrate(gone, composition.SQL_SLICES)
    with pytest.raises(Unavailable):
        await require_migrated(gone)
    await gone.close()


def test_the_sql_of_a_package_comes_in_order() -> None:
    events, *scheduler = sql_files(composition.SQL_SLICES)
    assert "function lock_events" in events
    joined = "\n".join(scheduler)
    assert joined.index("function lock_gates") < joined.index("function claim_tasks")


async def written(database: Database, name: str) -> list[tuple[str, str]]:
    """Signature and writing transaction of the functions of a name."""
    rows = await database.call(
        "select oid::regprocedure::text, xmin::text from pg_proc where proname = $1"
        " order by oid::regprocedure::text",
        name,
    )
    return [tuple(row) for row in rows]


def function(name: str, arguments: str, gives: str) -> str:
    return (
        f"create or replace function {name}({arguments}) returns {gives}"
        f" language sql as $$ select '{len(arguments)}'::{gives} $$;\n"
    )


async def install(database: Database, *scripts: str) -> None:
    async with database.engine.begin() as conn:
        await functions.install(conn, scripts)


async def test_functions_that_are_there_are_left_alone(empty: Database) -> None:
    await migrate(empty, composition.SQL_SLICES)
    before = await written(empty, "claim_tasks")
    await migrate(empty, composition.SQL_SLICES)
    assert await written(empty, "claim_tasks") == before


async def test_an_older_program_does_not_put_its_functions_back(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = sql_files(composition.SQL_SLICES)
    with monkeypatch.context() as newer:
        newer.setattr(functions, "__version__", "9.0.1")
        newer.setattr(module, "sql_files", lambda _: [*scripts, function("added", "", "int")])  # pyright: ignore[reportUnknownLambdaType]
        await migrate(empty, composition.SQL_SLICES)
    before = await written(empty, "added"), await written(empty, "claim_tasks")
    for refused in (migrate, require_migrated):
        with pytest.raises(DatabaseUnsupported, match=r"upgraded by Podium 9\.0\.1") as told:
            await refused(empty, composition.SQL_SLICES)
        assert "Upgrade this one to 9.0.1" in (told.value.hint or "")
    assert (await written(empty, "added"), await written(empty, "claim_tasks")) == before


async def test_a_newer_program_replaces_the_functions_of_an_older(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(empty, composition.SQL_SLICES)
    monkeypatch.setattr(functions, "__version__", "9.0.1")
    scripts = sql_files(composition.SQL_SLICES)
    monkeypatch.setattr(module, "sql_files", lambda _: [*scripts, function("added", "", "int")])  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(Unavailable, match=r"this is Podium 9\.0\.1"):
        await require_migrated(empty, composition.SQL_SLICES)
    await migrate(empty, composition.SQL_SLICES)
    await require_migrated(empty, composition.SQL_SLICES)
    assert await written(empty, "added")


async def test_a_function_with_another_signature_takes_the_place_of_the_old(
    database: Database,
) -> None:
    await database.call(function("others", "n int", "int"))
    await install(database, function("a", "n int", "int") + function("b", "", "int"))
    same = await written(database, "others")
    await install(database, function("a", "n int, m int", "int") + function("b", "", "int"))
    assert [name for name, _ in await written(database, "a")] == ["a(integer,integer)"]
    for gives in ("bigint", "int"):
        await install(database, function("a", "k int", gives) + function("b", "", "int"))
        [row] = await database.call("select pg_typeof(a(1))::text = $1::regtype::text", gives)
        assert row[0]
    assert [name for name, _ in await written(database, "b")] == ["b()"]
    await install(database, function("a", "k int", "int"))
    assert await written(database, "b") == []
    assert await written(database, "others") == same


async def test_functions_are_on_record_once_all_are_installed(database: Database) -> None:
    await install(database, function("a", "", "int"))
    before = await written(database, "a")
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await install(database, function("a", "", "bigint"), "nonsense")
    assert await written(database, "a") == before
    await install(database, function("a", "", "bigint"))
    assert await written(database, "a") != before
