"""Ends of attempts on their way into the database."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog

from podium.scheduler.batcher import Batcher
from podium.scheduler.model import Settlement
from podium.scheduler.service import Scheduler
from podium.storage.database import refuses_values
from podium.worker import faults, outcome
from podium.worker.late_usage import LateUsage
from podium.worker.lease import LeaseClock
from podium.worker.reporter import Reporter
from podium.worker.store import Key

_log = structlog.get_logger(__name__)


class Settler:
    """Settles the attempts of one incarnation, in batches."""

    def __init__(
        self,
        scheduler: Scheduler,
        reporter: Reporter,
        worker_id: UUID,
        lease: LeaseClock,
        late_usage: LateUsage,
    ) -> None:
        self._scheduler = scheduler
        self._reporter = reporter
        self._worker_id = worker_id
        self._lease = lease
        self._late_usage = late_usage
        self._batches: Batcher[Settlement, bool] = Batcher(self._settle_batch)

    async def settle(self, end: Settlement) -> None:
        """Settle for certain, after all that the attempt said is kept: tried again until the
        database answers or the lease is gone."""
        while True:
            try:
                await self._reporter.flush(end.task_id, end.attempt)
                counted = await self._batches.put(end)
            except Exception as error:  # noqa: BLE001 - the work is done; its result must not be lost
                faults.note("settle", error)
                if self._lease.expired():
                    self.keep_usage((end.task_id, end.attempt), end.usage)
                    return
                if refuses_values(error):
                    _log.error("attempt.not_settled", task_id=str(end.task_id), how=end.how)
                    end = outcome.unsettleable(end, error)
                await asyncio.sleep(faults.RETRY_SECONDS)
                continue
            if not counted:
                self.keep_usage((end.task_id, end.attempt), end.usage)
            return

    def keep_usage(self, key: Key, usage: str | None) -> None:
        """Have what an attempt spent on its record, though its end is not settled from here."""
        if usage:
            self._late_usage.add(key, usage)

    async def _settle_batch(self, ends: Sequence[Settlement]) -> list[bool]:
        counted = await self._scheduler.settle(self._worker_id, ends)
        newest: dict[UUID, int] = {}  # of the reports of one task only the last may have counted
        for end in ends:
            newest[end.task_id] = max(end.attempt, newest.get(end.task_id, 0))
        return [end.task_id in counted and end.attempt == newest[end.task_id] for end in ends]
