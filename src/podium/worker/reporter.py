"""Gathers what attempts say (output, progress) and writes it in batches."""

import asyncio
from contextlib import suppress
from uuid import UUID

import structlog

from podium.events.live import Wakeups
from podium.kernel.errors import PodiumError
from podium.scheduler.model import Progress
from podium.scheduler.service import Scheduler
from podium.storage.database import Database
from podium.tasks.follow import log_channel
from podium.worker import store
from podium.worker.store import LogLine

_log = structlog.get_logger(__name__)

_FLUSH_SECONDS = 0.1
_PROGRESS_SECONDS = 0.25
_LINES_A_BATCH = 1000
_CHARS_A_BATCH = 1_000_000
_CHARS_KEPT = 32_000_000
"""Beyond this, while the database is away, output is dropped and the drop is said."""


class Reporter:
    """One per worker. Nothing said is older than a quarter of a second when it is durable."""

    def __init__(
        self, database: Database, scheduler: Scheduler, wakeups: Wakeups, worker_id: UUID
    ) -> None:
        self._database = database
        self._scheduler = scheduler
        self._wakeups = wakeups
        self._worker_id = worker_id
        self._lines: list[LogLine] = []
        self._chars = 0
        self._dropped: set[tuple[UUID, int]] = set()
        self._progress: dict[tuple[UUID, int], Progress] = {}
        self._said = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task = asyncio.create_task(self._run())

    def log(self, line: LogLine) -> None:
        if self._chars + len(line.text) > _CHARS_KEPT:
            self._dropped.add((line.task_id, line.attempt))
            return
        self._lines.append(line)
        self._chars += len(line.text)
        self._said.set()

    def progress(self, said: Progress) -> None:
        self._progress[said.task_id, said.attempt] = said
        self._said.set()

    async def flush(self, task_id: UUID, attempt: int) -> None:
        """Make durable what this attempt said before it settles."""
        self._progress.pop((task_id, attempt), None)
        if any(line.task_id == task_id for line in self._lines) or self._writing.locked():
            await self._write_logs()

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        with suppress(PodiumError):
            await self._write_logs()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        progress_at = 0.0
        while True:
            await self._said.wait()
            await asyncio.sleep(_FLUSH_SECONDS)
            self._said.clear()
            try:
                await self._write_logs()
                if self._progress and loop.time() >= progress_at:
                    progress_at = loop.time() + _PROGRESS_SECONDS
                    said, self._progress = self._progress, {}
                    await self._scheduler.progress(self._worker_id, list(said.values()))
            except PodiumError as error:
                _log.warning("reporter.write_failed", error=error.message)
                await asyncio.sleep(1)
            if self._lines or self._progress:
                self._said.set()

    async def _write_logs(self) -> None:
        async with self._writing:
            while batch := self._take():
                try:
                    await store.append_logs(self._database, self._worker_id, batch)
                except BaseException:
                    self._lines[:0] = batch
                    self._chars += sum(len(line.text) for line in batch)
                    raise
                for task_id in {line.task_id for line in batch}:
                    self._wakeups.tell(log_channel(task_id))

    def _take(self) -> list[LogLine]:
        chars = count = 0
        for line in self._lines[:_LINES_A_BATCH]:
            if count and chars + len(line.text) > _CHARS_A_BATCH:
                break
            chars += len(line.text)
            count += 1
        batch = self._lines[:count]
        del self._lines[:count]
        self._chars -= chars
        dropped, self._dropped = self._dropped, set()
        note = "[output was dropped here: it came faster than it could be stored]"
        batch += [LogLine(task_id, attempt, "agent", note) for task_id, attempt in dropped]
        return batch
