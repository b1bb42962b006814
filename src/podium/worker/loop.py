"""The worker: holds a lease, claims what it has room for, runs it, settles it."""

import asyncio
import os
import platform
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from podium import __version__
from podium.events.live import Wakeups
from podium.kernel.clock import boottime
from podium.kernel.errors import PodiumError
from podium.kernel.ids import uuid7
from podium.scheduler import store as leases
from podium.scheduler.model import Settlement, WorkerIdentity
from podium.scheduler.service import Scheduler
from podium.worker import faults, workspaces
from podium.worker.attempts import Attempts
from podium.worker.claiming import Claiming
from podium.worker.conversation import Talks
from podium.worker.executor import Executor, Surroundings
from podium.worker.fence import Fence
from podium.worker.late_usage import LateUsage
from podium.worker.lease import LeaseClock
from podium.worker.renewal import Renewal
from podium.worker.reporter import Reporter
from podium.worker.settling import Settler
from podium.worker.watchdog import Watchdog

_log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 600.0
_GRACE_SECONDS = 5.0
"""What an attempt that is handed back has of its agent's grace: whoever stops this process waits
for a few seconds more than the drain."""
_HURRIED_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker serves. Durations in seconds."""

    name: str
    concurrency: int
    processes: int
    queues: tuple[str, ...]
    lease_seconds: float
    drain_seconds: float
    fence: Fence | None = None
    """What ends this process when something runs in it past its lease."""


class Worker:
    """One worker process. ``run`` serves until it is told to stop; a lost lease begins anew."""

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
        self._late_usage = LateUsage(around.database)

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> int:
        """Serve until ``stop`` is set, then drain. ``hurry`` ends the drain: what still runs is
        handed back at once. Gives how many tasks the drain handed back."""
        try:
            return await self._serve(stop, hurry)
        finally:
            await self._late_usage.close()

    async def _serve(self, stop: asyncio.Event, hurry: asyncio.Event) -> int:
        handed_back = 0
        while not stop.is_set():
            try:
                incarnation = await self._begin()
            except PodiumError as error:
                _log.warning("worker.cannot_register", error=error.message)
                await faults.wait(stop, 1.0)
                continue
            handed_back = await incarnation.serve(stop, hurry)
        return handed_back

    async def _begin(self) -> "Incarnation":
        options = self._options
        who = WorkerIdentity(
            id=uuid7(),
            name=options.name,
            host=socket.gethostname() or platform.node(),
            pid=os.getpid(),
            version=__version__,
            concurrency=options.concurrency,
            processes=options.processes,
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
        return Incarnation(
            self._scheduler,
            self._wakeups,
            self._around,
            options,
            who.id,
            lease,
            self._late_usage,
        )


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
        late_usage: LateUsage,
    ) -> None:
        self._wakeups = wakeups
        self._around = around
        self._drain_seconds = options.drain_seconds
        self._id = worker_id
        self._lease = lease
        self._ended = asyncio.Event()
        database, look = around.database, asyncio.Event()
        self._watchdog = Watchdog(database, worker_id, lease)
        self._reporter = Reporter(database, scheduler, wakeups, worker_id)
        self._talks = Talks(database, wakeups, worker_id, lease)
        executor = Executor(around, worker_id, lease, self._reporter, self._talks)
        self._settler = Settler(self._settle, self._reporter, lease, late_usage)
        self._attempts = Attempts(
            executor, self._settler, options.concurrency, options.processes, look.set
        )
        self._claiming = Claiming(
            scheduler, wakeups, self._attempts, worker_id, options.queues, look, self._lose
        )
        self._renewal = Renewal(
            database,
            wakeups,
            worker_id,
            lease,
            self._attempts,
            self._claiming,
            self._talks,
            self._lose,
        )

    async def serve(self, stop: asyncio.Event, hurry: asyncio.Event) -> int:
        """Run until ``stop`` is set or the lease is lost; everything that was begun has ended.
        Gives how many tasks were handed back from then on."""
        helpers = [
            asyncio.create_task(faults.outlive("renew", self._renewal.keep)),
            asyncio.create_task(faults.outlive("obey", self._renewal.obey)),
            asyncio.create_task(faults.outlive("talk", self._talks.follow)),
            asyncio.create_task(faults.outlive("sweep", self._sweep)),
        ]
        ends = [asyncio.create_task(event.wait()) for event in (stop, self._ended)]
        try:
            self._watchdog.start()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            before = self._settler.handed_back
            helpers.append(asyncio.create_task(self._hasten(hurry)))
            await self._claiming.stop()
            await self._drain(hurry)
            return self._settler.handed_back - before
        finally:
            self._claiming.give_up()
            self._attempts.give_up()
            for task in (*helpers, *ends):
                task.cancel()
            await asyncio.gather(*helpers, *ends, return_exceptions=True)
            await self._reporter.close()
            self._lease.lost()  # nothing is left to be ended with it
            self._watchdog.close()

    def _lose(self, why: str) -> None:
        """Without a lease nothing may run on: others may have begun the same tasks."""
        if self._ended.is_set():
            return
        attempts = len(self._attempts)
        _log.error("worker.lease_lost", worker_id=str(self._id), why=why, attempts=attempts)
        self._lease.lost()
        self._attempts.stop_all("lease_lost")
        self._ended.set()

    async def _settle(self, ends: Sequence[Settlement]) -> Collection[UUID]:
        """For the settler, which is made first: attempts need it, and claiming needs them."""
        return await self._claiming.settle(ends)

    async def _sweep(self) -> None:
        while True:
            await workspaces.sweep(self._around.database, self._around.workspaces)
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _drain(self, hurry: asyncio.Event) -> None:
        """Let attempts finish, hand back those that do not, and end the lease."""
        orderly = not self._ended.is_set()
        if orderly:
            await self._say("draining")
            await self._attempts.drain(0 if hurry.is_set() else self._drain_seconds)
            self._lease.cut_short(_GRACE_SECONDS)
        self._attempts.stop_all("released" if orderly else "lease_lost")
        while self._attempts:
            await self._attempts.ended()
        if orderly:
            await self._say("stopped")
            await self._wakeups.close()

    async def _hasten(self, hurry: asyncio.Event) -> None:
        """Once it is in a hurry, let nothing run on."""
        await hurry.wait()
        self._lease.cut_short(_HURRIED_GRACE_SECONDS)
        self._attempts.stop_all("released")

    async def _say(self, state: str) -> None:
        try:
            async with self._around.database.transaction() as conn:
                await leases.set_worker_state(conn, self._id, state)
        except PodiumError as error:
            _log.warning("worker.state_not_written", state=state, error=error.message)
        self._wakeups.feed()
