"""Looking at a database, bringing it up to date, and moving an embedded one to a server."""

import asyncio
import tomllib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from podium import app as composition
from podium.kernel.errors import Conflict, NotFound
from podium.kernel.settings import Settings
from podium.server.db import checks, commands, settings_file
from podium.server.db.progress import Progress
from podium.server.db.reach import reached
from podium.storage import migrate as migrations
from podium.storage.database import Database, metadata
from podium.storage.embedded import EmbeddedServers
from podium.storage.functions import DatabaseUnsupported
from podium.storage.migrate import migrate
from slices.db.conftest import Place
from slices.db.flight import STATES, Flight, engine_on, land, take_off
from slices.scheduler.engine import Engine

Steps = list[tuple[str, int, int]]


def listen(steps: Steps) -> Progress:
    def on_step(step: str, done: int, of: int) -> None:
        steps.append((step, done, of))

    return on_step


async def test_what_is_told_of_a_database(source: Place, engine: Engine) -> None:
    await engine.submit()
    told = await commands.show(source.settings)
    assert told["embedded"] is False
    assert told["place"].startswith("postgresql://postgres")
    assert (told["replica"], told["pooler"], told["replicas"]) == (False, False, 0)
    assert told["schema"] == {
        "revision": migrations.head(),
        "wanted": migrations.head(),
        "pending": [],
        "functions": True,
        "epoch": 1,
        "trouble": None,
    }
    assert {"event", "task"} <= {table["name"] for table in told["tables"]}
    assert not [table for table in told["tables"] if table["name"].startswith("event_")]
    connections = told["connections"]
    assert 1 <= connections["podium"] < connections["used"] <= connections["most"]


async def test_a_password_is_never_told(tmp_path: Path) -> None:
    url = "postgresql://podium:word-of-old@db.internal/podium?sslmode=require&password=word-too"
    settings = Settings.model_validate({"home": tmp_path, "database_url": url})
    async with reached(settings) as found:
        assert found.address.shown == "postgresql://podium:***@db.internal/podium"


async def test_a_database_of_a_newer_podium_is_told_of(source: Place) -> None:
    await source.database.call("update alembic_version set version_num = '9999'")
    told = (await commands.show(source.settings))["schema"]
    assert (told["revision"], told["functions"]) == ("9999", False)
    assert "newer Podium" in told["trouble"]


async def test_what_is_behind_a_pooler_is_told_so(
    server_url: str, database: Database, tmp_path: Path
) -> None:
    url = database.address.url.render_as_string(hide_password=False)
    settings = Settings.model_validate({"home": tmp_path, "database_url": url})
    told = await commands.show(settings)
    assert told["pooler"] == database.address.pooled


async def test_every_table_is_known(source: Place) -> None:
    """Else a restore would take it for somebody else's, and refuse."""
    rows = await source.database.call(
        "select relname as name from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind in ('r', 'p') and not relispartition"
    )
    assert {row["name"] for row in rows} == checks.OTHER_TABLES | set(metadata.tables)


async def test_migrations_are_told_of_and_then_made(target: Place) -> None:
    steps: Steps = []
    planned = await commands.migrate(target.settings, listen(steps), dry_run=True)
    assert (planned["from"], planned["to"]) == (None, migrations.head())
    assert (planned["done"], planned["functions"], steps) == (False, True, [])
    assert await target.database.call("select 1 from pg_tables where schemaname = 'public'") == []
    made = await commands.migrate(target.settings, listen(steps), dry_run=False)
    assert made["migrations"] == planned["migrations"]
    count = len(made["migrations"])
    assert [step[1:] for step in steps] == [(number + 1, count) for number in range(count)]
    assert steps[0][0].startswith("0001 ")
    again = await commands.migrate(target.settings, listen(steps), dry_run=False)
    assert (again["migrations"], again["functions"], len(steps)) == ([], False, count)


