"""Tasks of a paused queue, or of agents that cannot run them, keep no limit from others."""

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from podium.limits.gate import LimitGate
from podium.scheduler import upkeep
from podium.storage.database import Contended, Database
from slices.scheduler.books import assert_balanced, assert_lanes_follow
from slices.scheduler.conftest import sweep
from slices.scheduler.engine import Engine
from slices.scheduler.rules import limit, turn, unlimit


@pytest.fixture
async def engine(scheduler_database: Database) -> AsyncIterator[Engine]:
    await sweep(scheduler_database)
    yield await Engine.create(scheduler_database, gates=[LimitGate()])
    await assert_balanced(scheduler_database)
    await assert_lanes_follow(scheduler_database)


async def tick(engine: Engine) -> int:
    """Let the clock go on until nothing is due at gates; gives how many tasks became ready."""
    readied = 0
    while await engine.run("select 1 from gate where wakes_at is not null"):
        readied += await upkeep.serve_refilled(engine.database, 500)
    return readied


async def test_a_task_whose_queue_is_paused_holds_nothing(engine: Engine, worker: UUID) -> None:
    await limit(engine, "db", concurrency=1)
    ready = await engine.submit(queue="night", limits=["db"])
    other = await engine.submit(limits=["db"])
    assert await engine.states(ready, other) == ["ready", "wait"]
    await turn(engine, "night", "paused")
    assert await engine.states(ready, other) == ["wait", "ready"]
    assert await engine.events(ready) == ["task.created", "task.queued", "task.held"]
    assert await engine.run_all(worker) == 1
    await turn(engine, "night", "open")
    assert await engine.run_all(worker) == 1


async def test_a_task_that_comes_to_a_paused_queue_takes_nothing(
    engine: Engine, worker: UUID
) -> None:
    await limit(engine, "db", concurrency=1)
    await turn(engine, "night", "paused")
    first = await engine.submit(queue="night", limits=["db"], priority=9)
    free = await engine.submit(queue="night")
    other = await engine.submit(limits=["db"])
    assert await engine.states(first, free, other) == ["wait", "ready", "ready"]
    await turn(engine, "night", "open")
    assert await engine.state(first) == "wait"
    await engine.submit(limits=["db"])
    assert other in await engine.claim_ids(worker, 1) + await engine.claim_ids(worker, 1)


async def test_who_waits_at_a_limit_gives_his_turn_away_and_takes_it_back(
    engine: Engine, worker: UUID
) -> None:
    """He stays where he waits until it is his turn, and comes back to where he stood."""
    await limit(engine, "db", concurrency=1)
    holder = await engine.submit(limits=["db"])
    paused = await engine.submit(queue="night", limits=["db"])
    others = await engine.submit_many(3, limits=["db"])
    await turn(engine, "night", "paused")
    for expected in (holder, others[0]):
        assert await engine.run_one(worker) == expected
    await turn(engine, "night", "open")
    for expected in (others[1], paused, others[2]):
        assert await engine.run_one(worker) == expected


@pytest.mark.parametrize("trouble", ["enabled = false", "healthy = false", "deleted_at = now()"])
async def test_a_task_whose_agent_cannot_run_holds_nothing(
    engine: Engine, worker: UUID, trouble: str
) -> None:
    await engine.add_agent("ill")
    await limit(engine, "db", concurrency=1)
    ill = await engine.submit(agent="ill", limits=["db"])
    well = await engine.submit(limits=["db"])
    await engine.switch("ill", trouble)
    assert await engine.states(ill, well) == ["wait", "ready"]
    assert await engine.run_one(worker) == well
    assert await engine.state(ill) == "wait"
    await engine.switch("ill", "enabled = true, healthy = true, deleted_at = null")
    assert await engine.run_one(worker) == ill


async def test_capabilities_are_there_while_one_agent_has_them(
    engine: Engine, worker: UUID
) -> None:
    await limit(engine, "db", concurrency=1)
    early = await engine.submit(agent=None, capabilities=("c",), limits=["db"])
    assert await engine.state(early) == "wait"
    for name in "ab":
        await engine.add_agent(name, capabilities=["c"])
    assert await engine.state(early) == "ready"
    await engine.switch("a", "healthy = false")
    assert await engine.state(early) == "ready"
    await engine.switch("b", "capabilities = '{}'")
    assert await engine.state(early) == "wait"
    await engine.switch("a", "healthy = true")
    assert await engine.run_one(worker) == early


async def test_a_start_of_a_rate_is_given_back_as_well(engine: Engine, worker: UUID) -> None:
    await limit(engine, "api", count=1, seconds=3600)
    paused = await engine.submit(queue="night", limits=["api"])
    other = await engine.submit(limits=["api"])
    await turn(engine, "night", "paused")
    assert await engine.states(paused, other) == ["wait", "ready"]
    assert await engine.run_one(worker) == other
    await turn(engine, "night", "open")
    assert await engine.state(paused) == "wait"


async def test_one_that_goes_on_keeps_what_it_holds(engine: Engine, worker: UUID) -> None:
    """It is in the middle of its work, as one that runs is."""
    await limit(engine, "db", concurrency=1)
    task = await engine.submit(queue="night", limits=["db"])
    other = await engine.submit(limits=["db"])
    [claimed] = await engine.claim(worker, 1)
    await engine.settle(worker, claimed, "parked", park_key="answer")
    await turn(engine, "night", "paused")
    await engine.signal("answer")
    assert await engine.states(task, other) == ["ready", "wait"]
    await turn(engine, "night", "open")
    await turn(engine, "night", "paused")
    assert await engine.states(task, other) == ["ready", "wait"]
    await turn(engine, "night", "open")
    assert await engine.run_all(worker) == 2


