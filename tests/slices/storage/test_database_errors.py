"""The driver's errors as Podium's, and what runs after a commit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from podium.kernel.errors import NotFound, Unavailable
from podium.scheduler.batcher import Batcher
from podium.storage.database import Contended, Database, LeaseLost, after_commit, call_in

Way = Callable[[Database, str], Awaitable[object]]


async def by_call(database: Database, statement: str) -> None:
    await database.call(statement)


async def in_transaction(database: Database, statement: str) -> None:
    async with database.transaction() as conn:
        await conn.execute(text(statement))


async def in_raw_transaction(database: Database, statement: str) -> None:
    async with database.transaction() as conn:
        await call_in(conn, statement)


async def by_connection(database: Database, statement: str) -> None:
    async with database.connect() as conn:
        await conn.execute(text(statement))


WAYS: list[Way] = [by_call, in_transaction, in_raw_transaction, by_connection]


@pytest.fixture
async def raising(database: Database) -> Database:
    """A database with a function that fails as it is told: with a code, a message, a detail."""
    await database.call(
        "create function fail(code text, message text, more text default '') returns void"
        " language plpgsql as 'begin raise exception using errcode = code, message = message,"
        " detail = more; end'"
    )
    return database


@pytest.fixture
async def hasty(database: Database) -> AsyncIterator[Database]:
    """A door that does not wait for long."""
    url = database.engine.url.render_as_string(hide_password=False)
    other = Database(url, patience=0.3)
    yield other
    await other.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("53100", "no space left on device"),
        ("53200", "out of memory"),
        ("53300", "too many clients"),
        ("57014", "canceling statement due to statement timeout"),
        ("57P01", "terminating connection"),
        ("58030", "could not read block"),
        ("25006", "cannot execute in a read-only transaction"),
        ("55P03", "lock not available"),
        ("08006", "connection failure"),
    ],
)
async def test_what_the_server_cannot_do_now_is_unavailable(
    raising: Database, way: Way, code: str, why: str
) -> None:
    with pytest.raises(Unavailable, match=why) as told:
        await way(raising, f"select fail('{code}', '{why}')")
    assert not isinstance(told.value, Contended)
    assert told.value.hint


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", ["40P01", "40001"])
async def test_giving_in_to_others_is_told_apart(raising: Database, way: Way, code: str) -> None:
    with pytest.raises(Contended):
        await way(raising, f"select fail('{code}', 'x')")


@pytest.mark.parametrize("way", WAYS)
async def test_functions_of_ours_say_what_is_missing(raising: Database, way: Way) -> None:
    with pytest.raises(NotFound, match=r"^Task 7 does not exist\.$") as told:
        await way(raising, "select fail('PD404', 'task 7 does not exist', '7')")
    assert told.value.context == {"missing": "7"}
    with pytest.raises(LeaseLost):
        await way(raising, "select fail('PD001', 'x')")


@pytest.mark.parametrize("way", WAYS)
async def test_faults_of_ours_are_not_disguised(database: Database, way: Way) -> None:
    with pytest.raises((asyncpg.DivisionByZeroError, DBAPIError)):
        await way(database, "select 1 / 0")


async def test_arguments_that_do_not_fit_are_faults_of_ours(database: Database) -> None:
    with pytest.raises(asyncpg.DataError, match="int32"):
        await database.call("select $1::int", 2**40)


@pytest.mark.parametrize("way", WAYS)
async def test_patience_ends(hasty: Database, way: Way) -> None:
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await way(hasty, "select pg_sleep(20)")
    assert asyncio.get_running_loop().time() - started < 5
    await way(hasty, "select 1")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://podium@127.0.0.1:1/x",
        "postgresql://podium@/x?host=/nowhere",
        "postgresql://podium@no-such-host.invalid/x",
    ],
)
async def test_a_server_that_is_not_there(url: str) -> None:
    database = Database(url)
    for way in WAYS:
        with pytest.raises(Unavailable):
            await way(database, "select 1")
    await database.close()


async def test_a_database_or_user_that_is_not_there(server_url: str) -> None:
    for url in (
        server_url.format("nowhere"),
        server_url.format("postgres").replace("postgres:@", "nobody:x@"),
    ):
        database = Database(url)
        with pytest.raises(Unavailable):
            await database.call("select 1")
        await database.close()


async def test_a_transaction_that_stands_still_is_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold back the feed of events for everybody."""
    monkeypatch.setattr("podium.storage.database._IDLE_IN_TRANSACTION", "200ms")
    other = Database(database.engine.url.render_as_string(hide_password=False))

    async def stand_still() -> None:
        async with other.transaction() as conn:
            await asyncio.sleep(0.6)
            await conn.execute(text("select 1"))

    with pytest.raises(Unavailable):
        await stand_still()
    await other.close()


async def test_after_a_commit_and_only_then(database: Database) -> None:
    told: list[str] = []
    async with database.transaction() as conn:
        await conn.execute(text("create table mark (n int)"))
        after_commit(conn, lambda: told.append("first"))
        after_commit(conn, lambda: told.append("second"))
        assert told == []
    assert told == ["first", "second"]
    assert await database.call("select count(*) from mark")

    async def fail() -> None:
        async with database.transaction() as conn:
            after_commit(conn, lambda: told.append("never"))
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await fail()
    await in_transaction(database, "insert into mark values (1)")
    assert told == ["first", "second"]


async def test_not_after_a_commit_that_fails(database: Database) -> None:
    told: list[str] = []
    await database.call("create table one (n int unique deferrable initially deferred)")

    async def fail_at_the_end() -> None:
        async with database.transaction() as conn:
            after_commit(conn, lambda: told.append("never"))
            await conn.execute(text("insert into one values (1), (1)"))

    with pytest.raises(DBAPIError):
        await fail_at_the_end()
    assert told == []


async def test_there_is_nothing_to_commit_in_a_connection_for_reading(database: Database) -> None:
    async with database.connect() as conn:
        with pytest.raises(KeyError):
            after_commit(conn, lambda: None)


async def test_batches_that_gave_in_are_tried_again(raising: Database) -> None:
    tries = 0

    async def flush(rows: object) -> list[str]:
        nonlocal tries
        tries += 1
        if tries < 4:
            await raising.call("select fail('40P01', 'deadlock')")
        return ["done"]

    assert await Batcher[str, str](flush).put("row") == "done"
    assert tries == 4
