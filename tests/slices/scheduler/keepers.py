"""Keepers at work, and looks at what they did, for their tests."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from podium.events.live import Wakeups
from podium.kernel.errors import Unavailable
from podium.kernel.ids import uuid7
from podium.scheduler.keeper import Chore, Keeper
from podium.scheduler.service import Scheduler
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from slices.scheduler.engine import Engine


class Flaky(Database):
    """A database that cannot be reached while ``down`` and answers late."""

    down = False
    answers_after = 0.0

    async def call(self, statement: str, *args: Any) -> list[Any]:
        if self.down:
            raise Unavailable("It is away.")
        await asyncio.sleep(self.answers_after)
        return await super().call(statement, *args)


@pytest.fixture
async def engine(database: Database, valkey: Valkey) -> Engine:
    """An engine whose wake-ups reach keepers, for modules that put it before the folder's own."""
    engine = await Engine.create(database)
    engine.scheduler = Scheduler(database, Wakeups(valkey))
    return engine


def make_keeper(database: Database, valkey: Valkey, *chores: Chore, lease: float = 60) -> Keeper:
    wakeups = Wakeups(valkey)
    return Keeper(database, wakeups, uuid7(), lease_seconds=lease, max_losses=3, chores=chores)


@asynccontextmanager
async def at_work(keeper: Keeper) -> AsyncGenerator[Keeper]:
    keeper.start()
    try:
        yield keeper
    finally:
        await keeper.close()
        await keeper._wakeups.close()


@asynccontextmanager
async def keeping(
    database: Database, valkey: Valkey, *chores: Chore, lease: float = 60
) -> AsyncGenerator[Keeper]:
    """A keeper that is at work."""
    async with at_work(make_keeper(database, valkey, *chores, lease=lease)) as keeper:
        yield keeper


async def until(look: Callable[[], Awaitable[Any]], seconds: float = 10) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(0.01)
        return found


async def as_is(value: object) -> object:
    """What ``until`` can look at, of a value that is known without asking."""
    return value


async def is_in(engine: Engine, task: UUID, place: str) -> bool:
    """Whether the task has its row in this table."""
    return bool(await engine.run(f"select 1 from {place} where task_id = :id", id=task))


def errors_of(loop: str) -> float:
    """How many errors of this loop were counted."""
    return REGISTRY.get_sample_value("podium_keeper_errors_total", {"loop": loop}) or 0.0