@pytest.mark.parametrize("how", ["released", "retry"])
async def test_one_that_comes_back_to_a_paused_queue_holds_nothing(
    engine: Engine, worker: UUID, how: str
) -> None:
    await limit(engine, "db", concurrency=1)
    task = await engine.submit(queue="night", limits=["db"])
    other = await engine.submit(limits=["db"])
    [claimed] = await engine.claim(worker, 1)
    await turn(engine, "night", "paused")
    assert await engine.states(task, other) == ["running", "wait"]
    await engine.settle(worker, claimed, how, delay=0)
    await engine.fire()
    assert await engine.states(task, other) == ["wait", "ready"]
    await engine.run_all(worker)
    await turn(engine, "night", "open")
    assert await engine.run_all(worker) == 1


async def test_waiters_of_a_closed_lane_are_cancelled_edited_and_expire(engine: Engine) -> None:
    await limit(engine, "db", concurrency=1)
    tasks = [
        await engine.submit(queue="night", limits=["db"], queue_timeout=timeout)
        for timeout in (None, 60, None)
    ]
    await turn(engine, "night", "paused")
    await engine.cancel(tasks[0])
    assert await engine.expire() == 1
    async with engine.database.transaction() as conn:
        assert await engine.scheduler.reprioritise(conn, tasks[2:], 7) == tasks[2:]
    assert await engine.states(*tasks) == ["cancelled", "failed", "wait"]
    await turn(engine, "night", "open")
    assert await engine.state(tasks[2]) == "ready"


async def test_many_are_handed_back_and_taken_up_again_in_parts(
    engine: Engine, worker: UUID
) -> None:
    """No transaction moves more than a thousand or two; the clock goes on."""
    await limit(engine, "db", concurrency=5000)
    for _ in range(6):
        await engine.submit_many(400, queue="night", limits=["db"])
    waiting = "select count(*) as n from wait"
    await turn(engine, "night", "paused")
    assert 0 < (await engine.run(waiting))[0].n < 2400
    await tick(engine)
    assert (await engine.run(waiting))[0].n == 2400
    await turn(engine, "night", "open")
    assert 0 < (await engine.run(waiting))[0].n < 2400
    await tick(engine)
    assert await engine.run_all(worker) == 2400


async def test_many_who_wait_before_others_stall_them_not(engine: Engine, worker: UUID) -> None:
    await limit(engine, "db", concurrency=1)
    for _ in range(6):
        await engine.submit_many(400, queue="night", limits=["db"], priority=50)
    other = await engine.submit(limits=["db"])
    await turn(engine, "night", "paused")
    await tick(engine)
    assert await engine.state(other) == "ready"
    await turn(engine, "night", "open")
    await tick(engine)
    assert await engine.run_one(worker) == other
    assert len(await engine.claim(worker)) == 1


async def test_a_limit_that_many_wait_for_is_deleted_in_parts(engine: Engine, worker: UUID) -> None:
    await limit(engine, "db", concurrency=1)
    for _ in range(6):
        await engine.submit_many(400, limits=["db"])
    await unlimit(engine, "db")
    ready = "select count(*) as n from ready"
    assert 1000 <= (await engine.run(ready))[0].n < 2400
    await tick(engine)
    assert (await engine.run(ready))[0].n == 2400


async def test_a_claim_does_not_look_again_for_what_is_paused(engine: Engine, worker: UUID) -> None:
    await engine.submit()
    await engine.submit(queue="night")
    await turn(engine, "night", "paused")
    assert (await engine.scheduler.claim(worker, 1, 1))[1] is False
    await engine.submit_many(2)
    await engine.submit(queue="night")
    assert (await engine.scheduler.claim(worker, 1, 1))[1] is True
    assert (await engine.scheduler.claim(worker, 5, 5))[1] is False


async def test_lanes_that_open_and_close_while_others_work_lose_nobody(engine: Engine) -> None:
    await limit(engine, "k:*", concurrency=2)
    await limit(engine, "all", concurrency=6)
    queues = ("day", "night")
    for number in range(300):
        names = [f"k:{number % 5}", "all"] if number % 3 else ["all"]
        await engine.submit(queue=queues[number % 2], limits=names)
    engines = [await Engine.join(engine) for _ in range(3)]
    workers = [await engine.worker() for _ in engines]
    dice, done = random.Random(1), 0

    async def work(one: Engine, worker: UUID) -> None:
        nonlocal done
        while done < 300:
            claimed = await one.claim(worker, 4)
            await one.succeed(worker, *claimed)
            done += len(claimed)
            await asyncio.sleep(0.001)

    async def open_and_close() -> None:
        while done < 300:
            for queue in queues:
                try:
                    await turn(engine, queue, dice.choice(["open", "paused"]))
                except Contended:  # a claim stood in the way, and this gave in
                    continue
                await asyncio.sleep(dice.random() / 100)
            await turn(engine, dice.choice(queues), "open")
            await upkeep.serve_refilled(engine.database, 100)
            over = await engine.run("select * from gate where used > capacity or waiting < 0")
            assert not over, over

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(open_and_close())
        for one, worker in zip(engines, workers, strict=True):
            group.create_task(work(one, worker))
    for queue in queues:
        await turn(engine, queue, "open")
