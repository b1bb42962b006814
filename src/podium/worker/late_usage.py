"""What attempts spent whose worker lost them: money spent is spent."""

import asyncio

import structlog

from podium.kernel import background
from podium.kernel.errors import PodiumError
from podium.storage.database import Database
from podium.worker import faults, store
from podium.worker.store import Key

_log = structlog.get_logger(__name__)

_LOOK_SECONDS = 2.0


class LateUsage:
    """Adds usage to the records of attempts that ended without this worker's report.

    Whoever took such an attempt from the worker writes its record, the reaper a while after the
    lease ended; until then the usage is kept here, so this outlives the worker's incarnations.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[Key, str] = {}
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    def add(self, key: Key, usage: str) -> None:
        """Keep it for the attempt's record. After ``close`` nobody writes it any more."""
        if self._closed:
            _lost(key)
            return
        self._waiting[key] = usage
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(faults.outlive("usage", self._write_all))

    async def close(self) -> None:
        """Stop, after one more try to write what is left."""
        self._closed = True
        await background.end(self._writing)
        try:
            await self._write()
        except PodiumError as error:
            _log.warning("worker.usage_not_written", error=error.message)
        for key in self._waiting:
            _lost(key)

    async def _write_all(self) -> None:
        while self._waiting:
            await self._write()
            if self._waiting:
                await asyncio.sleep(_LOOK_SECONDS)

    async def _write(self) -> None:
        if self._waiting:
            for key in await store.add_late_usage(self._database, self._waiting):
                self._waiting.pop(key, None)


def _lost(key: Key) -> None:
    task_id, attempt = key
    _log.warning("attempt.usage_lost", task_id=str(task_id), attempt=attempt)
