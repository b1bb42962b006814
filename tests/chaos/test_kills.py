"""Kill -9, stop and cut, at random and under load: nothing is lost, doubled or run twice."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from chaos.installation import Installation, installed
from chaos.ledger import Ledger
from podium.client import AsyncPodium


@asynccontextmanager
async def under_load(
    home: Path, *, producers: int = 3, **settings: object
) -> AsyncGenerator[tuple[Installation, AsyncPodium, Ledger]]:
    """An installation with agents of both runtimes, producers and one subscriber.

    At the end the producers stop, all accepted tasks end, and the books are checked.
    """
    async with installed(home, **settings) as running, running.client() as client:
        ledger = Ledger(home.parent / "journal")
        await client.agents.create(
            name="inside", runtime="function", config={"function": "chaos.agents:steady"}
        )
        command = [sys.executable, str(Path(__file__).parent / "agents.py")]
        await client.agents.create(
            name="program", runtime="command", config={"command": command, "prompt": "none"}
        )
        follower = asyncio.create_task(ledger.follow(client))
        work = [asyncio.create_task(_produce(client, ledger, n)) for n in range(producers)]
        try:
            yield running, client, ledger
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await ledger.settle(client, 90)
            on_record = await ledger.caught_up(client)
            ledger.assert_exact(on_record)
            ledger.assert_alone()
        finally:
            for task in (*work, follower):
                task.cancel()
            await asyncio.gather(*work, follower, return_exceptions=True)


async def _produce(client: AsyncPodium, ledger: Ledger, seed: int) -> None:
    dice = random.Random(seed)
    while True:
        agent = dice.choice(["inside", "inside", "inside", "program"])
        # Cut off in the middle of a call, a task may be accepted and not be in the ledger:
        # then its end is checked all the same, from the events.
        await ledger.submit(client, agent, dice.choice([0, 0.05, 0.2, 1.0]))
        await asyncio.sleep(dice.random() / 5)


async def _random_kills(running: Installation, seconds: float, kinds: list[str]) -> list[str]:
    dice = random.Random(time.time())
    killed: list[str] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(dice.uniform(0.5, 2.5))
        kind = dice.choice(kinds)
        if await asyncio.to_thread(running.kill, kind):
            killed.append(kind)
    return killed


_ALL = ["worker", "api", "postgres", "valkey"]


@pytest.mark.parametrize("seconds", [pytest.param(15), pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
async def test_kills_at_random(tmp_path: Path, seconds: float) -> None:
    async with under_load(tmp_path / "home", workers=2, lease_seconds=4, max_losses=100) as (
        running,
        _,
        ledger,
    ):
        await asyncio.sleep(1)
        killed = await _random_kills(running, seconds, _ALL)
        assert len(killed) >= seconds / 5
        assert len(ledger.accepted) > 5


@pytest.mark.timeout(200)
async def test_a_dead_workers_tasks_are_taken_over_in_20_seconds(tmp_path: Path) -> None:
    async with installed(tmp_path / "home", workers=1) as running, running.client() as client:
        ledger = Ledger(tmp_path / "journal")
        await client.agents.create(
            name="inside", runtime="function", config={"function": "chaos.agents:steady"}
        )
        await asyncio.sleep(13)  # reapers judge after one whole lease
        task = await ledger.submit(client, "inside", 3)
        while (await client.tasks.get(task)).state != "running":
            await asyncio.sleep(0.05)
        assert running.kill("worker")
        died = time.monotonic()
        while len(await client.tasks.attempts(task)) < 2:
            await asyncio.sleep(0.1)
            assert time.monotonic() - died < 20
        assert (await client.tasks.wait(task, timeout=30)).state == "succeeded"


@pytest.mark.timeout(200)
async def test_a_worker_that_is_stopped_past_its_lease_runs_nothing_twice(tmp_path: Path) -> None:
    async with under_load(tmp_path / "home", workers=2, lease_seconds=4, max_losses=100) as (
        running,
        client,
        ledger,
    ):
        await asyncio.sleep(5)
        for agent in ("inside", "program"):
            for _ in range(4):
                await ledger.submit(client, agent, 3.0)
        await asyncio.sleep(0.5)
        stopped = running.kill("worker", signal.SIGSTOP)
        assert stopped
        await asyncio.sleep(9)
        os.kill(stopped, signal.SIGCONT)
        await asyncio.sleep(1)


@pytest.mark.timeout(200)
async def test_connections_are_cut(tmp_path: Path) -> None:
    async with under_load(tmp_path / "home", workers=2, lease_seconds=4, max_losses=100) as (
        running,
        _,
        ledger,
    ):
        for _ in range(15):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(_cut_connections, running)
        assert len(ledger.accepted) > 5


def _cut_connections(running: Installation) -> None:
    """End the server processes behind all connections, as a failover or a proxy would."""
    for postmaster in running.pids("postgres"):
        import psutil

        for backend in psutil.Process(postmaster).children():
            with suppress(psutil.Error):
                if "podium" in " ".join(backend.cmdline()):
                    backend.send_signal(signal.SIGTERM)


@pytest.mark.timeout(200)
async def test_a_killed_supervisor_leaves_nothing_that_blocks_the_next(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with installed(home) as first:
        async with first.client() as client:
            await client.agents.create(name="a", runtime="command", config={"command": ["true"]})
        os.kill(first.supervisor, signal.SIGKILL)
        async with asyncio.timeout(20):
            while first.pids("api") or first.pids("worker"):
                await asyncio.sleep(0.1)
        async with installed(home) as second, second.client() as client:
            assert [agent.name async for agent in client.agents.list()] == ["a"]
            assert await second.stop() == 0
            assert second.leftovers() == []
