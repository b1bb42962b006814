"""Gathers what attempts say (output, progress) and writes it in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

import structlog

from podium.events.live import Wakeups
from podium.kernel import background
from podium.kernel.errors import PodiumError
from podium.scheduler.model import Progress
from podium.scheduler.service import Scheduler
from podium.storage.database import Database, refuses_values
from podium.tasks.follow import log_channel
from podium.worker import faults, store
from podium.worker.store import LogLine

_log = structlog.get_logger(__name__)

Row = TypeVar("Row", LogLine, Progress)

_FLUSH_SECONDS = 0.1
_PROGRESS_SECONDS = 0.25
_PATIENCE_SECONDS = 30.0
"""For how long the end of an attempt waits until what it said is written."""
_LINES_A_BATCH = 1000
_CHARS_A_BATCH = 1_000_000
_CHARS_KEPT = 32_000_000
"""Beyond this, while the database is away, output is dropped and the drop is said."""
_DROPPED = "[output was dropped here: it could not be stored, or came faster than that]"


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
        self._speakers: set[tuple[UUID, int]] = set()
        """Attempts that said something and were not flushed since."""
        self._said = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task = asyncio.create_task(faults.outlive("report", self._run))

    def log(self, line: LogLine) -> None:
        key = (line.task_id, line.attempt)
        if self._chars + len(line.text) > _CHARS_KEPT:
            self._dropped.add(key)
        else:
            self._lines.append(line)
            self._chars += len(line.text)
        self._speak(key)

    def progress(self, said: Progress) -> None:
        key = (said.task_id, said.attempt)
        self._progress[key] = said
        self._speak(key)

    def _speak(self, key: tuple[UUID, int]) -> None:
        self._speakers.add(key)
        self._said.set()

    def heard(self, task_id: UUID, attempt: int) -> bool:
        """Whether this attempt said something, which ``flush`` must make sure is durable."""
        return (task_id, attempt) in self._speakers

    async def flush(self, task_id: UUID, attempt: int) -> None:
        """Make durable what this attempt said; it settles afterwards, also when that cannot be
        written for long although the database is there. Raises ``PodiumError`` when it is away."""
        key = (task_id, attempt)
        if self.heard(*key):
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._flush(key)
            except TimeoutError:
                _log.error("attempt.words_lost", task_id=str(task_id), attempt=attempt)
            self._speakers.discard(key)

    async def _flush(self, key: tuple[UUID, int]) -> None:
        while True:
            try:
                async with self._writing:
                    await self._write_progress(key)
                    await self._write_logs()
            except PodiumError:
                raise
            except Exception as error:  # noqa: BLE001 - perhaps it passes before patience ends
                faults.note("report", error)
            else:
                return
            await asyncio.sleep(faults.RETRY_SECONDS)

    async def close(self) -> None:
        """Stop, after one more try to write what is left."""
        await background.end(self._task)
        try:
            await self._write()
        except Exception as error:  # noqa: BLE001 - the worker ends, or begins anew
            faults.note("report", error)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        progress_at = 0.0
        while True:
            await self._said.wait()
            await asyncio.sleep(_FLUSH_SECONDS)
            now = loop.time()
            if now >= progress_at:
                progress_at = now + _PROGRESS_SECONDS
                await self._write()
            else:
                async with self._writing:
                    await self._write_logs()
            if not (self._lines or self._dropped or self._progress):
                self._said.clear()

    async def _write(self) -> None:
        async with self._writing:
            await self._write_progress()
            await self._write_logs()

    async def _write_logs(self) -> None:
        while batch := self._take():
            tasks = {line.task_id for line in batch}
            try:
                for line in await _write_rows(self._append, batch):
                    if line.text != _DROPPED:
                        self._dropped.add((line.task_id, line.attempt))
            finally:
                self._put_back(batch)  # what was not written
            for task_id in tasks:
                self._wakeups.tell(log_channel(task_id))

    async def _append(self, lines: Sequence[LogLine]) -> None:
        await store.append_logs(self._database, self._worker_id, lines)

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
        batch += [LogLine(task_id, attempt, "agent", _DROPPED) for task_id, attempt in dropped]
        return batch

    def _put_back(self, lines: list[LogLine]) -> None:
        """They are the next again; of what was dropped there is still to be told."""
        told = [line for line in lines if line.text == _DROPPED]
        self._dropped.update((line.task_id, line.attempt) for line in told)
        kept = [line for line in lines if line.text != _DROPPED]
        self._lines[:0] = kept
        self._chars += sum(len(line.text) for line in kept)

    async def _write_progress(self, only: tuple[UUID, int] | None = None) -> None:
        """Write what all attempts said, or one."""
        if only is None:
            said, self._progress = self._progress, {}
        else:
            said = {only: self._progress.pop(only)} if only in self._progress else {}
        rows = list(said.values())
        try:
            if rows:
                await _write_rows(self._tell, rows)
        finally:
            left = {(row.task_id, row.attempt): row for row in rows}
            self._progress = left | self._progress  # what was said meanwhile is newer

    async def _tell(self, said: Sequence[Progress]) -> None:
        await self._scheduler.progress(self._worker_id, said)


async def _write_rows(
    write: Callable[[Sequence[Row]], Awaitable[None]], rows: list[Row]
) -> list[Row]:
    """Write rows and take them off the list; gives those whose values the database refuses.

    A batch that is refused is tried again row by row. Raises every other error; the rows that are
    still on the list were not written then.
    """
    try:
        await write(rows)
    except Exception as error:
        if not refuses_values(error):
            raise
        faults.note("report", error)  # one of them is at fault, the others are not
    else:
        rows.clear()
    refused: list[Row] = []
    while rows:
        try:
            await write(rows[:1])
        except Exception as error:
            if not refuses_values(error):
                raise
            _log.warning("report.refused", task_id=str(rows[0].task_id), error=str(error))
            refused.append(rows[0])
        del rows[0]
    return refused
