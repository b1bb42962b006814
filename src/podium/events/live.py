"""Wake-ups and the live feed.

Two things with two guarantees. ``Wakeups`` is best effort: it tells others, after a commit, that
there is something to look at. ``Feed`` is exact: it reads the event table in cursor order, so its
readers miss nothing and see nothing twice, however late or lost the wake-ups are.
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum, auto

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store
from podium.events.model import BEGINNING, END, Cursor, Event, EventFilter
from podium.kernel import background
from podium.kernel.errors import Gone
from podium.storage.database import Database
from podium.storage.valkey import Valkey

_log = structlog.get_logger(__name__)

FEED_CHANNEL = "podium:feed"
WORK_LIST = "podium:work"
_WORK_SECONDS = 60
"""How long a list outlives the last wake-up: nobody may serve its queue any more."""
_PAGE = 1000
_MOST_BYTES = 32 * 2**20
"""What the events in memory may come to as JSON, however few they are: an error can be long."""
_POLL_SECONDS = {True: 1.0, False: 0.1}
"""How often the feed looks by itself while Valkey can be reached, and while it cannot."""
_HELD_SECONDS = (0.002, 0.1)
"""How soon it looks again when an open writer holds it back, at first and at most."""
_GATHER_SECONDS = 0.004
"""Least time between two reads, so that a thousand commits a second do not cost as many reads."""
_IDLE_SECONDS = 10.0
"""How long the table is followed after the last reader left."""
_RETRY_SECONDS = 0.25


class Wakeups:
    """Sends wake-ups after commits. Those that come while one is under way go out together."""

    def __init__(self, valkey: Valkey) -> None:
        self.valkey = valkey
        self._due: dict[tuple[str | int, ...], None] = {}
        self._sender: asyncio.Task[None] | None = None

    def feed(self) -> None:
        """There are new events."""
        self._send(("PUBLISH", FEED_CHANNEL, ""))

    def work(self, queues: Iterable[str]) -> None:
        """Tasks became ready in these queues: wake one idle worker for each.

        A list that is kept at one element: whoever takes it and then finds more than it can
        run wakes the next.
        """
        for name in ("", *queues):
            key = f"{WORK_LIST}:{name}"
            self._send(("LPUSH", key, 1))
            self._send(("LTRIM", key, 0, 0))
            self._send(("EXPIRE", key, _WORK_SECONDS))

    def tell(self, channel: str, data: str = "") -> None:
        """Publish on a channel of the caller's own."""
        self._send(("PUBLISH", channel, data))

    def _send(self, command: tuple[str | int, ...]) -> None:
        self._due[command] = None
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._due:
            commands, self._due = list(self._due), {}
            await self.valkey.send(commands)

    async def close(self) -> None:
        """Send what is due."""
        if self._sender:
            await self._sender


class _State(Enum):
    """What one read of the table found."""

    COMPLETE = auto()
    MORE = auto()
    HELD = auto()


