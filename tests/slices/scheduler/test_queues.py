"""Queues that are limited, paused or draining, as the claim and the submit judge them."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from podium.kernel.errors import QueueDraining
from podium.kernel.ids import uuid7
from podium.scheduler import store, upkeep
from slices.scheduler.engine import Engine
from slices.scheduler.rules import lay_down


async def reopen(engine: Engine, name: str) -> None:
    await engine.run("update queue set state = 'open' where name = :name", name=name)


async def test_a_paused_queue_starts_nothing_and_holds_up_nobody(
    engine: Engine, worker: UUID
) -> None:
    await lay_down(engine, "nightly", state="paused")
    held = await engine.submit(queue="nightly", priority=100)
    free = await engine.submit()
    assert await engine.claim_ids(worker) == [free]
    assert await engine.claim_ids(worker) == []
    await reopen(engine, "nightly")
    assert await engine.claim_ids(worker) == [held]


async def test_a_pause_is_of_one_project(engine: Engine, worker: UUID) -> None:
    other = await engine.add_project(uuid7(), "p1")
    await engine.add_agent("there", project=other)
    await lay_down(engine, "q", state="paused")
    await engine.submit(queue="q")
    elsewhere = await engine.submit(queue="q", project=other, agent="there")
    assert await engine.claim_ids(worker) == [elsewhere]


async def test_a_draining_queue_takes_nothing_new_and_ends_what_it_has(
    engine: Engine, worker: UUID
) -> None:
    first = await engine.submit(queue="old")
    after = await engine.submit(queue="old", after=[first])
    await lay_down(engine, "old", state="draining")
    with pytest.raises(QueueDraining) as refused:
        await engine.submit(queue="old")
    assert refused.value.context["queue"] == "old"
    await engine.submit(queue="other")
    await engine.run_all(worker)
    assert await engine.states(first, after) == ["succeeded", "succeeded"]


async def test_a_refused_queue_hurts_only_its_own_callers(engine: Engine) -> None:
    await lay_down(engine, "old", state="draining")
    results = await asyncio.gather(
        *(engine.submit(queue=queue) for queue in ("old", "new", "old", "new")),
        return_exceptions=True,
    )
    assert [type(each) for each in results] == [QueueDraining, UUID, QueueDraining, UUID]


async def test_a_retried_task_may_come_back_to_a_draining_queue(
    engine: Engine, worker: UUID
) -> None:
    task = await engine.submit(queue="old")
    await engine.run_one(worker, "failed")
    await lay_down(engine, "old", state="draining")
    assert await engine.retry(task) == [task]
    assert await engine.claim_ids(worker) == [task]


async def test_a_queue_runs_no_more_than_its_limit(engine: Engine, worker: UUID) -> None:
    await lay_down(engine, "q", concurrency=2)
    tasks = await engine.submit_many(5, queue="q")
    claimed = await engine.claim(worker)
    assert [one.task_id for one in claimed] == tasks[:2]
    assert await engine.claim(worker) == []
    await engine.succeed(worker, claimed[0])
    assert await engine.claim_ids(worker) == [tasks[2]]


async def test_all_lanes_of_a_queue_share_its_limit(engine: Engine, worker: UUID) -> None:
    await lay_down(engine, "q", concurrency=3)
    await engine.add_agent("other", capabilities=["x"])
    low = [await engine.submit(queue="q", agent=agent) for agent in ("echo", "other") * 3]
    by_capability = await engine.submit(queue="q", capabilities=("x",))
    high = [await engine.submit(queue="q", agent=agent, priority=5) for agent in ("other", "echo")]
    assert set(await engine.claim_ids(worker)) == {*high, low[0]}
    await engine.run("delete from queue")
    assert set(await engine.claim_ids(worker)) == {*low[1:], by_capability}


async def test_a_full_queue_takes_no_place_of_others(engine: Engine, worker: UUID) -> None:
    await lay_down(engine, "full", concurrency=1)
    await engine.submit_many(50, queue="full", priority=100)
    await engine.claim(worker, 1)
    free = await engine.submit_many(20, queue="free")
    assert await engine.claim_ids(worker, 20) == free


async def test_workers_that_claim_at_once_keep_a_limit_together(engine: Engine) -> None:
    await lay_down(engine, "q", concurrency=7)
    await engine.submit_many(60, queue="q")
    engines = [await Engine.join(engine) for _ in range(4)]
    workers = [await engine.worker() for _ in engines]
    running: Counter[str] = Counter()

    async def work(one: Engine, worker: UUID) -> None:
        while claimed := await one.claim(worker, 3):
            running["now"] += len(claimed)
            running["most"] = max(running["most"], running["now"])
            await asyncio.sleep(0.001)
            running["now"] -= len(claimed)
            running["done"] += len(claimed)
            await one.succeed(worker, *claimed)

    while running["done"] < 60:
        await asyncio.gather(*map(work, engines, workers))
    assert running["most"] <= 7
    assert running["done"] == 60


async def test_a_rate_lets_a_burst_through_and_then_goes_on_evenly(
    engine: Engine, worker: UUID
) -> None:
    await lay_down(engine, "q", rate_count=60, rate_seconds=60, rate_burst=3)
    tasks = await engine.submit_many(6, queue="q")
    assert await engine.claim_ids(worker) == tasks[:3]
    assert await engine.claim_ids(worker) == []
    await _pass(engine, 1.05)
    assert await engine.claim_ids(worker) == tasks[3:4]
    await _pass(engine, 100)
    assert await engine.claim_ids(worker) == tasks[4:]


async def test_starts_that_were_not_used_add_up_to_the_burst(engine: Engine, worker: UUID) -> None:
    await lay_down(engine, "q", rate_count=1, rate_seconds=1, rate_burst=4)
    await _pass(engine, 3600)
    await engine.submit_many(9, queue="q")
    assert len(await engine.claim(worker)) == 4


async def test_the_clock_has_workers_look_again_when_a_rate_has_a_start_left(
    engine: Engine, worker: UUID
) -> None:
    await lay_down(engine, "q", rate_count=1, rate_seconds=10, rate_burst=1)
    await engine.submit_many(2, queue="q")
    assert await upkeep.next_due(engine.database) is None
    await engine.claim(worker)
    due = await upkeep.next_due(engine.database)
    assert due is not None
    assert 8 < due <= 10
    assert await upkeep.refill_queues(engine.database) == 0
    await _pass(engine, 10)
    assert await upkeep.refill_queues(engine.database) == 1
    assert await upkeep.next_due(engine.database) is None
    assert len(await engine.claim(worker)) == 1


async def test_a_start_that_did_not_happen_is_not_paid_for(engine: Engine, worker: UUID) -> None:
    """Somebody holds the head of the queue while a worker claims."""
    await lay_down(engine, "q", rate_count=1, rate_seconds=3600, rate_burst=1)
    task = await engine.submit(queue="q")
    async with engine.database.transaction() as conn:
        assert await store.hold_waiting(conn, task)
        assert await engine.claim(worker) == []
    assert await engine.claim_ids(worker) == [task]
    assert await engine.claim(worker) == []


async def test_limit_and_rate_hold_together(engine: Engine, worker: UUID) -> None:
    await lay_down(engine, "q", concurrency=2, rate_count=1, rate_seconds=60, rate_burst=3)
    await engine.submit_many(6, queue="q")
    first = await engine.claim(worker)
    assert len(first) == 2
    await engine.succeed(worker, *first)
    assert len(await engine.claim(worker)) == 1


async def test_a_limited_queue_is_not_claimed_with_a_settlement(
    engine: Engine, worker: UUID
) -> None:
    """As what others begin meanwhile would be counted and come later among events."""
    await lay_down(engine, "q", concurrency=1)
    await engine.submit_many(2, queue="q")
    [claimed] = await engine.claim(worker)
    _, taken, _ = await engine.scheduler.settle_and_claim(
        worker, [engine.end(claimed, "succeeded")], 5, 5
    )
    assert taken == []
    assert len(await engine.claim(worker)) == 1


async def _pass(engine: Engine, seconds: float) -> None:
    """Let so much time pass for the queues."""
    await engine.run(
        "update queue set filled_at = filled_at - make_interval(secs => :s),"
        " wakes_at = wakes_at - make_interval(secs => :s)",
        s=seconds,
    )
