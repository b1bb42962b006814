"""The event table: what a reader may see, in which order, and how filters find it."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import retention, store
from podium.events.model import BEGINNING, Cursor, Event, EventFilter, NewEvent
from podium.kernel.errors import InvalidInput
from podium.kernel.ids import uuid7
from podium.storage.database import Database


async def write(database: Database, *names: str, project: UUID | None = None) -> None:
    async with database.transaction() as conn:
        await store.append(conn, [NewEvent(name, uuid7(), project) for name in names])


async def complete(database: Database, after: Cursor = BEGINNING) -> list[Event]:
    async with database.connect() as conn:
        return (await store.page(conn, after, 1000))[1]


def names(events: list[Event]) -> list[str]:
    return [event.type for event in events]


async def test_an_event_keeps_what_was_written(database: Database) -> None:
    subject, project = uuid7(), uuid7()
    data = {"text": "ünï", "n": [1, 2.5, None, True]}
    async with database.transaction() as conn:
        await store.append(
            conn, [NewEvent("a.b", subject, project_id=project, actor="token:x", data=data)]
        )
    (event,) = await complete(database)
    assert (event.type, event.subject, event.project_id) == ("a.b", subject, project)
    assert (event.actor, event.version, event.data) == ("token:x", 1, data)
    assert event.at.tzinfo is not None


async def test_a_slower_transaction_that_began_first_is_not_lost(database: Database) -> None:
    async with database.transaction() as slow:
        await store.append(slow, [NewEvent("slow.one", uuid7())])
        await write(database, "fast.one")
        assert names(await complete(database)) == []
        async with database.connect() as conn:
            assert (await store.edge(conn)).held
    assert names(await complete(database)) == ["slow.one", "fast.one"]
    async with database.connect() as conn:
        assert not (await store.edge(conn)).held


async def test_a_later_transaction_comes_later_although_its_ids_are_lower(
    database: Database, direct_url: str
) -> None:
    sessions = Database(direct_url.format(str(database.engine.url.database)))

    async def tell(session: AsyncConnection, name: str) -> None:
        await session.execute(text("select lock_events()"))
        await store.append(session, [NewEvent(name, uuid7())])
        await session.commit()

    async with sessions.engine.connect() as early, sessions.engine.connect() as late:
        await tell(early, "first")  # takes a lot of ids, all lower than those of the other session
        await tell(late, "second")
        await tell(early, "third")
    await sessions.close()
    first, second, third = await complete(database)
    assert names([first, second, third]) == ["first", "second", "third"]
    assert first.cursor.id < third.cursor.id < second.cursor.id
    assert await complete(database, second.cursor) == [third]
    assert (await all_back(database, EventFilter(), 10))[0] == [third, second, first]


async def test_only_event_writers_hold_the_feed_back(database: Database, server_url: str) -> None:
    await write(database, "before")
    async with database.engine.begin() as other:
        await other.execute(text("create temp table t (x int)"))
        await other.execute(text("select pg_current_xact_id()"))
        await write(database, "after")
        assert names(await complete(database)) == ["before", "after"]


async def test_writers_of_another_database_do_not_hold_the_feed_back(
    database: Database, server_url: str
) -> None:
    other = Database(server_url.format("template_podium_other"))
    async with database.engine.connect() as conn:
        await conn.execution_options(isolation_level="AUTOCOMMIT")
        await conn.execute(text("create database template_podium_other template template_podium"))
    try:
        async with other.transaction() as foreign:
            await store.append(foreign, [NewEvent("foreign", uuid7())])
            await write(database, "ours")
            assert names(await complete(database)) == ["ours"]
    finally:
        await other.close()
        async with database.engine.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            await conn.execute(text("drop database template_podium_other with (force)"))


async def test_events_of_a_rolled_back_transaction_are_never_seen(database: Database) -> None:
    async with database.engine.connect() as conn:
        await conn.execute(text("select lock_events()"))
        await store.append(conn, [NewEvent("never", uuid7())])
        await conn.rollback()
    await write(database, "real")
    assert names(await complete(database)) == ["real"]


async def test_a_new_epoch_comes_after_the_old_one_whatever_its_transaction_ids(
    database: Database,
) -> None:
    await write(database, "old")
    async with database.transaction() as conn:
        await conn.execute(text("update event set xid = 9000000000000000000"))
        await conn.execute(text("update meta set value = '2' where key = 'epoch'"))
        await conn.execute(text("alter table event alter column epoch set default 2"))
    await write(database, "new")
    events = await complete(database)
    assert names(events) == ["old", "new"]
    assert [event.cursor.epoch for event in events] == [1, 2]


async def all_back(
    database: Database, wanted: EventFilter, limit: int
) -> tuple[list[Event], list[int]]:
    """What going back from the edge finds, and how much each look found."""
    found: list[Event] = []
    looks: list[int] = []
    async with database.connect() as conn:
        before, ended = (await store.edge(conn)).cursor, False
        while not ended:
            more, before, ended = await store.scan_back(conn, before, wanted, limit)
            found += more
            looks.append(len(more))
    return found, looks


async def test_going_back_finds_the_same_in_the_other_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = uuid7()
    for number in range(25):
        await write(database, "common.one", project=ours if number % 2 else None)
    await write(database, "rare.one", project=ours)
    everything = (await complete(database))[::-1]
    subject = everything[3].subject
    monkeypatch.setattr(store, "_WINDOW", 10)
    for wanted, looks in (
        (EventFilter(), [4] * 6 + [2]),
        (EventFilter(projects=frozenset({ours})), [4, 4, 4, 1]),
        (EventFilter(types=("rare.*",)), [1, 0, 0]),
        (EventFilter(subjects=frozenset({subject})), [1]),
    ):
        expected = [event for event in everything if wanted.matches(event)]
        assert await all_back(database, wanted, 4) == (expected, looks)


async def test_scan_filters_by_project_subject_and_type(database: Database) -> None:
    ours, theirs = uuid7(), uuid7()
    await write(database, "task.created", "task.ended", "agent.registered", project=ours)
    await write(database, "task.created", project=theirs)
    await write(database, "worker.lost")
    everything = await complete(database)

    async def found(wanted: EventFilter) -> list[str]:
        async with database.connect() as conn:
            events, _, ended = await store.scan(conn, BEGINNING, wanted, 100)
        assert ended
        assert events == [event for event in everything if wanted.matches(event)]
        return names(events)

    assert len(await found(EventFilter())) == 5
    assert await found(EventFilter(projects=frozenset({ours}), types=("task.*",))) == [
        "task.created",
        "task.ended",
    ]
    assert await found(EventFilter(types=("worker.lost", "agent.*"))) == [
        "agent.registered",
        "worker.lost",
    ]
    assert await found(EventFilter(types=("task",))) == []
    assert await found(EventFilter(projects=frozenset())) == []
    subject = everything[1].subject
    assert await found(EventFilter(subjects=frozenset({subject}))) == ["task.ended"]
    assert (
        await found(EventFilter(projects=frozenset({theirs}), subjects=frozenset({subject}))) == []
    )


async def test_scan_pages_over_a_rare_type_in_bounded_steps(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_WINDOW", 10)
    await write(database, *["common"] * 25, "rare", *["common"] * 5, "rare")
    cursor, found, looks, ended = BEGINNING, list[str](), 0, False
    while not ended:
        async with database.connect() as conn:
            events, cursor, ended = await store.scan(conn, cursor, EventFilter(types=("rare",)), 1)
        found += names(events)
        looks += 1
    assert found == ["rare", "rare"]
    assert looks == 5


async def test_what_retention_drops_during_a_scan_takes_nothing_else_with_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_WINDOW", 10)
    await write(database, *["common"] * 15, "rare", *["common"] * 10)
    ask, dropped = AsyncConnection.execute, False

    async def ask_and_drop(self: AsyncConnection, *values: Any) -> Any:
        nonlocal dropped
        answer = await ask(self, *values)
        if not dropped:
            dropped = True
            oldest = text(
                "delete from event where id in"
                " (select id from event order by epoch, xid, id limit 8)"
            )
            await ask(self, oldest)
        return answer

    monkeypatch.setattr(AsyncConnection, "execute", ask_and_drop)
    cursor, found, ended = BEGINNING, list[str](), False
    while not ended:
        async with database.connect() as conn:
            events, cursor, ended = await store.scan(conn, cursor, EventFilter(types=("rare",)), 9)
        found += names(events)
    assert dropped
    assert found == ["rare"]


async def test_the_cursor_after_the_end_leads_to_the_next_event(database: Database) -> None:
    await write(database, "one")
    async with database.connect() as conn:
        _, cursor, ended = await store.scan(conn, BEGINNING, EventFilter(types=("x",)), 10)
    assert ended
    await write(database, "two")
    assert names(await complete(database, cursor)) == ["two"]


async def test_history_is_of_one_subject_and_needs_no_complete_feed(database: Database) -> None:
    subject = uuid7()
    async with database.transaction() as slow:
        await store.append(slow, [NewEvent("other", uuid7())])
        async with database.transaction() as conn:
            await store.append(conn, [NewEvent("a", subject), NewEvent("b", subject)])
        async with database.connect() as conn:
            found, more = await store.history(conn, subject, BEGINNING, 2)
            assert (names(found), more) == (["a", "b"], False)
            assert await store.history(conn, subject, BEGINNING, 1) == (found[:1], True)
            assert await store.history(conn, subject, found[0].cursor, 1) == (found[1:], False)


async def test_many_writers_with_slow_and_failing_transactions_lose_nothing(
    database: Database,
) -> None:
    """The reader follows while 8 writers commit, dawdle and roll back at random."""
    expected: set[UUID] = set()
    seen: list[UUID] = []
    done = asyncio.Event()

    async def writer(number: int) -> None:
        for turn in range(25):
            subject = uuid7()
            async with database.engine.connect() as conn:
                await conn.execute(text("select lock_events()"))
                await store.append(conn, [NewEvent("w", subject)])
                await asyncio.sleep(0.02 * ((number * turn) % 5))
                await store.append(conn, [NewEvent("w", subject)])
                if (number + turn) % 7 == 0:
                    await conn.rollback()
                else:
                    expected.add(subject)
                    await conn.commit()

    async def reader() -> None:
        cursor = BEGINNING
        async with database.connect() as conn:
            while True:
                last_round = done.is_set()
                for event in (await store.page(conn, cursor, 1000))[1]:
                    assert event.cursor > cursor
                    cursor = event.cursor
                    seen.append(event.subject)
                if last_round:
                    return

    async with asyncio.TaskGroup() as group:
        group.create_task(reader())
        await asyncio.gather(*(writer(number) for number in range(8)))
        done.set()
    assert len(seen) == 2 * len(expected)
    assert set(seen) == expected


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2", "1.2.x", "-1.2.3", "1.2.3.4", "99999.1.1", f"1.{2**63}.1", "\uff11.2.3"],
)
def test_a_wrong_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Cursor.parse(text)


def test_a_cursor_survives_its_text() -> None:
    cursor = Cursor(1, 2**40, 7)
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize("name", ["", "*", "Task.*", "task.*.x", "task..x", "task*", "a b"])
def test_a_wrong_type_filter_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        EventFilter(types=(name,))


async def test_retention_drops_old_days_and_remembers_up_to_where(database: Database) -> None:
    await write(database, "ancient", "old")
    async with database.transaction() as conn:
        await conn.execute(text("update event set at = now() - interval '40 days'"))
    await write(database, "new")
    async with database.transaction() as conn:
        await retention.forget(conn, 60)
    async with database.connect() as conn:
        assert await store.floor(conn) == BEGINNING
    ancient, old, new = await complete(database)
    assert [event.type for event in (ancient, old, new)] == ["ancient", "old", "new"]

    for _ in range(2):
        async with database.transaction() as conn:
            await retention.forget(conn, 30)
        assert names(await complete(database)) == ["new"]
        async with database.connect() as conn:
            assert await store.floor(conn) == old.cursor


async def test_retention_drops_whole_days(database: Database) -> None:
    async with database.transaction() as conn:
        await retention.forget(conn, 30)
        await conn.execute(
            text(
                "create table event_20200101 partition of event"
                " for values from ('2020-01-01') to ('2020-01-02')"
            )
        )
    await write(database, "old")
    async with database.transaction() as conn:
        await conn.execute(text("update event set at = '2020-01-01 12:00Z'"))
    (old,) = await complete(database)
    async with database.transaction() as conn:
        await retention.forget(conn, 30)
    async with database.connect() as conn:
        assert await store.floor(conn) == old.cursor
        gone = await conn.execute(text("select to_regclass('event_20200101')"))
        assert gone.scalar_one() is None


async def test_a_page_of_a_history_passes_over_nothing_that_is_about_to_be_committed(
    database: Database,
) -> None:
    subject = uuid7()

    async def tell(*kinds: str) -> None:
        async with database.transaction() as conn:
            await store.append(conn, [NewEvent(kind, subject) for kind in kinds])

    await tell("first")
    async with database.transaction() as slow:
        await store.append(slow, [NewEvent("slow", subject)])
        await tell("b", "c", "d")
        async with database.connect() as conn:
            page, more = await store.history(conn, subject, BEGINNING, 2)
    assert (names(page), more) == (["first"], True)
    async with database.connect() as conn:
        rest, more = await store.history(conn, subject, page[-1].cursor, 10)
    assert (names(rest), more) == (["slow", "b", "c", "d"], False)
