"""Servers and databases are killed while schedules fire: each time has its task, and only one."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from chaos.installation import Installation, installed
from podium.client import AsyncPodium
from podium.client.models import Firing

NAMES = ("first", "second", "third")


async def _schedules(client: AsyncPodium, journal: Path) -> None:
    await client.agents.create(
        name="inside", runtime="function", config={"function": "chaos.agents:steady"}
    )
    for name in NAMES:
        await client.schedules.create(
            name=name,
            every=1,
            catch_up="all",
            overlap="allow_all",
            task={
                "agent": "inside",
                "input": {"key": name, "seconds": 0, "journal": str(journal)},
                "retry": {"max_retries": 20, "initial": 0.1},
            },
        )


async def _kills(running: Installation, seconds: float) -> Counter[str]:
    killed: Counter[str] = Counter()
    dice = random.Random()
    async with asyncio.timeout(seconds + 30):
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until or len(killed) < 3:
            kind = dice.choice(["api", "api", "postgres", "valkey"])
            await asyncio.sleep(dice.uniform(0.3, 2))
            if await asyncio.to_thread(running.kill, kind):
                killed[kind] += 1
    return killed


async def _fired(client: AsyncPodium, name: str) -> list[Firing]:
    """All firings, the earliest time first."""
    return [each async for each in client.schedules.firings(name)][::-1]


@pytest.mark.parametrize("seconds", [pytest.param(12), pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
async def test_no_time_is_forgotten_or_fires_twice(tmp_path: Path, seconds: float) -> None:
    async with (
        installed(tmp_path / "home", workers=1, lease_seconds=4, max_losses=100) as running,
        running.client() as client,
    ):
        await _schedules(client, tmp_path / "journal")
        assert (await _kills(running, seconds))["api"]
        await _until_passed(client, datetime.now(UTC) + timedelta(seconds=3))
        for name in NAMES:
            await client.schedules.update(name, paused=True)
            fired = await _fired(client, name)
            assert len(fired) >= seconds
            assert {each.outcome for each in fired} == {"started"}
            gaps = {later.at - sooner.at for sooner, later in pairwise(fired)}
            assert gaps == {timedelta(seconds=1)}
            tasks = [str(each.task_id) for each in fired]
            listed = [task.id async for task in client.tasks.list(labels={"schedule": name})]
            assert sorted(tasks) == sorted(listed)
            async with asyncio.timeout(60):
                for task in tasks:
                    assert (await client.tasks.wait(task)).state == "succeeded"


async def _until_passed(client: AsyncPodium, moment: datetime) -> None:
    """Wait until all schedules have gone through the times up to the moment."""
    async with asyncio.timeout(60):
        for name in NAMES:
            while not any(each.at >= moment for each in await _fired(client, name)):
                await asyncio.sleep(0.2)
