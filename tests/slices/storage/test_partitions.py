"""Daily partitions: made ahead, filled with what came early, dropped when old."""

import asyncio
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from podium.kernel.ids import uuid7
from podium.storage.database import Contended, Database
from podium.storage.migrate import migrate
from podium.storage.partitions import maintain
from statements import run

TODAY = date(2026, 3, 1)


@pytest.fixture
async def fresh(database: Database) -> Database:
    """The log as the migrations leave it: with nothing but its default partition."""
    for name in await names(database):
        if name != "log_default":
            await run(database, f"drop table {name}")
    return database


async def names(database: Database) -> list[str]:
    rows = await run(
        database,
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = to_regclass('log') order by 1",
    )
    return [row[0] for row in rows]


async def keep(database: Database, today: date, days: int = 14) -> bool:
    async with database.transaction() as conn:
        return await maintain(conn, "log", days, today)


async def write(database: Database, *moments: str) -> UUID:
    task = uuid7()
    for moment in moments:
        await run(
            database,
            "insert into log (at, task_id, attempt, stream, text)"
            " values (:at, :task, 1, 'stdout', :text)",
            at=datetime.fromisoformat(moment),
            task=task,
            text=moment,
        )
    return task


async def places(database: Database, task: UUID) -> dict[str, str]:
    """In which partition each piece of output is."""
    rows = await run(
        database,
        "select text, tableoid::regclass::text from log where task_id = :task order by id",
        task=task,
    )
    return {row[0]: row[1] for row in rows}


async def test_makes_a_week_ahead_and_today(fresh: Database) -> None:
    assert await keep(fresh, TODAY)
    assert await names(fresh) == [
        *(f"log_{TODAY + timedelta(days=n):%Y%m%d}" for n in range(8)),
        "log_default",
    ]
    assert await keep(fresh, TODAY)
    assert len(await names(fresh)) == 9


async def test_today_is_the_day_in_utc(fresh: Database) -> None:
    async with fresh.transaction() as conn:
        await maintain(conn, "log", 14)
    assert f"log_{datetime.now(UTC):%Y%m%d}" in await names(fresh)


async def test_rows_go_to_their_day_up_to_the_last_moment(fresh: Database) -> None:
    await keep(fresh, TODAY)
    moments = {
        "2026-02-28T23:59:59.999999+00:00": "log_default",
        "2026-03-01T00:00:00+00:00": "log_20260301",
        "2026-03-01T23:59:59.999999+00:00": "log_20260301",
        "2026-03-02T00:00:00+00:00": "log_20260302",
        "2026-03-02T01:00:00+02:00": "log_20260301",
        "2026-03-08T23:59:59+00:00": "log_20260308",
        "2026-03-09T00:00:00+00:00": "log_default",
    }
    task = await write(fresh, *moments)
    assert await places(fresh, task) == moments


async def test_rows_that_came_before_their_partition_move_into_it(fresh: Database) -> None:
    moments = {
        "2026-02-28T23:59:59.999999+00:00": "log_default",
        "2026-03-01T00:00:00+00:00": "log_20260301",
        "2026-03-04T12:00:00+00:00": "log_20260304",
        "2026-03-20T00:00:00+00:00": "log_default",
    }
    task = await write(fresh, *moments)
    assert set((await places(fresh, task)).values()) == {"log_default"}
    ids = "select id, text from log where task_id = :task order by id"
    before = await run(fresh, ids, task=task)
    await keep(fresh, TODAY)
    assert await places(fresh, task) == moments
    assert await run(fresh, ids, task=task) == before


async def test_drops_days_that_are_wholly_older_than_is_kept(fresh: Database) -> None:
    await keep(fresh, TODAY)
    old = await write(fresh, "2026-03-01T12:00:00+00:00", "2026-02-01T00:00:00+00:00")
    young = await write(fresh, "2026-03-02T00:00:00+00:00")
    await keep(fresh, TODAY + timedelta(days=14))
    assert len(await places(fresh, old)) == 1
    await keep(fresh, TODAY + timedelta(days=15))
    assert await places(fresh, old) == {}
    assert await places(fresh, young) == {"2026-03-02T00:00:00+00:00": "log_20260302"}
    assert (await names(fresh))[0] == "log_20260302"


async def test_strays_in_the_default_partition_go_when_they_are_old(fresh: Database) -> None:
    task = await write(fresh, "2026-02-14T23:59:59+00:00", "2026-02-15T00:00:00+00:00")
    await keep(fresh, TODAY)
    assert list(await places(fresh, task)) == ["2026-02-15T00:00:00+00:00"]


async def test_many_at_once_do_not_disturb_each_other_nor_writers(fresh: Database) -> None:
    tasks: list[UUID] = []

    async def write_on() -> None:
        """Whoever was about to write into the default partition may have to do so again."""
        while len(tasks) < 20:
            with suppress(Contended):
                tasks.append(await write(fresh, "2026-03-03T00:00:00+00:00"))

    results = await asyncio.gather(*(keep(fresh, TODAY) for _ in range(6)), write_on())
    assert set(results[:-1]) <= {True, False}
    assert await keep(fresh, TODAY)
    assert len(await names(fresh)) == 9
    for task in tasks:
        assert list((await places(fresh, task)).values()) == ["log_20260303"]


async def test_a_long_reader_postpones_it_and_nobody_waits(fresh: Database) -> None:
    """A backup holds every table; what must be dropped is dropped when it is done."""
    await keep(fresh, TODAY)
    async with fresh.engine.begin() as reader:
        await reader.execute(text("select count(*) from log"))
        later = TODAY + timedelta(days=15)
        assert await asyncio.wait_for(keep(fresh, later), 10) is False
        task = await asyncio.wait_for(write(fresh, "2026-03-16T00:00:00+00:00"), 1)
    assert "log_20260301" in await names(fresh)
    assert await keep(fresh, later)
    assert await places(fresh, task) == {"2026-03-16T00:00:00+00:00": "log_20260316"}
    assert "log_20260301" not in await names(fresh)


async def test_partitions_have_the_indexes_of_their_table(fresh: Database) -> None:
    await keep(fresh, TODAY)
    rows = await run(
        fresh,
        "select count(*) from pg_indexes where tablename = 'log_20260301'"
        " and indexdef like '%(task_id, id)%'",
    )
    assert rows[0][0] == 1


async def test_a_new_migration_run_keeps_partitions(fresh: Database) -> None:
    await keep(fresh, TODAY)
    before = await names(fresh)
    await migrate(fresh, ("podium.events", "podium.scheduler"))
    assert await names(fresh) == before
