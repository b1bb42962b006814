"""Ends of attempts on their way into the database."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from uuid import UUID

import structlog

from podium.scheduler.batcher import Batcher
from podium.scheduler.model import Settlement
from podium.storage.database import refuses_values
from podium.worker import faults, outcome
from podium.worker.late_usage import LateUsage
from podium.worker.lease import LeaseClock
from podium.worker.reporter import Reporter
from podium.worker.store import Key

_log = structlog.get_logger(__name__)


class Settler:
    """Settles the attempts of one incarnation in batches, each by a call of ``settle``, which gives
    the tasks for which the report counted."""

    def __init__(
        self,
        settle: Callable[[Sequence[Settlement]], Awaitable[Collection[UUID]]],
        reporter: Reporter,
        lease: LeaseClock,
        late_usage: LateUsage,
    ) -> None:
        self._settle_now = settle
        self._reporter = reporter
        self._lease = lease
        self._late_usage = late_usage
        self._batches: Batcher[Settlement, bool] = Batcher(self._settle_batch)
        self._insisting: set[asyncio.Task[None]] = set()
        self.handed_back = 0
        """So many tasks were released so far."""

    def settle(self, end: Settlement, then: Callable[[], None]) -> None:
        """Settle for certain, after all that the attempt said is kept. ``then`` is called when that
        is done, or cannot be done any more because the lease is gone."""
        if self._reporter.heard(end.task_id, end.attempt):
            self._insist(end, then)
        else:
            self._batches.put(end).add_done_callback(partial(self._settled, end, then))

    def _settled(
        self, end: Settlement, then: Callable[[], None], settled: asyncio.Future[bool]
    ) -> None:
        if error := settled.exception():
            self._insist(end, then, error)
        else:
            self._counted(end, counted=settled.result())
            then()

    def _insist(
        self, end: Settlement, then: Callable[[], None], error: BaseException | None = None
    ) -> None:
        insisting = asyncio.create_task(self._try_on(end, error))
        self._insisting.add(insisting)
        insisting.add_done_callback(partial(self._insisted, end, then))

    def _insisted(
        self, end: Settlement, then: Callable[[], None], insisting: asyncio.Task[None]
    ) -> None:
        self._insisting.discard(insisting)
        if not insisting.cancelled() and (error := insisting.exception()):
            which = {"task_id": str(end.task_id), "attempt": end.attempt}
            _log.error("attempt.abandoned", **which, exc_info=error)
        then()

    async def _try_on(self, end: Settlement, error: BaseException | None) -> None:
        """Settle, again and again until the database answers or the lease is gone; ``error`` is
        what the first try met, if there was one."""
        while True:
            if error is not None:
                faults.note("settle", error)
                if self._lease.expired():
                    self._counted(end, counted=False)
                    return
                if refuses_values(error):
                    _log.error("attempt.not_settled", task_id=str(end.task_id), how=end.how)
                    end = outcome.unsettleable(end, error)
                await asyncio.sleep(faults.RETRY_SECONDS)
            try:
                await self._reporter.flush(end.task_id, end.attempt)
                self._counted(end, counted=await self._batches.put(end))
            except Exception as again:  # noqa: BLE001 - the work is done; its result must not be lost
                error = again
            else:
                return

    def _counted(self, end: Settlement, *, counted: bool) -> None:
        if counted:
            self.handed_back += end.how == "released"
        else:
            self.keep_usage((end.task_id, end.attempt), end.usage)

    def keep_usage(self, key: Key, usage: str | None) -> None:
        """Have what an attempt spent on its record, though its end is not settled from here."""
        if usage:
            self._late_usage.add(key, usage)

    async def _settle_batch(self, ends: Sequence[Settlement]) -> list[bool]:
        counted = await self._settle_now(ends)
        newest: dict[UUID, int] = {}  # of the reports of one task only the last may have counted
        for end in ends:
            newest[end.task_id] = max(end.attempt, newest.get(end.task_id, 0))
        return [end.task_id in counted and end.attempt == newest[end.task_id] for end in ends]
