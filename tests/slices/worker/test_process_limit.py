"""A worker runs only so many attempts in processes of their own, whatever else it runs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from podium.agents import store
from podium.kernel.errors import Unavailable
from slices.worker.conftest import Shop
from slices.worker.test_isolation import let_run
from slices.worker.test_troubles import Troubled


async def _isolated(shop: Shop) -> Any:
    agent = shop.engine.agents["a"]
    return (await shop.engine.run("select isolated from agent where id = :id", id=agent))[
        0
    ].isolated


async def test_no_more_processes_run_at_once_than_may(shop: Shop, tmp_path: Path) -> None:
    """Each counts who is there while it is."""
    place = tmp_path / "place"
    place.mkdir()
    script = f"touch {place}/$$; sleep 0.3; ls {place} | wc -l; rm {place}/$$"
    let_run(shop, "command", command=["sh", "-c", script], confinement="none")
    async with shop.worker(concurrency=50, processes=2):
        tasks = [await shop.submit("a", n) for n in range(9)]
        done = [await shop.ended(task) for task in tasks]
    assert {one.outcome for one in done} == {"succeeded"}
    assert max(int(one.output["text"]) for one in done) == 2
    assert await _isolated(shop)


async def test_attempts_inside_the_worker_do_not_count_once_that_is_known(shop: Shop) -> None:
    let_run(shop, "function", function="worker_agents:sleep")
    async with shop.worker(concurrency=50, processes=1), asyncio.timeout(10):
        tasks = [await shop.submit("a", 0.5) for _ in range(40)]  # 20 s one after the other
        done = [await shop.ended(task) for task in tasks]
    assert {one.outcome for one in done} == {"succeeded"}
    assert not await _isolated(shop)


async def test_what_could_not_be_recorded_is_recorded_by_the_next_attempt(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled = Troubled(store.set_isolated, Unavailable("It is away."), 1)
    monkeypatch.setattr(store, "set_isolated", troubled)
    let_run(shop, "function", function="worker_agents:echo")
    async with shop.worker():
        assert (await shop.ended(await shop.submit("a", 1))).outcome == "succeeded"
    assert not await _isolated(shop)


async def test_a_function_that_is_none_for_the_worker_any_more_counts_again(shop: Shop) -> None:
    let_run(shop, "function", function="worker_agents:plain")
    await shop.engine.add_agent("a")
    await shop.engine.run("update agent set isolated = false")
    async with shop.worker():
        assert (await shop.ended(await shop.submit("a", 1))).outcome == "succeeded"
    assert await _isolated(shop)
