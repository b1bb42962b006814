"""Group commit without a timer: callers that come while a commit is under way share the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import structlog

from podium.kernel.errors import PodiumError, Unavailable
from podium.storage.database import Contended

Row = TypeVar("Row")
Result = TypeVar("Result")

_log = structlog.get_logger(__name__)
_CONFLICT_TRIES = 5


class Batcher(Generic[Row, Result]):
    """Gathers rows of many callers into batches for ``flush``.

    ``flush`` takes rows and returns as many results, in order, all or nothing. A batch that
    fails is tried again row by row, so that a bad row hurts only its own caller; when the
    database is away every caller is told so at once.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Row]], Awaitable[Sequence[Result]]],
        *,
        size: Callable[[Row], int] = lambda _row: 1,
        most: int = 500,
        parallel: int = 2,
    ) -> None:
        self._flush = flush
        self._size = size
        self._most = most
        self._parallel = parallel
        self._queue: deque[tuple[Row, asyncio.Future[Result]]] = deque()
        self._runners: set[asyncio.Task[None]] = set()

    def put(self, row: Row) -> "asyncio.Future[Result]":
        """The row's result once it is committed, or the error that kept it from being so."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((row, done))
        if len(self._runners) < self._parallel:
            runner = asyncio.create_task(self._run())
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)
        return done

    async def drain(self) -> None:
        """Wait until everything that was put is done."""
        while self._runners:
            await asyncio.wait(self._runners)

    async def _run(self) -> None:
        while batch := self._take():
            rows = [row for row, _ in batch]
            try:
                results = await self._flush_again(rows)
            except Exception as error:  # noqa: BLE001 - each caller gets the error of its row
                await self._settle_failed(batch, error)
            else:
                _settle(batch, results)
        # Not a moment later: who comes now must not count on this runner.
        self._runners.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _take(self) -> list[tuple[Row, asyncio.Future[Result]]]:
        batch: list[tuple[Row, asyncio.Future[Result]]] = []
        total = 0
        while self._queue:
            row, done = self._queue[0]
            if done.cancelled():  # nobody waits for it any more
                self._queue.popleft()
                continue
            total += self._size(row)
            if batch and total > self._most:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _flush_again(self, rows: Sequence[Row]) -> Sequence[Result]:
        for _ in range(_CONFLICT_TRIES - 1):
            try:
                return await self._flush(rows)
            except Contended as error:
                _log.warning("batch.conflict", error=str(error), rows=len(rows))
        return await self._flush(rows)

    async def _settle_failed(
        self, batch: list[tuple[Row, asyncio.Future[Result]]], error: Exception
    ) -> None:
        """Give each caller the result or the error of its own row."""
        if len(batch) == 1 or away(error):
            for _, done in batch:
                _fail(done, error)
            return
        for row, done in batch:
            if done.cancelled():
                continue
            if away(error):
                _fail(done, error)
                continue
            try:
                result = (await self._flush_again([row]))[0]
            except Exception as own:  # noqa: BLE001
                error = own
                _fail(done, own)
            else:
                if not done.done():
                    done.set_result(result)


def away(error: Exception) -> bool:
    """Whether the database cannot be used now: nothing else will fare better."""
    return isinstance(error, Unavailable) and not isinstance(error, Contended)


def _settle(batch: Sequence[tuple[Row, asyncio.Future[Result]]], results: Sequence[Result]) -> None:
    if len(results) != len(batch):
        error = RuntimeError(f"{len(batch)} rows were flushed and {len(results)} results came")
        for _, done in batch:
            _fail(done, error)
        return
    for (_, done), result in zip(batch, results, strict=True):
        if not done.done():
            done.set_result(result)


def _fail(done: asyncio.Future[Any], error: Exception) -> None:
    if done.done():
        return
    if not isinstance(error, PodiumError):
        _log.error("batch.row_failed", exc_info=error)
    done.set_exception(error)
