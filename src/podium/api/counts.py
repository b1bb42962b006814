"""How many tasks are where, counted once for all who ask at about the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.scheduler import overview
from podium.storage.database import Database

_ENDED_SECONDS = 10.0
_REST = 10.0
"""For so many times as long as counting took, the counts are good: rows are counted, and there may
be millions."""

Counts = Mapping[str, int]
Found = TypeVar("Found")


class _Counted(Generic[Found]):
    """What was counted of one kind, which is good for ``seconds`` at least."""

    def __init__(
        self,
        count: Callable[[AsyncConnection], Awaitable[Found]],
        none: Found,
        seconds: float = 0.0,
    ) -> None:
        self._count = count
        self._seconds = seconds
        self._counts = none
        self._good_until = float("-inf")
        self._counting = asyncio.Lock()

    async def get(self, database: Database) -> Found:
        async with self._counting:
            if time.monotonic() >= self._good_until:
                async with database.connect() as conn:
                    began = time.monotonic()
                    self._counts = await self._count(conn)
                now = time.monotonic()
                self._good_until = now + max(self._seconds, _REST * (now - began))
        return self._counts


class TaskCounts:
    """Tasks by state."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open = _Counted[Counts](overview.open_tasks, {})
        self._ended = _Counted[Counts](overview.ended_tasks, {}, _ENDED_SECONDS)
        self._dead = _Counted(overview.dead_tasks, 0)
        self._oldest = _Counted(overview.oldest_queued, 0.0)

    async def open(self) -> Counts:
        """Tasks that have not ended."""
        return await self._open.get(self._database)

    async def dead(self) -> int:
        """Tasks that used up their retries or losses, and that nobody redrove or deleted."""
        return await self._dead.get(self._database)

    async def oldest_queued(self) -> float:
        """For how many seconds the task has been queued that was queued first."""
        return await self._oldest.get(self._database)

    async def all(self) -> Counts:
        """Those that ended, too; they are counted every ten seconds at most."""
        return {**await self.open(), **await self._ended.get(self._database)}