class Feed:
    """The newest events in memory, in cursor order, for all readers of this process.

    A reader is nothing but a cursor: it reads from memory while it keeps up and from the table
    when it does not. One task per process reads the table for all of them, and only while there
    are readers.
    """

    def __init__(self, database: Database, valkey: Valkey, *, kept: int = 10_000) -> None:
        self._database = database
        self._valkey = valkey
        self._kept = kept
        self._recent: list[Event] = []
        self._bytes = 0
        """What those tell, as JSON."""
        self._start = END
        """Memory holds every event after this; ``END`` while the table is not followed."""
        self._position = BEGINNING
        """Memory holds every event up to this."""
        self._moved = asyncio.Event()
        self._wake = asyncio.Event()
        self._asked = asyncio.Event()
        self._asked_at = 0.0
        self._read_at = 0.0
        self._readers = 0
        self._released = False
        self._behind_since: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin to follow the table whenever somebody reads."""
        self._tasks = [asyncio.create_task(self._tail()), asyncio.create_task(self._listen())]

    async def close(self) -> None:
        await background.end(*self._tasks)

    def release(self) -> None:
        """Let readers that wait return at once, now and from now on: the process is ending."""
        self._released = True
        self._tell()

    @property
    def released(self) -> bool:
        """Whether the process is ending, so that nobody should wait for more."""
        return self._released

    @property
    def lag(self) -> float:
        """Seconds for which the newest events could not be read; 0 while all is read."""
        return 0.0 if self._behind_since is None else time.monotonic() - self._behind_since

    async def begin(self, after: Cursor | None = None) -> Cursor:
        """Where a reader starts: after the cursor that it brings, or now.

        Raises ``Gone`` when events after the cursor were removed by retention, when the database
        was restored from a copy that is older than the cursor, or when it never gave out such a
        cursor.
        """
        async with self._database.connect() as conn:
            end = (await store.edge(conn)).cursor
            if after is None:
                return end
            floor = await store.floor(conn)
            newest = await store.newest(conn) if after > end else end
            lost = after.epoch < end.epoch and await store.is_lost(conn, after)
        if after < floor:
            raise Gone(
                f"Events after {after} are not kept any more.",
                hint=f"Read the current state anew and go on from {end}; "
                f"the oldest events that are kept come after {floor}.",
                oldest=str(floor),
                newest=str(end),
            )
        if lost:
            raise Gone(
                f"The database was restored or moved since {after}: what came after it may be "
                "otherwise now.",
                hint=f"Read the current state anew and go on from {end}.",
                oldest=str(floor),
                newest=str(end),
            )
        if after > end and after > newest:
            raise Gone(
                f"{after} is ahead of this database; the cursor comes from another one.",
                hint=f"Read the current state anew and go on from {end}.",
                oldest=str(floor),
                newest=str(end),
            )
        return after

    async def after(
        self, cursor: Cursor, wanted: EventFilter, *, seconds: float
    ) -> tuple[list[Event], Cursor]:
        """Events after the cursor that match, and the cursor to go on from.

        Waits up to about ``seconds`` for one; an empty list then. The returned cursor moves on
        over events that did not match, so that nothing is looked at twice.
        """
        deadline = time.monotonic() + seconds
        self._readers += 1
        self._asked.set()
        try:
            while True:
                moved = self._moved
                events, cursor = await self._look(cursor, wanted)
                left = deadline - time.monotonic()
                if events or left <= 0 or self._released:
                    return events, cursor
                if cursor < self._position:
                    await asyncio.sleep(0)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await moved.wait()
        finally:
            self._readers -= 1
            self._asked_at = time.monotonic()

    async def _look(self, cursor: Cursor, wanted: EventFilter) -> tuple[list[Event], Cursor]:
        if cursor < self._start:
            async with self._database.connect() as conn:
                events, cursor, _ = await store.scan(conn, cursor, wanted, _PAGE)
            return events, cursor
        first = bisect_right(self._recent, cursor, key=lambda event: event.cursor)
        page = self._recent[first : first + _PAGE]
        cursor = page[-1].cursor if len(page) == _PAGE else max(cursor, self._position)
        return [event for event in page if wanted.matches(event)], cursor

    async def _listen(self) -> None:
        async with self._valkey.listen(FEED_CHANNEL) as listener:
            while True:
                if await listener.message(60) is not None:
                    self._wake.set()

    async def _tail(self) -> None:
        """Never ends by itself: a feed that silently stands still is worse than any error."""
        while True:
            await self._asked.wait()
            try:
                async with self._database.connect() as conn:
                    await self._follow(conn)
            except Exception as error:  # noqa: BLE001
                self._behind_since = self._behind_since or time.monotonic()
                _log.warning("feed.read_failed", error=str(error) or type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, conn: AsyncConnection) -> None:
        """Read on until nobody has asked for a while."""
        pause, longest = _HELD_SECONDS
        while self._followed():
            self._wake.clear()
            self._read_at = time.monotonic()
            state = await self._advance(conn)
            if state is _State.COMPLETE:
                self._behind_since, pause = None, _HELD_SECONDS[0]
                await self._rest(_POLL_SECONDS[self._valkey.available])
                continue
            self._behind_since = self._behind_since or time.monotonic()
            if state is _State.HELD:
                await self._rest(pause)
                pause = min(2 * pause, longest)

    def _followed(self) -> bool:
        if self._readers or time.monotonic() - self._asked_at < _IDLE_SECONDS:
            return True
        self._asked.clear()
        self._recent.clear()
        self._bytes = 0
        self._start, self._position, self._behind_since = END, BEGINNING, None
        return False

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        await asyncio.sleep(self._read_at + _GATHER_SECONDS - time.monotonic())

    async def _advance(self, conn: AsyncConnection) -> _State:
        if self._start == END:
            edge = await store.edge(conn)
            self._start = self._position = edge.cursor
            self._tell()
            return _State.HELD if edge.held else _State.COMPLETE
        edge, page = await store.page(conn, self._position, _PAGE)
        if page:
            self._keep(page)
        if len(page) == _PAGE:
            self._position = page[-1].cursor
            self._tell()
            return _State.MORE
        self._position = max(self._position, edge.cursor)
        if page:
            self._tell()
        return _State.HELD if edge.held else _State.COMPLETE

    def _keep(self, page: list[Event]) -> None:
        self._recent.extend(page)
        self._bytes += sum(map(_size, page))
        if len(self._recent) > 2 * self._kept or self._bytes > _MOST_BYTES:
            self._forget()

    def _forget(self) -> None:
        """Keep the newest events, and room for as many again: readers of others read the table."""
        kept = size = 0
        for event in reversed(self._recent[-self._kept :]):
            if size + _size(event) > _MOST_BYTES // 2:
                break
            kept += 1
            size += _size(event)
        first = len(self._recent) - kept
        self._start = self._recent[first - 1].cursor
        del self._recent[:first]
        self._bytes = size

    def _tell(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _size(event: Event) -> int:
    return len(orjson.dumps(event.data))
