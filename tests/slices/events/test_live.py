"""The live feed: exact for every reader, however slow, lost or interrupted things are."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import live, store
from podium.events.live import Feed, Wakeups
from podium.events.model import BEGINNING, Cursor, EventFilter, NewEvent
from podium.kernel.errors import Gone, Unavailable
from podium.kernel.ids import uuid7
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from servers import ValkeyProcess

ALL = EventFilter()


@pytest.fixture
async def feed(database: Database, valkey: Valkey) -> AsyncIterator[Feed]:
    feed = Feed(database, valkey)
    await feed.open()
    yield feed
    await feed.close()


@pytest.fixture
async def wakeups(valkey: Valkey) -> AsyncIterator[Wakeups]:
    wakeups = Wakeups(valkey)
    yield wakeups
    await wakeups.close()


async def write(database: Database, *names: str) -> UUID:
    subject = uuid7()
    async with database.transaction() as conn:
        await store.append(conn, [NewEvent(name, subject) for name in names])
    return subject


class Reader:
    """Reads a feed until told to stop; remembers every (subject, type) it saw."""

    def __init__(self, feed: Feed, cursor: Cursor, wanted: EventFilter = ALL) -> None:
        self.feed = feed
        self.cursor = cursor
        self.wanted = wanted
        self.seen: list[tuple[UUID, str]] = []
        self.pause = 0.0

    async def read(self, count: int, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while len(self.seen) < count and time.monotonic() < deadline:
            events, cursor = await self.feed.after(self.cursor, self.wanted, seconds=1)
            assert cursor >= self.cursor
            last = self.cursor
            for event in events:
                assert event.cursor > last
                last = event.cursor
                self.seen.append((event.subject, event.type))
            self.cursor = cursor
            await asyncio.sleep(self.pause)


async def test_a_reader_gets_what_is_committed_after_it_began(
    database: Database, feed: Feed, wakeups: Wakeups
) -> None:
    await write(database, "old")
    reader = Reader(feed, await feed.begin())
    subject = await write(database, "a", "b")
    wakeups.feed()
    await reader.read(2)
    assert reader.seen == [(subject, "a"), (subject, "b")]


async def test_without_events_it_returns_in_time_and_its_cursor_moves_on(
    database: Database, feed: Feed
) -> None:
    start = await feed.begin()
    await database.call("select pg_current_xact_id()")
    began = time.monotonic()
    events, cursor = await feed.after(start, ALL, seconds=0.3)
    assert events == []
    assert 0.25 < time.monotonic() - began < 1.5
    await asyncio.sleep(1.1)
    _, cursor = await feed.after(cursor, ALL, seconds=0.1)
    assert cursor > start


async def test_a_reader_resumes_where_another_feed_left_it(
    database: Database, feed: Feed, valkey: Valkey, wakeups: Wakeups
) -> None:
    reader = Reader(feed, await feed.begin())
    await write(database, "one")
    wakeups.feed()
    await reader.read(1)
    await feed.close()
    await write(database, "two")
    restarted = Feed(database, valkey)
    await restarted.open()
    resumed = Reader(restarted, await restarted.begin(reader.cursor))
    await resumed.read(1)
    await restarted.close()
    assert [name for _, name in reader.seen + resumed.seen] == ["one", "two"]


async def test_a_filtered_reader_passes_over_the_rest(
    database: Database, feed: Feed, wakeups: Wakeups
) -> None:
    reader = Reader(feed, await feed.begin(), EventFilter(types=("rare.*",)))
    for _ in range(30):
        await write(database, *["common"] * 100)
    wanted = await write(database, "rare.one")
    wakeups.feed()
    await reader.read(1)
    assert reader.seen == [(wanted, "rare.one")]


async def test_a_slow_reader_goes_on_from_the_table(
    database: Database, valkey: Valkey, wakeups: Wakeups
) -> None:
    feed = Feed(database, valkey, kept=50)
    await feed.open()
    slow, quick = Reader(feed, await feed.begin()), Reader(feed, await feed.begin())
    first = asyncio.create_task(quick.read(4000))
    for _ in range(40):
        await write(database, *[f"n.{chr(97 + number % 26)}" for number in range(100)])
        wakeups.feed()
    await first
    assert len(feed._recent) <= 100
    await slow.read(4000)
    await feed.close()
    assert slow.seen == quick.seen
    assert len(slow.seen) == 4000


async def test_what_is_in_memory_is_bounded_by_its_size_too(
    database: Database, feed: Feed, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 50_000
    monkeypatch.setattr(live, "_MOST_BYTES", most)
    slow, quick = Reader(feed, await feed.begin()), Reader(feed, await feed.begin())
    reading = asyncio.create_task(quick.read(60))
    for size in [1000] * 30 + [2 * most] + [1000] * 29:
        async with database.transaction() as conn:
            await store.append(conn, [NewEvent("n", uuid7(), data={"text": "x" * size})])
        wakeups.feed()
        await asyncio.sleep(0.01)
        assert sum(len(event.data["text"]) for event in feed._recent) < most
    await reading
    assert feed._recent
    await slow.read(60)
    assert slow.seen == quick.seen
    assert len(slow.seen) == 60


async def test_without_readers_the_table_is_not_followed_and_nothing_is_lost(
    database: Database, feed: Feed, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(live, "_POLL_SECONDS", {True: 0.05, False: 0.05})
    reader = Reader(feed, await feed.begin())
    await write(database, "one")
    wakeups.feed()
    await reader.read(1)
    await asyncio.sleep(0.4)
    assert feed._recent == []
    reads = 0
    real = feed._advance

    async def counted(conn: AsyncConnection) -> live._State:
        nonlocal reads
        reads += 1
        return await real(conn)

    monkeypatch.setattr(feed, "_advance", counted)
    await write(database, "two")
    wakeups.feed()
    await asyncio.sleep(0.3)
    assert reads == 0
    waiting = asyncio.create_task(reader.read(3))
    await asyncio.sleep(0.2)
    await write(database, "three")
    wakeups.feed()
    await waiting
    assert [name for _, name in reader.seen] == ["one", "two", "three"]


async def test_a_cursor_behind_the_oldest_kept_event_is_gone(
    database: Database, feed: Feed
) -> None:
    async with database.transaction() as conn:
        await conn.execute(text("""insert into meta values ('event_floor', '"1.500.3"')"""))
    with pytest.raises(Gone) as gone:
        await feed.begin(Cursor(1, 500, 2))
    assert gone.value.context["oldest"] == "1.500.3"
    assert await feed.begin(Cursor(1, 500, 3)) == Cursor(1, 500, 3)


async def test_a_cursor_of_another_database_is_refused(database: Database, feed: Feed) -> None:
    with pytest.raises(Gone):
        await feed.begin(Cursor(1, 2**40, 1))
    with pytest.raises(Gone):
        await feed.begin(Cursor(9, 1, 1))
    assert await feed.begin(BEGINNING) == BEGINNING


async def test_a_cursor_that_another_process_gave_while_this_one_is_held_back_is_taken(
    database: Database, feed: Feed
) -> None:
    async with database.transaction() as slow:
        await store.append(slow, [NewEvent("slow", uuid7())])
        await write(database, "quick")
        (row,) = await database.call("select epoch, xid, id from event where type = 'quick'")
        assert await feed.begin(Cursor(*row)) == Cursor(*row)


async def test_lag_grows_while_a_writer_holds_the_feed_back(
    database: Database, feed: Feed, wakeups: Wakeups
) -> None:
    reader = Reader(feed, await feed.begin())
    async with database.transaction() as slow:
        await store.append(slow, [NewEvent("slow", uuid7())])
        await reader.read(1, seconds=0.2)
        assert feed.lag == 0
        await write(database, "quick")
        wakeups.feed()
        await reader.read(1, seconds=0.5)
        assert reader.seen == []
        assert feed.lag > 0.3
    await reader.read(2)
    await asyncio.sleep(0.1)
    assert feed.lag == 0


async def test_what_a_long_writer_held_back_arrives_soon_after_it_ends(
    database: Database, feed: Feed, wakeups: Wakeups
) -> None:
    """Also when it rolled back, after which nobody sends a wake-up."""
    reader = Reader(feed, await feed.begin())
    reading = asyncio.create_task(reader.read(1))
    async with database.engine.connect() as slow:
        await slow.execute(text("select lock_events()"))
        await store.append(slow, [NewEvent("slow", uuid7())])
        await write(database, "quick")
        wakeups.feed()
        await asyncio.sleep(0.5)
        await slow.rollback()
        began = time.monotonic()
        await reading
    assert [name for _, name in reader.seen] == ["quick"]
    assert time.monotonic() - began < 0.3


async def write_many(database: Database, wakeups: Wakeups, number: int, rounds: int) -> list[UUID]:
    """Three events in each transaction, some of which take their time and some roll back; the
    subjects of those that were committed."""
    committed: list[UUID] = []
    for turn in range(rounds):
        async with database.engine.connect() as conn:
            try:
                await conn.execute(text("select lock_events()"))
            except DBAPIError:  # a connection of the pool that the test killed
                continue
            subject = uuid7()
            await store.append(conn, [NewEvent("w", subject)] * 3)
            await asyncio.sleep(0.01 * ((number * turn) % 6))
            if (number + turn) % 5 == 0:
                await conn.rollback()
                continue
            await conn.commit()
            wakeups.feed()
            committed.append(subject)
    return committed


async def disturb(database: Database, valkey_process: ValkeyProcess) -> None:
    """Valkey is away for a while, and meanwhile the feeds lose their connections."""
    await asyncio.sleep(0.3)
    await valkey_process.kill()
    await asyncio.sleep(0.3)
    await database.call(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname ="
        " current_database() and query like '%feed_%' and pid <> pg_backend_pid()"
    )
    await asyncio.sleep(0.3)
    await valkey_process.start()


async def test_many_readers_and_writers_while_valkey_and_connections_die(
    database: Database, valkey: Valkey, valkey_process: ValkeyProcess, wakeups: Wakeups
) -> None:
    """Nothing is lost or repeated, also for readers that come and go on two processes' feeds."""
    feeds = [Feed(database, valkey, kept=100), Feed(database, valkey, kept=5000)]
    for feed in feeds:
        await feed.open()
    start = await feeds[0].begin()
    readers = [Reader(feed, start) for feed in feeds for _ in range(3)]
    total: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def follow(reader: Reader, pause: float) -> None:
        reader.pause = pause
        while not total.done() or len(reader.seen) < total.result():
            reader.feed = feeds[1 - feeds.index(reader.feed)]
            with suppress(Unavailable):
                await reader.read(len(reader.seen) + 20, seconds=0.2)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number, reader in enumerate(readers):
            group.create_task(follow(reader, 0.02 * number))
        group.create_task(disturb(database, valkey_process))
        writers = (write_many(database, wakeups, number, 40) for number in range(6))
        expected = [subject for each in await asyncio.gather(*writers) for subject in each]
        total.set_result(3 * len(expected))
    for feed in feeds:
        await feed.close()
    for reader in readers:
        assert reader.seen == readers[0].seen
        assert sorted(subject for subject, _ in reader.seen) == sorted(expected * 3)


async def test_lists_of_queues_that_nobody_serves_do_not_stay(
    valkey: Valkey, wakeups: Wakeups
) -> None:
    wakeups.work(["dead"])
    await wakeups.close()
    for name in ("", "dead"):
        [left] = await valkey.send([("TTL", f"{live.WORK_LIST}:{name}")])
        assert 0 < left <= live._WORK_SECONDS
    assert await valkey.pop([f"{live.WORK_LIST}:dead"], 1)
