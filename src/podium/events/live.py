"""Wake-ups and the live feed.

Two things with two guarantees. ``Wakeups`` is best effort: it tells others, after a commit, that
there is something to look at. ``Feed`` is exact: it reads the event table in cursor order, so its
readers miss nothing and see nothing twice, however late or lost the wake-ups are.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress

import structlog

from podium.events import store
from podium.events.model import Cursor, Event, EventFilter
from podium.kernel.errors import PodiumError
from podium.storage.database import Database
from podium.storage.valkey import Valkey

_log = structlog.get_logger(__name__)

FEED_CHANNEL = "podium:feed"
WORK_LIST = "podium:work"
_PAGE = 1000
_KEPT = 20_000
_POLL_SECONDS = {True: 1.0, False: 0.1}
"""How often the feed looks by itself while Valkey can be reached, and while it cannot."""


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


class Feed:
    """The newest events in memory, in cursor order, for all subscribers of this process.

    A subscriber is nothing but a cursor: it reads from memory while it keeps up and from the
    table when it does not. One task per process reads the table.
    """

    def __init__(self, database: Database, valkey: Valkey) -> None:
        self._database = database
        self._valkey = valkey
        self._recent: list[Event] = []
        self._start = Cursor(0, 0, 0)
        self._moved = asyncio.Event()
        self._tailer: asyncio.Task[None] | None = None
        self.position = Cursor(0, 0, 0)

    async def open(self) -> None:
        """Begin at the newest complete event."""
        async with self._database.connect() as conn:
            self.position = self._start = await store.last(conn)
        self._tailer = asyncio.create_task(self._tail())

    async def close(self) -> None:
        if self._tailer:
            self._tailer.cancel()
            with suppress(asyncio.CancelledError):
                await self._tailer

    async def after(
        self, cursor: Cursor, wanted: EventFilter, *, seconds: float
    ) -> tuple[list[Event], Cursor]:
        """Events after the cursor that match, and the cursor to go on from.

        Waits up to ``seconds`` for one; an empty list then. The returned cursor moves on over
        events that did not match, so that nothing is looked at twice.
        """
        async with asyncio.timeout(seconds) as limit:
            with suppress(TimeoutError):
                while True:
                    moved = self._moved
                    events, cursor = await self._look(cursor, wanted)
                    if events:
                        return events, cursor
                    if cursor >= self.position:
                        await moved.wait()
        del limit
        return [], cursor

    async def _look(self, cursor: Cursor, wanted: EventFilter) -> tuple[list[Event], Cursor]:
        if cursor >= self._start:
            first = bisect_right(self._recent, cursor, key=lambda event: event.cursor)
            page = self._recent[first : first + _PAGE]
            if not page:
                return [], cursor
            return [e for e in page if wanted.matches(e)], page[-1].cursor
        until = self.position
        async with self._database.connect() as conn:
            page = await store.read(conn, cursor, _PAGE, wanted)
        if len(page) == _PAGE:
            return page, page[-1].cursor
        return page, max([until, cursor, *(event.cursor for event in page[-1:])])

    async def _tail(self) -> None:
        async with self._valkey.listen(FEED_CHANNEL) as listener:
            while True:
                try:
                    while await self._advance():
                        pass
                except PodiumError as error:
                    _log.warning("feed.read_failed", error=error.message)
                    await asyncio.sleep(1)
                await listener.message(_POLL_SECONDS[self._valkey.available])

    async def _advance(self) -> bool:
        """Read one page; whether there may be more."""
        async with self._database.connect() as conn:
            page = await store.read(conn, self.position, _PAGE)
        if not page:
            return False
        self._recent.extend(page)
        if len(self._recent) > 2 * _KEPT:
            self._start = self._recent[-_KEPT - 1].cursor
            del self._recent[:-_KEPT]
        self.position = page[-1].cursor
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        return len(page) == _PAGE
