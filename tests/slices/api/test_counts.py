"""Counts of tasks: shared by who asks at the same time, and taken seldom when they take long."""

import asyncio
from collections.abc import Mapping

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.api.counts import TaskCounts
from podium.scheduler import overview
from podium.storage.database import Database


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How often was counted; each takes as many seconds as its last element says."""
    seconds = [0.0]

    async def slow(conn: AsyncConnection) -> Mapping[str, int]:
        await asyncio.sleep(seconds[-1])
        seconds.append(seconds[-1])
        return {"queued": len(seconds) - 1}

    monkeypatch.setattr(overview, "open_tasks", slow)
    return seconds


async def test_who_asks_at_the_same_time_shares_one_count(
    database: Database, counted: list[float]
) -> None:
    counted[-1] = 0.2
    known = TaskCounts(database)
    answers = await asyncio.gather(*(known.open() for _ in range(20)))
    assert answers == [{"queued": 1}] * 20
    assert len(counted) == 2


async def test_counts_that_took_long_are_good_for_longer(
    database: Database, counted: list[float]
) -> None:
    known = TaskCounts(database)
    await known.open()
    await asyncio.sleep(0.05)
    assert await known.open() == {"queued": 2}
    counted[-1] = 0.1
    await asyncio.sleep(0.05)
    assert await known.open() == {"queued": 3}
    await asyncio.sleep(0.5)
    assert await known.open() == {"queued": 3}
    await asyncio.sleep(0.6)
    assert await known.open() == {"queued": 4}


async def test_a_count_that_failed_is_taken_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(conn: AsyncConnection) -> Mapping[str, int]:
        raise RuntimeError("no")

    with monkeypatch.context() as broken:
        broken.setattr(overview, "open_tasks", fail)
        known = TaskCounts(database)
    with pytest.raises(RuntimeError, match="no"):
        await known.open()
    with pytest.raises(RuntimeError, match="no"):
        await known.open()
    assert (await TaskCounts(database).all())["queued"] == 0
