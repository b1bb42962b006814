"""How a worker keeps its lease, and what it learns from each renewal."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from podium.events.live import Wakeups
from podium.kernel.clock import boottime
from podium.scheduler import store as leases
from podium.scheduler.service import worker_channel
from podium.storage.database import Database, LeaseLost
from podium.worker import faults
from podium.worker.attempts import Attempts
from podium.worker.claiming import Claiming
from podium.worker.conversation import Talks
from podium.worker.lease import LeaseClock
from podium.worker.store import Key

_log = structlog.get_logger(__name__)

_PART = 0.4
"""Of a lease, after which it is renewed: one that fails is tried again every half second."""


class Renewal:
    """Renews the lease of one incarnation.

    The answer tells what the database believes that the worker runs: attempts that somebody asked
    to stop, and claims whose answer never arrived. ``lost`` is called with the reason when there
    is no lease any more.
    """

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        worker_id: UUID,
        lease: LeaseClock,
        attempts: Attempts,
        claiming: Claiming,
        talks: Talks,
        lost: Callable[[str], None],
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._worker_id = worker_id
        self._lease = lease
        self._attempts = attempts
        self._claiming = claiming
        self._talks = talks
        self._lost = lost
        self._asked = asyncio.Event()
        self._strange: dict[Key, object | None] = {}
        """Attempts that were never begun here, with the claim that may bring them yet."""

    async def keep(self) -> None:
        """Renew now and then, and when it is asked for, until the lease is gone."""
        while not self._lease.expired():
            self._asked.clear()
            again_at = boottime() + _PART * self._lease.seconds
            await self._renew()
            pause = min(again_at - boottime(), self._lease.left())
            await faults.wait(self._asked, max(0.0, pause))
        self._lost("its lease ran out")

    async def obey(self) -> None:
        """Requests to stop attempts arrive with the renewal, and what people say with a look at
        sessions; a message asks for both at once."""
        async with self._wakeups.valkey.listen(worker_channel(self._worker_id)) as listener:
            while True:
                if await listener.message(60):
                    self._asked.set()
                    self._talks.look()

    async def _renew(self) -> None:
        asked_at = boottime()
        try:
            async with asyncio.timeout(self._lease.left()):
                held = await leases.renew(self._database, self._worker_id, self._lease.seconds)
        except LeaseLost:
            self._lost("it was declared dead")
            return
        self._lease.renewed(asked_at)
        for one in held:
            if one.cancel is not None:
                self._attempts.stop((one.task_id, one.attempt), "cancelled")
        self._find_lost_claims({(one.task_id, one.attempt) for one in held})

    def _find_lost_claims(self, held: set[Key]) -> None:
        """Hand back what was claimed in a claim whose answer never arrived.

        That is certain of an attempt which was here twice without having been begun, when the
        claim that was under way at the first time has ended: no other can bring it.
        """
        before, self._strange = self._strange, {}
        under_way = self._claiming.under_way
        for key in held:
            if key in self._attempts:
                continue
            if key in before and (before[key] is None or before[key] is not under_way):
                _log.warning("worker.lost_claim", task_id=str(key[0]), attempt=key[1])
                self._attempts.hand_back(key)
            else:
                self._strange[key] = before.get(key, under_way)
