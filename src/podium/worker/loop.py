"""The worker: holds a lease, claims what it has room for, runs it, settles it."""

import asyncio
import os
import platform
import random
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from podium import __version__
from podium.events.live import WORK_LIST, Wakeups
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass, PodiumError
from podium.kernel.ids import uuid7
from podium.scheduler import store as leases
from podium.scheduler.batcher import Batcher
from podium.scheduler.model import Claimed, Settlement, WorkerIdentity
from podium.scheduler.service import Scheduler, worker_channel
from podium.storage.database import LeaseLost
from podium.worker import outcome, store
from podium.worker.attempt import Attempt
from podium.worker.executor import Executor, Surroundings
from podium.worker.lease import LeaseClock
from podium.worker.reporter import Reporter

_log = structlog.get_logger(__name__)
_running = Gauge("podium_attempts_running", "Attempts that this worker runs now.")
_settled = Counter("podium_attempts_settled", "Attempts that this worker settled.", ["outcome"])
_stale = Counter("podium_attempts_stale", "Reports of attempts that no longer counted.")
_faults = Counter("podium_worker_errors", "Rounds of the worker's loops that failed.", ["loop"])

_CLAIM_MOST = 200
_UNSETTLED = 2
"""Ends that wait to be settled, by slot, beyond which nothing is claimed."""
_IDLE_SECONDS = (0.5, 5.0)
"""An idle worker looks by itself this often at first and at last, while it can be woken."""
_BLIND_SECONDS = 0.25
_RETRY_SECONDS = 0.5
_LOST_CLAIM_SECONDS = 10.0
"""A claim's answer arrives sooner than this, or not at all."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker serves. Durations in seconds."""

    name: str
    concurrency: int
    queues: tuple[str, ...]
    lease_seconds: float
    drain_seconds: float
    fence: Callable[[], None] | None = None
    """What ends this process when it was stopped past its lease; see ``LeaseClock``."""


