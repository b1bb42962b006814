"""Ends of attempts on their way into the database."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog
from prometheus_client import Counter

from podium.scheduler.batcher import Batcher
from podium.scheduler.model import Settlement
from podium.scheduler.service import Scheduler
from podium.storage.database import Database
from podium.worker import faults, outcome, store
from podium.worker.lease import LeaseClock
from podium.worker.reporter import Reporter

_log = structlog.get_logger(__name__)
_settled = Counter("podium_attempts_settled", "Attempts that this worker settled.", ["outcome"])
_stale = Counter("podium_attempts_stale", "Reports of attempts that no longer counted.")


class Settler:
    """Settles the attempts of one incarnation, in batches."""

    def __init__(
        self,
        database: Database,
        scheduler: Scheduler,
        reporter: Reporter,
        worker_id: UUID,
        lease: LeaseClock,
    ) -> None:
        self._database = database
        self._scheduler = scheduler
        self._reporter = reporter
        self._worker_id = worker_id
        self._lease = lease
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
                    return
                if faults.refuses_values(error):
                    _log.error("attempt.not_settled", task_id=str(end.task_id), how=end.how)
                    end = outcome.unsettleable(end, error)
                await asyncio.sleep(faults.RETRY_SECONDS)
                continue
            _settled.labels(end.how).inc()
            if not counted:
                _stale.inc()
            return

    async def _settle_batch(self, ends: Sequence[Settlement]) -> list[bool]:
        ordered = sorted(ends, key=lambda end: end.task_id)  # one lock order everywhere
        counted = await self._scheduler.settle(self._worker_id, ordered)
        late = [
            (end.task_id, end.attempt, end.usage)
            for end in ends
            if end.usage and end.task_id not in counted
        ]
        if late:
            await store.add_late_usage(self._database, late)
        return [end.task_id in counted for end in ends]
