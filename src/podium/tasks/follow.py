"""What a task's attempts write, as it comes."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events.live import Feed, Wakeups
from podium.events.model import Cursor, EventFilter
from podium.kernel.errors import Gone, Unavailable
from podium.storage.database import Database
from podium.storage.valkey import Listener
from podium.tasks.service import TaskService

_log = structlog.get_logger(__name__)
_PAGE = 500
_LOOK_SECONDS = {True: 2.0, False: 0.25}
"""How often it looks by itself while wake-ups arrive, and while they do not."""
_RETRY_SECONDS = 1.0


def log_channel(task_id: UUID) -> str:
    """Where workers tell that a task has new output."""
    return f"podium:log:{task_id}"


class Numbered(Protocol):
    """A piece with the number by which those after it are asked for."""

    @property
    def id(self) -> int: ...


Item = TypeVar("Item", bound=Numbered)
Item_co = TypeVar("Item_co", bound=Numbered, covariant=True)


@dataclass(frozen=True, slots=True)
class Batch(Generic[Item_co]):
    """Pieces in order; ``last`` when the task has ended and nothing follows."""

    items: Sequence[Item_co]
    last: bool = False


class Follower(Generic[Item]):
    """Follows what tasks write: woken by workers, and by the tasks' events when they end.

    ``read`` gives at most so many pieces of a task after a number.
    """

    def __init__(
        self,
        tasks: TaskService,
        database: Database,
        wakeups: Wakeups,
        feed: Feed,
        read: Callable[[AsyncConnection, UUID, int, int], Awaitable[Sequence[Item]]],
    ) -> None:
        self._tasks = tasks
        self._database = database
        self._valkey = wakeups.valkey
        self._feed = feed
        self._read = read

    async def follow(self, task_id: UUID, after: int, channel: str) -> AsyncGenerator[Batch[Item]]:
        """Pieces after the number ``after``; an empty batch at least every two seconds. Workers
        tell on the channel that there are more.

        Ends with the last batch, or without one when this process is ending.
        """
        cursor: Cursor | None = None
        async with self._valkey.listen(channel) as listener:
            while not self._feed.released:
                try:
                    cursor = cursor or await self._feed.begin()
                    items, ended = await self._look(task_id, after)
                except Unavailable as error:
                    _log.warning("logs.wait", task_id=str(task_id), error=error.message)
                    yield Batch(())
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                last = ended and not items
                yield Batch(items, last)
                if last:
                    return
                if items:
                    after = items[-1].id
                else:
                    cursor = await self._wait(task_id, listener, cursor)

    async def _look(self, task_id: UUID, after: int) -> tuple[Sequence[Item], bool]:
        async with self._database.connect() as conn:
            ended = await self._tasks.has_ended(conn, task_id)  # first: output comes before the end
            return await self._read(conn, task_id, after, _PAGE), ended

    async def _wait(self, task_id: UUID, listener: Listener, cursor: Cursor) -> Cursor | None:
        """Until there may be something new; gives the place to go on from in the events."""
        seconds = _LOOK_SECONDS[self._valkey.available]
        wanted = EventFilter(subjects=frozenset({task_id}))
        events = asyncio.create_task(self._feed.after(cursor, wanted, seconds=seconds))
        output = asyncio.create_task(listener.message(seconds))
        try:
            await asyncio.wait({events, output}, return_when=asyncio.FIRST_COMPLETED)
            if output.done():
                output.result()
            return events.result()[1] if events.done() else cursor
        except (Gone, Unavailable):
            return None
        finally:
            events.cancel()
            output.cancel()
            await asyncio.gather(events, output, return_exceptions=True)
