"""Kill -9, stop and cut, at random and under load: nothing is lost, doubled or run twice."""

import asyncio
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from chaos.installation import Installation, installed
from chaos.ledger import Ledger
from chaos.load import under_load
from podium.client import AsyncPodium


async def _random_kills(running: Installation, seconds: float, kinds: list[str]) -> list[str]:
    """Kill all kinds in turn, each turn in another order."""
    dice = random.Random(time.time())
    killed: list[str] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for kind in dice.sample(kinds, len(kinds)):
            await asyncio.sleep(dice.uniform(0.5, 2.5))
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
        assert set(killed) == set(_ALL)
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


@pytest.mark.parametrize("rounds", [pytest.param(1), pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
async def test_a_worker_that_is_stopped_past_its_lease_runs_nothing_twice(
    tmp_path: Path, rounds: int
) -> None:
    async with under_load(tmp_path / "home", workers=2, lease_seconds=4, max_losses=100) as (
        running,
        client,
        ledger,
    ):
        await asyncio.sleep(5)  # reapers judge after one whole lease
        for _ in range(rounds):
            for agent in ("inside", "program"):
                for _ in range(8):
                    await ledger.submit(client, agent, 3.0)
            stopped = await _stop_the_busiest(running, client)
            await asyncio.sleep(9)
            os.kill(stopped, signal.SIGCONT)
            await asyncio.sleep(1)
    assert len(ledger.lost()) >= rounds
    assert ledger.lost() & ledger.once


@pytest.mark.timeout(120)
async def test_a_step_does_not_outlast_the_lease(tmp_path: Path) -> None:
    """Neither when its process is stopped in the middle of it, nor when it blocks the worker."""
    async with under_load(
        tmp_path / "home", producers=0, workers=3, lease_seconds=4, max_losses=100
    ) as (running, client, ledger):
        await asyncio.sleep(5)  # reapers judge after one whole lease
        tasks: list[str] = []
        for agent in ("frozen", "stuck"):
            config = {"function": f"chaos.agents:{agent}"}
            await client.agents.create(name=agent, runtime="function", config=config)
            tasks.append(await ledger.submit(client, agent, 20))
            await asyncio.sleep(0.5)  # the first does not take the second down with it
        for task in tasks:
            assert (await client.tasks.wait(task, timeout=60)).state == "succeeded"
        for worker in filter(_is_stopped, running.pids("worker")):
            os.kill(worker, signal.SIGCONT)
        errors = [(await client.tasks.attempts(task))[0].error for task in tasks]
        await asyncio.sleep(2)
    assert ledger.lost() == set(tasks)
    assert [error and error["code"] for error in errors] == ["worker_lost", "worker_blocked"]


def _is_stopped(process: int) -> bool:
    return psutil.Process(process).status() == psutil.STATUS_STOPPED


async def _stop_the_busiest(running: Installation, client: AsyncPodium) -> int:
    """Stop the worker process with the most attempts, once it runs some."""
    while True:
        alive = running.pids("worker")
        serving = [each for each in await client.workers.list() if each.pid in alive]
        busiest = max(serving, key=lambda each: each.running, default=None)
        if busiest is not None and busiest.running > 2:
            os.kill(busiest.pid, signal.SIGSTOP)
            return busiest.pid
        await asyncio.sleep(0.05)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_workers_are_stopped_and_go_on_at_random(tmp_path: Path) -> None:
    """For moments, for nearly a lease, and past it."""
    dice = random.Random(time.time())
    async with under_load(tmp_path / "home", workers=2, lease_seconds=4, max_losses=100) as (
        running,
        _,
        ledger,
    ):
        until = time.monotonic() + 300
        while time.monotonic() < until:
            if stopped := running.kill("worker", signal.SIGSTOP):
                await asyncio.sleep(dice.choice([0.1, 1, 2.5, 3.9, 6, 9]))
                with suppress(ProcessLookupError):
                    os.kill(stopped, signal.SIGCONT)
            await asyncio.sleep(dice.uniform(0, 3))
    assert ledger.lost() & ledger.once


@pytest.mark.parametrize("cuts", [pytest.param(15), pytest.param(500, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
async def test_connections_are_cut(tmp_path: Path, cuts: int) -> None:
    dice = random.Random(time.time())
    async with under_load(tmp_path / "home", workers=2, lease_seconds=4, max_losses=100) as (
        running,
        _,
        ledger,
    ):
        for _ in range(cuts):
            await asyncio.sleep(dice.uniform(0.1, 0.6))
            await asyncio.to_thread(_cut_connections, running)
        assert len(ledger.accepted) > 5


def _cut_connections(running: Installation) -> None:
    """End the server processes behind all connections, as a failover or a proxy would."""
    for postmaster in running.pids("postgres"):
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
