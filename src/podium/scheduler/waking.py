"""Wakes workers for tasks that became ready, in whichever queues."""

import asyncio

import structlog

from podium.events.live import Wakeups
from podium.kernel.errors import PodiumError
from podium.scheduler import store
from podium.storage.database import Database

_log = structlog.get_logger(__name__)


class Waker:
    """One idle worker is woken for each queue that has ready tasks, as workers that are bound to
    queues listen to these only.

    Calls that come while the queues are looked up share the next look. Nothing is looked up while
    nobody could be told.
    """

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self._database = database
        self._wakeups = wakeups
        self._due = False
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Call this when what made tasks ready is committed."""
        if not self._wakeups.valkey.available:
            return
        self._due = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Wake whoever is due."""
        if self._task:
            await self._task

    async def _run(self) -> None:
        while self._due:
            self._due = False
            queues: list[str] = []
            try:
                queues = await store.bound_queues(self._database)
            except PodiumError as error:  # workers look by themselves, too
                _log.warning("wake.queues_unknown", error=error.message)
            self._wakeups.work(queues)
