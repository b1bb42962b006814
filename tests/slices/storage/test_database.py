"""The door to PostgreSQL: what it does when connections die."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from podium.kernel.errors import Unavailable
from podium.storage.database import Database

_KILL_OTHERS = (
    "select count(pg_terminate_backend(pid)) as n from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
)


async def _read(database: Database) -> None:
    async with database.connect() as conn:
        assert (await conn.execute(text("select 1 from pg_sleep(0.05)"))).scalar_one() == 1


async def _change(database: Database) -> None:
    async with database.transaction() as conn:
        assert (await conn.execute(text("select 1 from pg_sleep(0.05)"))).scalar_one() == 1


async def _call(database: Database) -> None:
    assert len(await database.call("select 1 from pg_sleep(0.05)")) == 1


@pytest.mark.parametrize("use", [_read, _change, _call])
async def test_connections_that_died_in_the_pool_are_replaced_unnoticed(
    database: Database, use: Callable[[Database], Awaitable[None]]
) -> None:
    """All of them, also the spare ones that nobody has used for long."""
    await asyncio.gather(*(use(database) for _ in range(5)))
    killer = Database(database.engine.url.render_as_string(hide_password=False))
    [row] = await killer.call(_KILL_OTHERS)
    await killer.close()
    assert row["n"] >= (1 if database.address.pooled else 5)
    await asyncio.sleep(0.1)
    await asyncio.gather(*(use(database) for _ in range(5)))


async def test_a_connection_that_dies_in_use_is_told_as_unavailable(database: Database) -> None:
    killer = Database(database.engine.url.render_as_string(hide_password=False))

    async def kill() -> None:
        await asyncio.sleep(0.2)
        await killer.call(_KILL_OTHERS)

    killing = asyncio.create_task(kill())
    with pytest.raises(Unavailable):
        await database.call("select pg_sleep(5)")
    await killing
    await killer.close()
    assert len(await database.call("select 1")) == 1


async def test_nobody_waits_for_the_answer_of_a_call_that_was_given_up(database: Database) -> None:
    """A server that does not hear of it would keep the connection busy for long."""
    url = database.engine.url.render_as_string(hide_password=False)
    narrow = Database(url, pool_size=1)
    try:
        busy = (await narrow.call("select pg_backend_pid() as pid"))[0]["pid"]
        given_up = asyncio.create_task(narrow.call("select pg_sleep(30)"))
        await asyncio.sleep(0.3)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert (await narrow.call("select pg_backend_pid() as pid"))[0]["pid"] != busy
    finally:
        await narrow.close()
