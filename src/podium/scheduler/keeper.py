"""What must happen by itself: timers fire, queue timeouts expire, dead workers are reaped.

Every server and worker process runs one keeper; of those that can, one is elected for each role and
acts. All that a keeper does may safely be done by two at once: the election only spares work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from socket import gethostname
from uuid import UUID

import structlog
from prometheus_client import Counter

from podium.events.live import Wakeups
from podium.kernel import background
from podium.kernel.clock import boottime
from podium.kernel.errors import PodiumError
from podium.kernel.ids import uuid7
from podium.scheduler import upkeep
from podium.scheduler.batcher import away
from podium.scheduler.election import TICK_SECONDS, Election, Role
from podium.scheduler.service import TIMER_CHANNEL
from podium.scheduler.upkeep import Standing
from podium.scheduler.waking import Waker
from podium.storage.database import Database
from podium.storage.valkey import Listener

_log = structlog.get_logger(__name__)
_errors = Counter("podium_keeper_errors", "Rounds of the keeper's loops that failed.", ["loop"])

_BLIND_SECONDS = 0.25
"""How often alarms look by themselves while wake-ups do not arrive."""
_HELD_SECONDS = 0.05
"""When what is due is locked by somebody, who will be done with it in a moment."""
_ASLEEP_SECONDS = 3.0
"""A look at the database that ends this long after it was to begin means that the machine slept,
this process was stopped or the database did not answer."""
_UNSEEN = 0.6
"""Of a lease: no living worker loses its own in a shorter outage, as it renewed it before."""
_CHORE_LOOK_SECONDS = 60.0
_RESIGN_SECONDS = 2.0
_BATCH = 500
_WORKERS_SECONDS = 3600.0
_WORKERS_DAYS = 7
"""How long workers that ended stay on record."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something that one process of the installation does every ``seconds``: one that has the role,
    or, with None, one on each machine."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[object]]
    role: Role | None = Role.KEEPER


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something with times of its own, for which one process of the installation rings.

    ``ring`` does what is due and gives the seconds until more is, None when nothing is planned;
    whoever brings a time forward tells the channel.
    """

    name: str
    channel: str
    ring: Callable[[], Awaitable[float | None]]
    role: Role = Role.KEEPER


class Keeper:
    """Runs the clock, the reaper, the alarms and the chores while this process has their roles."""

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
        self._waker = Waker(database, wakeups)
        self._elections = {role: Election(database, wakeups, identity, role) for role in Role}
        self._lease_seconds = lease_seconds
        self._max_losses = max_losses
        self.chores = [Chore("workers", _WORKERS_SECONDS, self._forget_workers), *chores]
        self.alarms = [Alarm("clock", TIMER_CHANNEL, self._fire)]
        """Both to be added to before the start."""
        self._loops: list[asyncio.Task[None]] = []
        self._fit_since = self._look_by = 0.0

    def start(self) -> None:
        self._begin_to_watch()
        loops = [
            *(self._stand(role) for role in self._roles()),
            *(self._rings(alarm) for alarm in self.alarms),
            *(self._chore(chore) for chore in self.chores),
        ]
        self._loops = [asyncio.create_task(loop) for loop in loops]

    async def close(self) -> None:
        """Stop, and leave the roles to others at once."""
        await background.end(*self._loops)
        await self._waker.close()
        for election in self._elections.values():
            with suppress(PodiumError, TimeoutError):
                async with asyncio.timeout(_RESIGN_SECONDS):
                    await election.resign()

    # -- election --------------------------------------------------------------------------------

    def _roles(self) -> set[Role]:
        wanted = (each.role for each in (*self.alarms, *self.chores))
        return {Role.KEEPER, *(role for role in wanted if role)}

    async def _stand(self, role: Role) -> None:
        election = self._elections[role]
        if role is Role.KEEPER:
            await election.run(self._failed_to_look, self._look_for_dead)
        else:
            await election.run(partial(self._failed, role))

    # -- alarms, of which the clock is one -------------------------------------------------------

    async def _rings(self, alarm: Alarm) -> None:
        elected = self._elections[alarm.role].won
        while True:
            await elected.wait()
            async with self._wakeups.valkey.listen(alarm.channel) as listener:
                while elected.is_set():
                    try:
                        await self._ring(alarm, listener)
                    except Exception as error:  # noqa: BLE001 - a loop outlives its errors and counts them
                        self._failed(alarm.name, error)
                        await asyncio.sleep(TICK_SECONDS)

    async def _ring(self, alarm: Alarm, listener: Listener) -> None:
        longest = TICK_SECONDS if self._wakeups.valkey.available else _BLIND_SECONDS
        due = await alarm.ring()
        wait = longest if due is None else min(due, longest)
        if wait > 0:
            await listener.message(wait)

    async def _fire(self) -> float | None:
        """Fire what is due of timers, queue timeouts and rates."""
        due = await upkeep.next_due(self._database)
        if due is None or due > 0:
            return due
        fired = await upkeep.fire_timers(self._database, _BATCH)
        expired = await upkeep.expire_tasks(self._database, _BATCH)
        refilled = await upkeep.refill_queues(self._database)
        refilled += await upkeep.serve_refilled(self._database, _BATCH)
        if not fired and not expired and not refilled:
            return _HELD_SECONDS
        self._waker.wake()
        self._wakeups.feed()
        return 0.0

    # -- the reaper ------------------------------------------------------------------------------

    def _begin_to_watch(self) -> None:
        self._fit_since = boottime()
        self._look_by = self._fit_since + TICK_SECONDS + _ASLEEP_SECONDS

    def _fit_to_judge(self) -> bool:
        """Whether this process was awake and connected for one whole lease; asked at each look.

        After a sleep of the machine or an outage of the database every lease looks run out,
        though its worker is alive and about to renew it.
        """
        now = boottime()
        if now > self._look_by:
            self._fit_since = now
        return now - self._fit_since >= self._lease_seconds

    def _failed_to_look(self, error: Exception) -> None:
        if away(error):  # so it may be for all workers, and they could not renew
            self._begin_to_watch()
        self._failed("reaper", error)

    async def _look_for_dead(self, standing: Standing, again: float) -> None:
        is_fit = self._fit_to_judge()
        self._look_by = boottime() + again + _ASLEEP_SECONDS
        if not standing.leads:  # nor may a whole outage lie between two of its looks
            self._look_by = min(self._look_by, boottime() + _UNSEEN * self._lease_seconds)
        if is_fit and standing.leads:
            await self._reap(standing.now)

    async def _reap(self, seen: datetime) -> None:
        reaped = await upkeep.reap(self._database, self._max_losses, seen, _ASLEEP_SECONDS)
        for worker_id, tasks in reaped:
            _log.warning("worker.reaped", worker_id=str(worker_id), tasks=tasks)
            self._waker.wake()
            self._wakeups.feed()

    # -- chores ----------------------------------------------------------------------------------

    async def _chore(self, chore: Chore) -> None:
        """One that finds a chore due takes it on and notes when it is due again, so that it keeps
        its times however often the processes are started anew."""
        role = f"chore:{chore.name}" if chore.role else f"chore:{chore.name}:{gethostname()}"
        while True:
            if chore.role:
                await self._elections[chore.role].won.wait()
            try:
                standing = await upkeep.stand(self._database, role, uuid7(), chore.seconds)
                if standing.leads:
                    await chore.run()
            except Exception as error:  # noqa: BLE001
                self._failed(chore.name, error)
            await asyncio.sleep(min(chore.seconds, _CHORE_LOOK_SECONDS))

    async def _forget_workers(self) -> None:
        await upkeep.forget_workers(self._database, _WORKERS_DAYS)

    def _failed(self, loop: str, error: Exception) -> None:
        _errors.labels(loop).inc()
        _log.warning("keeper.round_failed", loop=loop, error=str(error) or type(error).__name__)
