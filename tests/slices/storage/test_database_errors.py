"""The driver's errors as Podium's, and what runs after a commit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from podium.kernel.errors import NotFound, Unavailable
from podium.scheduler.batcher import Batcher
from podium.storage.address import SESSION_SETTINGS
from podium.storage.database import (
    Contended,
    Database,
    LeaseLost,
    OutcomeUnknown,
    after_commit,
    call_in,
    driver_errors,
)

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
    other = Database(url, patience=1)
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


async def test_wrong_use_of_the_driver_is_a_fault_of_ours(database: Database) -> None:
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        await database.call("select $1::int", 1, 2)
    async with database.connect() as conn:
        waiting = asyncio.create_task(call_in(conn, "select pg_sleep(0.3)"))
        await asyncio.sleep(0.05)
        with pytest.raises(asyncpg.InterfaceError, match="in progress"), driver_errors():
            await call_in(conn, "select 1")
        await waiting


@pytest.mark.parametrize("error", [FileNotFoundError("x"), TimeoutError("y"), OSError(28, "full")])
@pytest.mark.parametrize("door", [Database.connect, Database.transaction])
async def test_what_fails_beside_the_database_is_not_blamed_on_it(
    database: Database, door: Callable[[Database], Any], error: Exception
) -> None:
    async def fail() -> None:
        async with door(database) as conn:
            await conn.execute(text("select 1"))
            raise error

    with pytest.raises(type(error)) as told:
        await fail()
    assert told.value is error


async def test_a_limit_of_time_of_ours_is_not_blamed_on_the_database(database: Database) -> None:
    async def hurry() -> None:
        async with database.connect() as conn, asyncio.timeout(0.1):
            await conn.execute(text("select pg_sleep(20)"))

    with pytest.raises(TimeoutError):
        await hurry()


async def end_others(database: Database, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await database.call(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )


async def test_a_connection_that_is_lost_in_a_commit_leaves_the_outcome_open(
    database: Database,
) -> None:
    await database.call("create table mark (n int)")
    await database.call(
        "create function dawdle() returns trigger language plpgsql as"
        " 'begin perform pg_sleep(5); return null; end'"
    )
    await database.call(
        "create constraint trigger slow after insert on mark deferrable initially deferred"
        " for each row execute function dawdle()"
    )
    ending = asyncio.create_task(end_others(database, 0.5))
    with pytest.raises(OutcomeUnknown) as told:
        await in_transaction(database, "insert into mark values (1)")
    await ending
    assert "nothing was changed" not in f"{told.value.message} {told.value.hint}"
    assert "idempotency key" in (told.value.hint or "")
    assert (told.value.code, told.value.status) == ("outcome_unknown", 503)


async def test_a_statement_whose_answer_is_lost_leaves_the_outcome_open(
    database: Database, hasty: Database
) -> None:
    ending = asyncio.create_task(end_others(database, 0.3))
    with pytest.raises(OutcomeUnknown):
        await database.call("select pg_sleep(5)")
    await ending
    with pytest.raises(OutcomeUnknown):
        await hasty.call("select pg_sleep(20)")


async def test_a_connection_that_is_lost_before_the_commit_changed_nothing(
    database: Database, hasty: Database
) -> None:
    ending = asyncio.create_task(end_others(database, 0.3))
    for door, seconds in ((database, 5), (hasty, 20)):
        with pytest.raises(Unavailable) as told:
            await in_transaction(door, f"select pg_sleep({seconds})")
        assert not isinstance(told.value, OutcomeUnknown)
        assert "nothing was changed" in (told.value.hint or "")
    await ending


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


async def test_a_schema_that_changes_under_a_statement_is_contention(database: Database) -> None:
    """It has to be tried again, as the servers of the version before a migration do."""
    await database.call("create table changing (a int)")

    async def look() -> None:
        async with database.transaction() as conn:
            await call_in(conn, "select * from changing")

    await look()
    other = database.apart()
    await other.call("alter table changing add column b int")
    await other.close()
    if not database.address.pooled:  # else no statement outlasts its transaction
        with pytest.raises(Contended):
            await look()
    await look()


async def test_a_database_or_user_that_is_not_there(server_url: str) -> None:
    for url in (
        server_url.format("nowhere"),
        server_url.format("postgres").replace("//postgres:", "//nobody:x"),
    ):
        database = Database(url)
        with pytest.raises(Unavailable):
            await database.call("select 1")
        await database.close()


async def test_a_transaction_that_stands_still_is_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold back the feed of events for everybody."""
    if database.address.pooled:
        pytest.skip("sessions have it from their role; test_migrate sees to that")
    monkeypatch.setitem(SESSION_SETTINGS, "idle_in_transaction_session_timeout", "200ms")
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
