"""How a worker comes by its tasks."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from podium.events.live import WORK_LIST, Wakeups
from podium.kernel import background
from podium.scheduler.model import Settlement
from podium.scheduler.service import Scheduler
from podium.storage.database import LeaseLost
from podium.worker import faults
from podium.worker.attempts import Attempts

_MOST = 300
"""Half of what a worker runs by default: it claims the next while it begins the last."""
_CLAIM_SECONDS = 10.0
"""A claim that takes longer than this is given up; what it may have brought is handed back."""
_IDLE_SECONDS = (0.5, 15.0)
"""An idle worker looks by itself this often at first and at last, while it can be woken."""
_BLIND_SECONDS = 0.25
_FULL_SECONDS = 0.1
"""How often one whose processes are all in use looks for a wake-up that nobody else took."""


class Claiming:
    """Claims as much as there is room for: with what it settles, when something changed, when it is
    woken, now and then. Never twice at once, as both would fill the same room.

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
        self._for_others = False
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()
        self.under_way: object | None = None
        """Stands for the claim that is waited for, another one each time."""
        self._claims = asyncio.create_task(faults.outlive("claim", self._claim))
        self._wakes = asyncio.create_task(faults.outlive("wake", self._be_woken))

    async def settle(self, ends: Sequence[Settlement]) -> Collection[UUID]:
        """End attempts; gives the tasks for which the report counted. Where nothing else is open,
        and no claim is under way, it claims in the same transaction; else a claim follows."""
        is_free = self._serving and len(self._attempts) == len(ends) and self._attempts.room() > 0
        if not is_free or self._turn.locked():
            counted = await self._scheduler.settle(self._worker_id, ends, self._readied)
            self._look.set()
            return counted
        async with self._claims_now():
            room = min(self._attempts.room(), _MOST)
            counted, claimed, leaves = await self._scheduler.settle_and_claim(
                self._worker_id, ends, room, self._attempts.process_room()
            )
            for one in claimed:
                self._attempts.begin(one)
        if leaves:
            self._look.set()
        return counted

    def _readied(self) -> None:
        """The look that follows is for others, too: they are woken for what it leaves."""
        if self._serving:
            self._for_others = True
        else:
            self._scheduler.wake()

    async def stop(self) -> None:
        """Claim no more. A claim under way is waited for: what it brings must not be lost."""
        self._serving = False
        self._look.set()
        await background.end(self._wakes)
        self._wakeups.work(self._queues)  # for others, if one was taken meanwhile
        await self._claims
        async with self._turn:
            pass
        if self._for_others:
            self._scheduler.wake()

    def give_up(self) -> None:
        """Nobody waits for it any more: what a claim under way brings is left to the reaper."""
        self._claims.cancel()
        self._wakes.cancel()

    async def _claim(self) -> None:
        idle = _IDLE_SECONDS[0]
        while self._serving:
            if await self._fill():
                continue
            self._room.set() if self._attempts.room() > 0 else self._room.clear()
            if self._serving and await faults.wait(self._look, self._pause(idle)):
                idle = _IDLE_SECONDS[0]
            else:
                idle = min(idle * 2, _IDLE_SECONDS[1])

    def _pause(self, idle: float) -> float:
        if not self._wakeups.valkey.available:
            return _BLIND_SECONDS
        return idle * (0.75 + random.random() / 2)  # noqa: S311 - so that workers spread

    async def _fill(self) -> bool:
        """Claim what there is room for. Whether there may be more."""
        number, leaves = 0, True
        async with self._claims_now():
            self._look.clear()
            for_others, self._for_others = self._for_others, False
            try:
                if (room := self._attempts.room()) > 0:
                    number, leaves = await self._claim_once(min(room, _MOST))
            finally:
                if for_others and leaves:
                    self._scheduler.wake()
        return number > 0 and leaves

    async def _claim_once(self, most: int) -> tuple[int, bool]:
        """How many it gave, and whether it may have left some."""
        try:
            async with asyncio.timeout(_CLAIM_SECONDS):
                processes = self._attempts.process_room()
                claimed, leaves = await self._scheduler.claim(
                    self._worker_id, most, processes, self._queues
                )
        except LeaseLost:
            self._lost("it was declared dead")
            self._serving = False
            return 0, True
        for one in claimed:
            self._attempts.begin(one)
        return len(claimed), leaves

    @asynccontextmanager
    async def _claims_now(self) -> AsyncGenerator[None]:
        async with self._turn:
            self.under_way = object()
            try:
                yield
            finally:
                self.under_way = None

    async def _be_woken(self) -> None:
        """Take wake-ups while there is room; pass one on that came too late. One that has no
        process free does not stand in line with those who have: what is there may need one."""
        keys = [f"{WORK_LIST}:{name}" for name in self._queues or ("",)]
        while True:
            await self._room.wait()
            if self._attempts.process_room() <= 0:
                await asyncio.sleep(_FULL_SECONDS)
                if any(await self._wakeups.valkey.send([("LPOP", key) for key in keys])):
                    self._look.set()
            elif await self._wakeups.valkey.pop(keys, 5):
                if self._attempts.room() <= 0:
                    self._room.clear()
                if self._attempts.room() <= 0 or self._attempts.process_room() <= 0:
                    self._wakeups.work(self._queues)
                self._look.set()
            elif not self._wakeups.valkey.available:
                self._look.set()  # by itself from now on, and not when its pause is over