async def test_several_may_migrate_at_once(target: Place) -> None:
    made = await asyncio.gather(
        *(commands.migrate(target.settings, listen([]), dry_run=False) for _ in range(4))
    )
    assert all(each["done"] for each in made)
    await migrations.require_migrated(target.database, composition.SQL_SLICES)


async def test_nothing_is_done_to_the_schema_of_a_newer_podium(source: Place) -> None:
    await source.database.call("update alembic_version set version_num = '9999'")
    for dry_run in (True, False):
        with pytest.raises(DatabaseUnsupported, match=r"newer Podium \(schema 9999\)"):
            await commands.migrate(source.settings, listen([]), dry_run=dry_run)


@asynccontextmanager
async def embedded(home: Path) -> AsyncGenerator[Database]:
    servers = EmbeddedServers(home, valkey=False)
    urls = await servers.start()
    assert urls.database_url is not None
    database = Database(urls.database_url)
    yield database
    await database.close()
    await servers.stop()


async def at_work(home: Path) -> Flight:
    """Have an embedded installation with work under way, which then is stopped."""
    async with embedded(home) as database:
        await migrate(database, composition.SQL_SLICES)
        return await take_off(await Engine.create(database))


async def test_an_embedded_installation_moves_to_a_server(home: Path, target: Place) -> None:
    flight = await at_work(home)
    (home / "settings.toml").write_text('log_level = "debug"\n')
    steps: Steps = []
    settings = Settings.model_validate({"home": home})
    told = await commands.promote(settings, target.url, listen(steps), keep_setting=True)
    assert told["rows"]["task"] == len(flight.tasks) + 1
    assert told["epoch"] == 2
    assert {step for step, _, _ in steps} == {"database"}
    kept = (home / "settings.toml").read_text()
    assert kept == f'database_url = "{target.url}"\nlog_level = "debug"\n'
    moved = engine_on(target.database)
    assert await flight.states(moved) == STATES
    await land(moved, flight)
    async with embedded(home) as database:
        assert await flight.states(engine_on(database)) == STATES
        [row] = await database.call("select value::text as epoch from meta where key = 'epoch'")
        assert row["epoch"] == "1"


async def test_where_an_installation_does_not_move(
    home: Path, source: Place, target: Place, engine: Engine
) -> None:
    settings = Settings.model_validate({"home": home})
    await engine.submit()
    await source.database.engine.dispose()
    with pytest.raises(Conflict, match="in use"):
        await commands.promote(settings, source.url, listen([]), keep_setting=False)
    with pytest.raises(Conflict, match="A pooler stands before"):
        await commands.promote(
            settings, f"{target.url}&pooler=transaction", listen([]), keep_setting=False
        )
    with pytest.raises(Conflict, match="uses a server already"):
        await commands.promote(source.settings, target.url, listen([]), keep_setting=False)
    async with embedded(home):
        with pytest.raises(Conflict, match="Podium runs on"):
            await commands.promote(settings, target.url, listen([]), keep_setting=False)
    with pytest.raises(NotFound, match="holds nothing of Podium"):
        await commands.promote(settings, target.url, listen([]), keep_setting=False)
    assert await target.database.call("select 1 from pg_tables where schemaname = 'public'") == []


async def test_there_must_be_a_database(tmp_path: Path) -> None:
    settings = Settings.model_validate({"home": tmp_path / "none"})
    with pytest.raises(NotFound, match="There is no database in"):
        await commands.show(settings)
    assert not (tmp_path / "none").exists()


def test_a_url_is_kept_as_it_is_whatever_is_in_it(tmp_path: Path) -> None:
    url = 'postgresql://u:a\\tb"@h/dü'
    file = settings_file.keep_url(tmp_path, url)
    assert tomllib.loads(file.read_text()) == {"database_url": url}


def test_a_url_in_the_settings_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('port = 1\ndatabase_url = "postgresql://old/x"\n')
    assert settings_file.keep_url(tmp_path, "postgresql://new/x") == file
    assert file.read_text() == 'port = 1\ndatabase_url = "postgresql://new/x"\n'
    assert file.stat().st_mode & 0o777 == 0o600
