"""How a worker comes by its tasks."""

import asyncio
import random
from collections.abc import Callable, Sequence
from uuid import UUID

from podium.events.live import WORK_LIST, Wakeups
from podium.kernel import background
from podium.scheduler.service import Scheduler
from podium.storage.database import LeaseLost
from podium.worker import faults
from podium.worker.attempts import Attempts

_MOST = 300
"""Half of what a worker runs by default: it claims the next while it begins the last."""
_CLAIM_SECONDS = 10.0
"""A claim that takes longer than this is given up; what it may have brought is handed back."""
_IDLE_SECONDS = (0.5, 5.0)
"""An idle worker looks by itself this often at first and at last, while it can be woken."""
_BLIND_SECONDS = 0.25


class Claiming:
    """Claims as much as there is room for, when something changed, when it is woken, now and then.

    ``lost`` is called with the reason when a claim finds that the worker holds no lease.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        wakeups: Wakeups,
        attempts: Attempts,
        worker_id: UUID,
        queues: Sequence[str],
        look: asyncio.Event,
        lost: Callable[[str], None],
    ) -> None:
        self._scheduler = scheduler
        self._wakeups = wakeups
        self._attempts = attempts
        self._worker_id = worker_id
        self._queues = queues
        self._look = look
        self._lost = lost
        self._serving = True
        self._room = asyncio.Event()
        self.under_way: object | None = None
        """Stands for the claim that is waited for, another one each time."""
        self._claims = asyncio.create_task(faults.outlive("claim", self._claim))
        self._wakes = asyncio.create_task(faults.outlive("wake", self._be_woken))

    async def stop(self) -> None:
        """Claim no more. A claim under way is waited for: what it brings must not be lost."""
        self._serving = False
        self._look.set()
        await background.end(self._wakes)
        self._wakeups.work(self._queues)  # for others, if one was taken meanwhile
        await self._claims

    def give_up(self) -> None:
        """Nobody waits for it any more: what a claim under way brings is left to the reaper."""
        self._claims.cancel()
        self._wakes.cancel()

    async def _claim(self) -> None:
        idle = _IDLE_SECONDS[0]
        while self._serving:
            self._look.clear()
            room = self._attempts.room()
            if room > 0 and await self._claim_once(min(room, _MOST)):
                continue
            self._room.set() if room > 0 else self._room.clear()
            if self._serving and await faults.wait(self._look, self._pause(idle)):
                idle = _IDLE_SECONDS[0]
            else:
                idle = min(idle * 2, _IDLE_SECONDS[1])

    def _pause(self, idle: float) -> float:
        if not self._wakeups.valkey.available:
            return _BLIND_SECONDS
        return idle * (0.75 + random.random() / 2)  # noqa: S311 - so that workers spread

    async def _claim_once(self, most: int) -> int:
        self.under_way = object()
        try:
            async with asyncio.timeout(_CLAIM_SECONDS):
                processes = self._attempts.process_room()
                claimed = await self._scheduler.claim(
                    self._worker_id, most, processes, self._queues
                )
            for one in claimed:
                self._attempts.begin(one)
        except LeaseLost:
            self._lost("it was declared dead")
            self._serving = False
            return 0
        finally:
            self.under_way = None
        return len(claimed)

    async def _be_woken(self) -> None:
        """Take wake-ups while there is room; pass one on that came too late."""
        keys = [f"{WORK_LIST}:{name}" for name in self._queues or ("",)]
        while True:
            await self._room.wait()
            if await self._wakeups.valkey.pop(keys, 5):
                if self._attempts.room() <= 0:
                    self._wakeups.work(self._queues)
                    self._room.clear()
                self._look.set()
