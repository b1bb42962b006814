"""Which of the processes that stand for a role plays it; a lease row tells."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from enum import StrEnum
from uuid import UUID

from podium.events.live import Wakeups
from podium.kernel.clock import boottime
from podium.scheduler import upkeep
from podium.scheduler.upkeep import Standing
from podium.storage.database import Database

TICK_SECONDS = 1.0
"""Between two looks of who was elected."""
_RESIGNED_CHANNEL = "podium:resigned"
_LEAD_SECONDS = 3.0
_APART_SECONDS = 0.3
_SPREAD_SECONDS = 4.0
"""Between two processes that stand for election, and between the first and the last of them: the
more there are, the more seldom each asks, and soon one does when nobody leads."""


class Role(StrEnum):
    """What is to be done by one process of those that can."""

    KEEPER = "keeper"
    """What every server and worker can do."""
    SERVER = "server"
    """What needs the services of the API; workers do not accept tasks, for example."""


class Election:
    """One process as a candidate for a role. ``won`` is set while it has it."""

    def __init__(self, database: Database, wakeups: Wakeups, identity: UUID, role: Role) -> None:
        self._database = database
        self._wakeups = wakeups
        self._identity = identity
        self._role = role
        self._sure_until = 0.0
        self.won = asyncio.Event()

    async def run(
        self,
        failed: Callable[[Exception], None],
        stood: Callable[[Standing, float], Awaitable[None]] | None = None,
    ) -> None:
        """Be elected, and stay so. Each time ``stood`` is given how it stands and in how many
        seconds it asks again, or ``failed`` why nobody knows."""
        async with self._wakeups.valkey.listen(_RESIGNED_CHANNEL) as resigned:
            while True:
                wait, asked_at = TICK_SECONDS, boottime()
                try:
                    standing = await self._stand()
                    wait = self._note(standing, asked_at)
                    if stood:
                        await stood(standing, wait)
                except Exception as error:  # noqa: BLE001 - a loop outlives its errors
                    if boottime() > self._sure_until:  # another may have been elected
                        self.won.clear()
                    failed(error)
                await resigned.message(wait)

    async def _stand(self) -> Standing:
        who = (self._database, self._role, self._identity)
        other = None if self.won.is_set() else await upkeep.other(*who)
        return other or await upkeep.stand(*who, _LEAD_SECONDS)

    def _note(self, standing: Standing, asked_at: float) -> float:
        """Seconds until it should stand again: where another is elected, when that one's lease may
        have run out."""
        if standing.leads:
            self._sure_until = asked_at + _LEAD_SECONDS
            self.won.set()
            return TICK_SECONDS
        self.won.clear()
        others = standing.workers if self._role is Role.KEEPER else 0
        spread = min(_APART_SECONDS * (1 + others), _SPREAD_SECONDS)
        left = min(standing.others, _LEAD_SECONDS)  # the database's clock may have been set back
        return left + random.uniform(0, spread)  # noqa: S311 - no secret

    async def resign(self) -> None:
        """Leave the role to others at once."""
        if self.won.is_set():
            await upkeep.resign(self._database, self._role, self._identity)
            self._wakeups.tell(_RESIGNED_CHANNEL)
