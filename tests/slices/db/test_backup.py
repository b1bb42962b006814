"""Backups: whole, consistent while others write, restored as they were or not at all."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from podium import app as composition
from podium.events import store as events
from podium.events.live import Feed
from podium.events.model import Cursor
from podium.kernel.errors import Conflict, Gone, Unavailable
from podium.kernel.settings import Settings
from podium.server.db import commands
from podium.storage.database import Database
from podium.storage.migrate import head, require_migrated
from podium.storage.valkey import Valkey
from slices.db.backups import back_up, change_manifest, quiet, restore
from slices.db.conftest import Place
from slices.db.flight import STATES, engine_on, land, take_off
from slices.scheduler.books import assert_balanced
from slices.scheduler.engine import Engine


async def test_work_in_flight_ends_exactly_once_after_a_restore(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    flight = await take_off(engine)
    made = await back_up(source, tmp_path / "b.tar", verify=True)
    assert (made["tasks"], made["artifacts"], made["schema"]) == (9, 0, head())
    await engine.submit()  # comes too late
    told = await restore(target, tmp_path / "b.tar")
    assert (told["tasks"], told["epoch"], told["done"]) == (9, 2, True)
    await require_migrated(target.database, composition.SQL_SLICES)
    restored = engine_on(target.database)
    assert await flight.states(restored) == STATES
    await land(restored, flight)
    states = await restored.run("select state from worker order by started_at")
    assert [row.state for row in states] == ["stopped", "stopped", "active"]  # none of them died
    assert not await restored.run("select from event where type = 'worker.lost'")
    assert await flight.states(engine) == STATES  # the first goes its own way


async def test_a_backup_under_load_is_of_one_moment(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    over = asyncio.Event()

    async def work() -> None:
        worker = await engine.worker(concurrency=100)
        while not over.is_set():
            parents = await engine.submit_many(20)
            await engine.submit_many(20, after=parents[:3])
            await engine.succeed(worker, *await engine.claim(worker, 25))

    working = [asyncio.create_task(work()) for _ in range(3)]
    try:
        await asyncio.sleep(0.5)
        made = await back_up(source, tmp_path / "b.tar")
    finally:
        over.set()
        await asyncio.gather(*working)
    assert made["tasks"] > 40
    await restore(target, tmp_path / "b.tar")
    await assert_balanced(target.database)
    (row,) = await target.database.call("select count(*) as n from task")
    assert row["n"] == made["tasks"]


async def test_cursors_of_what_the_copy_has_not_are_told_to_read_anew(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    await engine.submit()
    known = await newest_event(source.database)
    await back_up(source, tmp_path / "b.tar")
    await engine.submit()
    lost = await newest_event(source.database)
    assert lost > known
    await restore(target, tmp_path / "b.tar")
    feed = Feed(target.database, Valkey("unix:///nowhere.sock"))
    for cursor in (Cursor(0, 0, 0), known):
        assert await feed.begin(cursor) == cursor
    with pytest.raises(Gone, match=f"restored or moved since {lost}"):
        await feed.begin(lost)
    now = await feed.begin()
    assert now.epoch == 2
    follower = await feed.begin(known)
    joined = replace(engine_on(target.database), project=engine.project, agents=engine.agents)
    later = await joined.submit()
    async with target.database.connect() as conn:
        _, page = await events.page(conn, follower, 100)
    assert {event.subject for event in page} == {later}
    assert all(event.cursor.epoch == 2 for event in page)


async def newest_event(database: Database) -> Cursor:
    async with database.connect() as conn:
        found = await events.newest_before(
            conn, (await database.call("select now() + '1h'::interval"))[0][0]
        )
    assert found is not None
    return found


async def test_an_epoch_is_above_that_of_what_is_replaced(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    await engine.submit()
    await back_up(source, tmp_path / "b.tar")
    assert (await restore(target, tmp_path / "b.tar"))["epoch"] == 2
    between = await newest_cursor(target.database)
    assert (await restore(target, tmp_path / "b.tar", replacing=True))["epoch"] == 3
    feed = Feed(target.database, Valkey("unix:///nowhere.sock"))
    with pytest.raises(Gone):
        await feed.begin(between)
    await back_up(target, tmp_path / "c.tar")
    assert (await restore(target, tmp_path / "c.tar", replacing=True))["epoch"] == 4
    with pytest.raises(Gone):
        await feed.begin(between)


async def newest_cursor(database: Database) -> Cursor:
    async with database.connect() as conn:
        return await events.newest(conn)


async def test_what_is_in_use_is_replaced_only_when_asked(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    task = await engine.submit()
    await back_up(source, tmp_path / "b.tar")
    later = await engine.submit()
    with pytest.raises(Conflict, match="in use: it holds tasks"):
        await restore(source, tmp_path / "b.tar")
    told = await restore(source, tmp_path / "b.tar", replacing=True, dry_run=True)
    assert (told["done"], told["epoch"]) == (False, None)
    assert await engine.state(later) == "ready"
    await restore(source, tmp_path / "b.tar", replacing=True)
    assert await engine.state(task) == "ready"
    assert await engine.run("select 1 from task where id = :id", id=later) == []


async def test_nobody_may_be_at_work(source: Place, engine: Engine, tmp_path: Path) -> None:
    await engine.submit()
    await back_up(source, tmp_path / "b.tar")
    await source.database.call("select 1")
    with pytest.raises(Conflict, match="Servers or workers of Podium use this database"):
        await commands.restore(
            source.settings, tmp_path / "b.tar", quiet, replace=True, dry_run=False
        )


async def test_tables_of_others_are_not_touched(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    await back_up(source, tmp_path / "b.tar")
    await target.database.call("create table accounts (id int)")
    with pytest.raises(Conflict, match="not Podium's: accounts"):
        await restore(target, tmp_path / "b.tar", replacing=True)


async def test_a_restore_that_fails_leaves_all_as_it_was(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    task = await engine.submit()
    await back_up(source, tmp_path / "b.tar")
    change_manifest(
        tmp_path / "b.tar", lambda told: told["database"]["tables"]["task"].update(rows=9)
    )
    later = await engine.submit()
    with pytest.raises(Unavailable, match="table task has 1 rows, not 9"):
        await restore(source, tmp_path / "b.tar", replacing=True)
    assert await engine.states(task, later) == ["ready", "ready"]
    with pytest.raises(Unavailable, match="table task has 1 rows"):
        await restore(target, tmp_path / "b.tar")
    assert await target.database.call("select 1 from pg_tables where schemaname = 'public'") == []


async def test_a_copy_takes_as_long_as_it_needs(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    await engine.submit_many(300)
    for place in (source, target):
        [row] = await place.database.call(
            "select current_database() as name,"
            " current_setting('server_version_num')::int as number"
        )
        limit = "transaction_timeout" if row["number"] >= 170000 else "statement_timeout"
        await place.database.call(f"alter database {row['name']} set {limit} = '200ms'")
        await place.database.engine.dispose()
    await back_up(source, tmp_path / "b.tar")
    assert (await restore(target, tmp_path / "b.tar"))["tasks"] == 300


async def test_a_copy_that_breaks_off_is_not_committed(
    source: Place, target: Place, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.submit_many(500)
    await back_up(source, tmp_path / "b.tar")
    read = commands.archive.read

    def cut(path: Path, moved: Any, *, database: Path | None = None) -> Any:
        manifest = read(path, moved, database=database)
        assert database is not None
        content = database.read_bytes()
        database.write_bytes(content[: len(content) * 2 // 3])
        return manifest

    monkeypatch.setattr(commands.archive, "read", cut)
    with pytest.raises(Unavailable, match="pg_restore failed"):
        await restore(target, tmp_path / "b.tar")
    assert await target.database.call("select 1 from pg_tables where schemaname = 'public'") == []


async def test_of_several_hosts_that_one_is_copied_that_answers(
    source: Place,
    target: Place,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def several(place: Place) -> Place:
        url = make_url(place.url)
        host = f"{url.host}:{url.port or 5432}" if url.host else url.query["host"]
        query = {**url.query, "host": f"127.0.0.1:1,{host}", "target_session_attrs": "primary"}
        given = url.set(host=None, port=None, query=query).render_as_string(hide_password=False)
        return replace(
            place, settings=place.settings.model_copy(update={"database_url": SecretStr(given)})
        )

    monkeypatch.setenv("PGSSLMODE", "disable")
    await engine.submit()
    await back_up(several(source), tmp_path / "b.tar")
    assert (await restore(several(target), tmp_path / "b.tar"))["tasks"] == 1


async def test_copies_are_made_past_a_pooler(source: Place, tmp_path: Path) -> None:
    mark = "&" if "?" in source.url else "?"
    pooled = Settings.model_validate(
        {"home": tmp_path, "database_url": f"{source.url}{mark}pooler=transaction"}
    )
    with pytest.raises(Conflict, match="A pooler stands before"):
        await commands.backup(pooled, tmp_path / "b.tar", quiet, verify=False)