class Worker:
    """One worker process. ``run`` serves until ``stop`` is set; a lost lease begins anew."""

    def __init__(
        self,
        scheduler: Scheduler,
        wakeups: Wakeups,
        around: Surroundings,
        options: WorkerOptions,
    ) -> None:
        self._scheduler = scheduler
        self._wakeups = wakeups
        self._around = around
        self._options = options

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, then drain."""
        while not stop.is_set():
            try:
                incarnation = await self._begin()
            except PodiumError as error:
                _log.warning("worker.cannot_register", error=error.message)
                await _wait(stop, 1.0)
                continue
            await incarnation.serve(stop)

    async def _begin(self) -> "Incarnation":
        options = self._options
        who = WorkerIdentity(
            id=uuid7(),
            name=options.name,
            host=socket.gethostname() or platform.node(),
            pid=os.getpid(),
            version=__version__,
            concurrency=options.concurrency,
            queues=options.queues,
            runtimes=tuple(sorted(self._around.runtimes.by_name)),
            confinement=self._around.runtimes.confinement,
        )
        asked_at = boottime()
        async with self._around.database.transaction() as conn:
            await leases.register(conn, who, options.lease_seconds)
        self._wakeups.feed()
        lease = LeaseClock(options.lease_seconds, options.fence)
        lease.renewed(asked_at)
        _log.info("worker.started", worker_id=str(who.id), name=who.name)
        return Incarnation(self._scheduler, self._wakeups, self._around, options, who.id, lease)


class Incarnation:
    """The life of a worker under one lease."""

    def __init__(
        self,
        scheduler: Scheduler,
        wakeups: Wakeups,
        around: Surroundings,
        options: WorkerOptions,
        worker_id: UUID,
        lease: LeaseClock,
    ) -> None:
        self._scheduler = scheduler
        self._wakeups = wakeups
        self._database = around.database
        self._options = options
        self._id = worker_id
        self._lease = lease
        self._reporter = Reporter(around.database, scheduler, wakeups, worker_id)
        self._executor = Executor(around, worker_id, lease, self._reporter)
        self._settles: Batcher[Settlement, bool] = Batcher(self._settle_batch)
        self._serving = True
        self._known: set[tuple[UUID, int]] = set()
        self._busy = 0
        """Slots taken. An attempt that only waits to be settled takes none."""
        self._attempts: dict[tuple[UUID, int], Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = asyncio.Event()

    async def serve(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set or the lease is lost; everything that was begun has ended."""
        helpers = [
            asyncio.create_task(loop)
            for loop in (self._renew(), self._obey(), self._be_woken(), self._claim())
        ]
        ends = [asyncio.create_task(event.wait()) for event in (stop, self._ended)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            self._serving = False
            self._look.set()
            await asyncio.wait([helpers[-1]])  # a claim under way must not lose its tasks
            await self._drain()
        finally:
            for task in (*helpers, *ends):
                task.cancel()
            await asyncio.gather(*helpers, *ends, return_exceptions=True)
            await self._reporter.close()

    # -- the lease ---------------------------------------------------------------------------

    async def _renew(self) -> None:
        pause = self._lease.seconds / 4
        while not self._ended.is_set():
            await asyncio.sleep(min(pause, max(0.05, self._lease.left())))
            await self._renew_once()
            if self._lease.expired():
                self._abandon("its lease ran out")

    async def _renew_once(self) -> None:
        """Renew, and stop the attempts that somebody asked to stop."""
        asked_at = boottime()
        if self._lease.expired():
            return
        try:
            async with asyncio.timeout(max(0.1, self._lease.left())):
                held = await leases.renew(self._database, self._id, self._lease.seconds)
        except LeaseLost:
            self._abandon("it was declared dead")
            return
        except (PodiumError, TimeoutError) as error:
            _faults.labels("renew").inc()
            _log.warning("worker.renewal_failed", error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
            return
        self._lease.renewed(asked_at)
        for one in held:
            key = (one.task_id, one.attempt)
            if one.cancel is not None and (live := self._attempts.get(key)):
                live.stop("cancelled")
            elif key not in self._known and one.age > _LOST_CLAIM_SECONDS:
                self._known.add(key)
                self._keep(self._hand_back(key))

    async def _hand_back(self, key: tuple[UUID, int]) -> None:
        """A claim was committed but its answer never arrived: nobody runs this task."""
        _log.warning("worker.lost_claim", task_id=str(key[0]), attempt=key[1])
        await self._settle(Settlement(*key, "released"))
        self._known.discard(key)

    def _abandon(self, why: str) -> None:
        """Without a lease nothing may run on: others may have begun the same tasks."""
        if self._ended.is_set():
            return
        _log.error("worker.lease_lost", worker_id=str(self._id), why=why, attempts=len(self._tasks))
        self._lease.lost()
        for attempt in self._attempts.values():
            attempt.stop("lease_lost")
        self._ended.set()

    async def _obey(self) -> None:
        """Requests to stop attempts arrive with the renewal; a message asks for one at once."""
        async with self._wakeups.valkey.listen(worker_channel(self._id)) as listener:
            while True:
                if await listener.message(60):
                    await self._renew_once()

    # -- claiming ----------------------------------------------------------------------------

    async def _claim(self) -> None:
        idle = _IDLE_SECONDS[0]
        while self._serving:
            self._look.clear()
            free = self._free()
            if free > 0 and await self._claim_once(min(free, _CLAIM_MOST)):
                idle = _IDLE_SECONDS[0]
                continue
            self._room.set() if free > 0 else self._room.clear()
            idle = min(idle * 2, _IDLE_SECONDS[1])
            if not self._serving:
                return
            await _wait(self._look, self._pause(idle))

    def _free(self) -> int:
        """How many attempts may begin now."""
        slots = self._options.concurrency
        unsettled = len(self._tasks) - self._busy
        return slots - self._busy if unsettled < _UNSETTLED * slots else 0

    def _pause(self, idle: float) -> float:
        if not self._wakeups.valkey.available:
            return _BLIND_SECONDS
        return idle * (0.75 + random.random() / 2)  # noqa: S311 - so that workers spread

    async def _claim_once(self, most: int) -> int:
        try:
            claimed = await self._scheduler.claim(self._id, most)
        except LeaseLost:
            self._abandon("it was declared dead")
            return 0
        except Exception as error:  # noqa: BLE001 - a loop outlives its errors and counts them
            _faults.labels("claim").inc()
            _log.warning("worker.claim_failed", error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
            return 0
        for one in claimed:
            self._known.add((one.task_id, one.attempt))
            self._take_slot(1)
            self._keep(self._attempt(one))
        return len(claimed)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._look.set()

    def _take_slot(self, taken: int) -> None:
        self._busy += taken
        _running.set(self._busy)
        self._look.set()

    async def _be_woken(self) -> None:
        """Take wake-ups while there is room; pass one on that came too late."""
        keys = [f"{WORK_LIST}:{name}" for name in self._options.queues or ("",)]
        while True:
            await self._room.wait()
            if await self._wakeups.valkey.pop(keys, 5):
                if self._free() <= 0:
                    self._wakeups.work(self._options.queues)
                    self._room.clear()
                self._look.set()

    # -- attempts ----------------------------------------------------------------------------

    async def _attempt(self, claimed: Claimed) -> None:
        key = (claimed.task_id, claimed.attempt)
        try:
            try:
                end = await self._carry_out(claimed, key)
            finally:
                self._take_slot(-1)
            if end is not None:
                await self._settle(end)
        finally:
            self._known.discard(key)

    async def _carry_out(self, claimed: Claimed, key: tuple[UUID, int]) -> Settlement | None:
        try:
            attempt = await self._executor.prepare(claimed)
        except PodiumError as error:
            _log.warning("attempt.not_prepared", task_id=str(key[0]), error=error.message)
            await asyncio.sleep(_RETRY_SECONDS)
            return Settlement(*key, "released")
        self._attempts[key] = attempt
        try:
            end = await self._run(attempt)
            if end is not None:
                with suppress(PodiumError):
                    await self._reporter.flush(*key)
            return end
        finally:
            del self._attempts[key]

    async def _run(self, attempt: Attempt) -> Settlement | None:
        if self._lease.expired():
            return None
        running = asyncio.create_task(self._executor.run(attempt))
        attempt.run_in(running)
        try:
            return await running
        except asyncio.CancelledError:
            if attempt.stop_reason == "lease_lost":
                return None
            if attempt.stop_reason is not None:
                return outcome.stopped(attempt)
            raise
        except AttemptFailed as error:
            return outcome.failed(attempt, error)

    async def _settle(self, end: Settlement) -> None:
        """Settle for certain: tried again until the database answers or the lease is gone."""
        while True:
            try:
                counted = await self._settles.put(end)
            except Exception as error:  # noqa: BLE001 - the work is done; its result must not be lost
                _faults.labels("settle").inc()
                _log.warning("worker.settle_failed", task_id=str(end.task_id), error=str(error))
                if self._ended.is_set() or self._lease.expired():
                    return
                if not isinstance(error, PodiumError):
                    end = _unsettleable(end, error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            _settled.labels(end.how).inc()
            if not counted:
                _stale.inc()
            return

    async def _settle_batch(self, ends: Sequence[Settlement]) -> list[bool]:
        ordered = sorted(ends, key=lambda end: end.task_id)  # one lock order everywhere
        counted = await self._scheduler.settle(self._id, ordered)
        late = [
            (end.task_id, end.attempt, end.usage)
            for end in ends
            if end.usage and end.task_id not in counted
        ]
        if late:
            await store.add_late_usage(self._database, late)
        return [end.task_id in counted for end in ends]

    # -- the end -----------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let attempts finish, hand back those that do not, and end the lease."""
        orderly = not self._ended.is_set()
        if orderly:
            await self._say("draining")
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._options.drain_seconds)
        for attempt in list(self._attempts.values()):
            attempt.stop("released" if orderly else "lease_lost")
        while self._tasks:
            await asyncio.wait(self._tasks)
        if orderly:
            await self._say("stopped")
            await self._wakeups.close()

    async def _say(self, state: str) -> None:
        try:
            async with self._database.transaction() as conn:
                await leases.set_worker_state(conn, self._id, state)
        except PodiumError as error:
            _log.warning("worker.state_not_written", state=state, error=error.message)
        self._wakeups.feed()


def _unsettleable(end: Settlement, error: Exception) -> Settlement:
    """The database refused this very result: the attempt failed, and says why."""
    refused = AttemptFailed(
        ErrorClass.AGENT, "output_refused", f"The output could not be stored: {str(error)[:500]}"
    )
    return Settlement(
        end.task_id, end.attempt, "failed", error=outcome.error_json(refused), usage=end.usage
    )


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
