"""What must happen by itself: timers fire, queue timeouts expire, dead workers are reaped.

Every server and worker process runs one keeper; a lease row elects the one that acts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog
from prometheus_client import Counter

from podium.events.live import Wakeups
from podium.kernel.clock import boottime
from podium.scheduler import store
from podium.scheduler.service import TIMER_CHANNEL
from podium.storage.database import Database

_log = structlog.get_logger(__name__)
_errors = Counter("podium_keeper_errors", "Rounds of a keeper's loop that failed.", ["loop"])
_reaped = Counter("podium_tasks_reaped", "Attempts taken back from dead workers.")

_LEAD_SECONDS = 5.0
_TICK_SECONDS = 1.0
_ASLEEP_SECONDS = 3.0
"""A tick that comes this late means that the machine slept or the process was stopped."""
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every now and then by one process of the installation."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[None]]


class Keeper:
    """Runs the clock, the reaper and the chores while this process is elected."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        identity: UUID,
        *,
        lease_seconds: float,
        max_losses: int,
        chores: Sequence[Chore] = (),
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._identity = identity
        self._lease_seconds = lease_seconds
        self._max_losses = max_losses
        self._chores = chores
        self._loops: list[asyncio.Task[None]] = []
        self._awake_since = boottime()
        self._last_tick = boottime()

    def start(self) -> None:
        loops = [self._clock(), self._reaper(), *(self._chore(chore) for chore in self._chores)]
        self._loops = [asyncio.create_task(loop) for loop in loops]

    async def close(self) -> None:
        for loop in self._loops:
            loop.cancel()
        for loop in self._loops:
            with suppress(asyncio.CancelledError):
                await loop

    async def _leads(self, role: str, seconds: float = _LEAD_SECONDS) -> bool:
        return await store.lead(self._database, role, self._identity, seconds)

    async def _clock(self) -> None:
        async with self._wakeups.valkey.listen(TIMER_CHANNEL) as listener:
            while True:
                wait = _TICK_SECONDS
                try:
                    if await self._leads("clock"):
                        wait = await self._fire()
                except Exception as error:  # noqa: BLE001 - a loop outlives its errors and counts them
                    self._failed("clock", error)
                if wait > 0:
                    await listener.message(wait)

    async def _fire(self) -> float:
        """Fire what is due; gives the seconds until something else may be."""
        fired = await store.fire_timers(self._database, _BATCH)
        expired = await store.expire_tasks(self._database, _BATCH)
        if fired or expired:
            self._wakeups.work(())
            self._wakeups.feed()
        due = await store.next_due(self._database)
        longest = _TICK_SECONDS if self._wakeups.valkey.available else _TICK_SECONDS / 4
        return longest if due is None else min(max(due, 0.0), longest)

    async def _reaper(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                if self._fit_to_judge() and await self._leads("reaper"):
                    await self._reap()
            except Exception as error:  # noqa: BLE001
                self._awake_since = boottime()
                self._failed("reaper", error)

    def _fit_to_judge(self) -> bool:
        """Whether this process was awake and connected for one whole lease.

        After a sleep of the machine or an outage of the database every lease looks run out,
        though its worker is alive and about to renew it.
        """
        now = boottime()
        if now - self._last_tick > _ASLEEP_SECONDS:
            self._awake_since = now
        self._last_tick = now
        return now - self._awake_since >= self._lease_seconds

    async def _reap(self) -> None:
        for worker_id, tasks in await store.reap(self._database, self._max_losses):
            _reaped.inc(tasks)
            _log.warning("worker.reaped", worker_id=str(worker_id), tasks=tasks)
            self._wakeups.work(())
            self._wakeups.feed()

    async def _chore(self, chore: Chore) -> None:
        while True:
            try:
                if await self._leads(f"chore:{chore.name}", chore.seconds * 2):
                    await chore.run()
            except Exception as error:  # noqa: BLE001
                self._failed(chore.name, error)
            await asyncio.sleep(chore.seconds)

    def _failed(self, loop: str, error: Exception) -> None:
        _errors.labels(loop).inc()
        _log.warning("keeper.round_failed", loop=loop, error=str(error))
