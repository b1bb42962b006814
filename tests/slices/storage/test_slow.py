"""Statements that take too long are logged without their values, and counted; others are not."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY
from sqlalchemy import text

from podium.kernel.errors import Unavailable
from podium.storage.database import Database

SLEEP = "select $1::text as said, pg_sleep(0.15)"
Told = list[MutableMapping[str, Any]]


@pytest.fixture
async def watched(database: Database) -> Any:
    """A database whose statements may take 0.1 s."""
    watched = Database(database.engine.url.render_as_string(hide_password=False), slow_seconds=0.1)
    yield watched
    await watched.close()


@pytest.fixture
def told() -> Iterator[Told]:
    with structlog.testing.capture_logs() as told:
        yield told


def slow(told: Told) -> list[MutableMapping[str, Any]]:
    return [each for each in told if each["event"] == "database.slow_statement"]


def counted() -> float:
    return REGISTRY.get_sample_value("podium_slow_statements_total") or 0.0


async def _called(database: Database) -> None:
    await database.call(SLEEP, "CANARY")


async def _read(database: Database) -> None:
    async with database.connect() as conn:
        await conn.execute(text("select :said, pg_sleep(0.15)"), {"said": "CANARY"})


async def _changed(database: Database) -> None:
    async with database.transaction() as conn:
        await conn.execute(text("select :said, pg_sleep(0.15)"), {"said": "CANARY"})


@pytest.mark.parametrize("use", [_called, _read, _changed])
async def test_a_slow_statement_is_told_of_however_it_was_sent(
    watched: Database, told: Told, use: Callable[[Database], Awaitable[None]]
) -> None:
    before = counted()
    await watched.call("select 1")
    assert slow(told) == []
    await use(watched)
    (line,) = slow(told)
    assert line["log_level"] == "warning"
    assert "pg_sleep(0.15)" in line["statement"]
    assert "CANARY" not in str(told)
    assert 0.15 <= line["seconds"] < 5
    assert line["rows"] == 1
    assert counted() == before + 1


async def test_one_that_fails_or_is_given_up_is_told_of_too(watched: Database, told: Told) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await watched.call("select pg_sleep(30)")
    async with watched.connect() as conn:
        await conn.execute(text("set statement_timeout = '150ms'"))
        with pytest.raises(Unavailable):
            async with watched.connect():
                await conn.execute(text("select pg_sleep(30)"))
    assert [(line["rows"], line["statement"]) for line in slow(told)] == [
        (None, "select pg_sleep(30)")
    ] * 2


async def test_a_slow_commit_is_told_of(watched: Database, told: Told) -> None:
    await watched.call(
        "create function wait_a_bit() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(0.15); return null; end $$"
    )
    await watched.call(
        "create constraint trigger late after insert on meta deferrable initially deferred"
        " for each row execute function wait_a_bit()"
    )
    async with watched.transaction() as conn:
        await conn.execute(text("insert into meta (key, value) values ('x', '1')"))
    (line,) = slow(told)
    assert line["statement"].startswith("COMMIT")


async def test_none_is_told_of_where_none_is_wanted(database: Database, told: Told) -> None:
    await database.call(SLEEP, "x")
    assert slow(told) == []
