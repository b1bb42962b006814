"""What a free worker does with the successors of what it ran."""

from typing import Any

import pytest

from podium.worker import claiming
from slices.worker.conftest import Shop


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks by itself too seldom to mend what is forgotten."""
    monkeypatch.setattr(claiming, "_IDLE_SECONDS", (60.0, 60.0))


async def _chain(shop: Shop, length: int) -> Any:
    task = await shop.submit("echo", 0)
    for step in range(1, length):
        task = await shop.submit("echo", step, after=[task])
    return task


@pytest.mark.parametrize("concurrency", [1, 10])
async def test_a_step_of_a_chain_is_one_transaction(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """All but the first, and one that a wake-up may bring: their claims are part of settlements."""
    claim, given = shop.engine.scheduler.claim, list[int]()

    async def counted(*args: Any) -> Any:
        claimed, leaves = await claim(*args)
        given.append(len(claimed))
        return claimed, leaves

    monkeypatch.setattr(shop.engine.scheduler, "claim", counted)
    last = await _chain(shop, 8)
    async with shop.worker(concurrency=concurrency):
        assert (await shop.ended(last)).output == 7
    assert 1 <= sum(given) <= 2


async def test_chains_go_on_beside_what_runs_long(shop: Shop) -> None:
    """Then ends are settled by themselves, and claims follow them."""
    last = [await _chain(shop, 4) for _ in range(3)]
    await shop.submit("sleep", 60)
    async with shop.worker():
        for each in last:
            assert (await shop.ended(each, 20)).outcome == "succeeded"


async def test_more_successors_than_there_is_room_for_all_run(shop: Shop) -> None:
    first = await shop.submit("echo", 0)
    after = [await shop.submit("echo", n, after=[first]) for n in range(20)]
    last = await shop.submit("echo", 1, after=after)
    async with shop.worker(concurrency=3):
        assert (await shop.ended(last, 20)).outcome == "succeeded"
