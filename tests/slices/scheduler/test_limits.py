"""Limits that tasks name: held at their gates, served in order, never passed."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from podium.kernel.errors import NotFound
from podium.kernel.ids import uuid7
from podium.limits.gate import LimitGate
from podium.scheduler import upkeep
from podium.storage.database import Database
from slices.scheduler.books import assert_balanced
from slices.scheduler.conftest import sweep
from slices.scheduler.engine import Engine
from slices.scheduler.rules import limit, unlimit


@pytest.fixture
async def engine(scheduler_database: Database) -> AsyncIterator[Engine]:
    await sweep(scheduler_database)
    yield await Engine.create(scheduler_database, gates=[LimitGate()])
    await assert_balanced(scheduler_database)


async def let_pass(engine: Engine, seconds: float) -> int:
    """Let so much time pass for rates; gives how many tasks became ready by it."""
    await engine.run(
        "update gate set filled_at = filled_at - make_interval(secs => :s),"
        " wakes_at = wakes_at - make_interval(secs => :s)",
        s=seconds,
    )
    await engine.run(
        "update spent set at = at - make_interval(secs => :s),"
        " due_at = due_at - make_interval(secs => :s)",
        s=seconds,
    )
    return await upkeep.serve_refilled(engine.database, 100)


async def test_tasks_that_name_a_limit_run_one_after_the_other(
    engine: Engine, worker: UUID
) -> None:
    await limit(engine, "db", concurrency=1)
    first, second, third = await engine.submit_many(3, limits=["db"])
    free = await engine.submit()
    assert await engine.states(first, second, third, free) == ["ready", "wait", "wait", "ready"]
    assert await engine.run_one(worker) == first
    assert await engine.states(second, third) == ["ready", "wait"]
    assert await engine.run_all(worker) == 3


async def test_a_family_limits_each_of_its_names_apart(engine: Engine, worker: UUID) -> None:
    await limit(engine, "customer:*", concurrency=1)
    await limit(engine, "customer:big", concurrency=2)
    tasks = [await engine.submit(limits=[f"customer:{who}"]) for who in ("a", "a", "b", "b")]
    big = await engine.submit_many(3, limits=["customer:big"])
    assert await engine.states(*tasks) == ["ready", "wait"] * 2
    assert await engine.states(*big) == ["ready", "ready", "wait"]
    assert await engine.run_all(worker) == 7


async def test_the_longest_family_that_fits_counts(engine: Engine) -> None:
    await limit(engine, "a*", concurrency=1)
    await limit(engine, "ab*", concurrency=2)
    await limit(engine, "abc", concurrency=3)
    for name, most in (("ax", 1), ("abx", 2), ("abc", 3)):
        states = await engine.states(*await engine.submit_many(4, limits=[name]))
        assert states.count("ready") == most


async def test_a_limit_that_nobody_laid_down_is_told_and_hurts_nobody_else(
    engine: Engine,
) -> None:
    await limit(engine, "db", concurrency=5)
    results = await asyncio.gather(
        *(engine.submit(limits=[name]) for name in ("db", "dbb", "db")), return_exceptions=True
    )
    assert [type(each) for each in results] == [UUID, NotFound, UUID]
    assert isinstance(results[1], NotFound)
    assert results[1].context["missing"] == "dbb"


async def test_limits_are_of_one_project(engine: Engine) -> None:
    await limit(engine, "db", concurrency=1)
    other = await engine.add_project(uuid7(), "p1")
    await engine.add_agent("there", project=other)
    with pytest.raises(NotFound):
        await engine.submit(limits=["db"], project=other, agent="there")


async def test_several_limits_are_taken_together_or_not_at_all(
    engine: Engine, worker: UUID
) -> None:
    await limit(engine, "a", concurrency=1)
    await limit(engine, "b", concurrency=1)
    holder = await engine.submit(limits=["b"])
    both = await engine.submit(limits=["a", "b"])
    only = await engine.submit(limits=["a"])
    assert await engine.states(holder, both, only) == ["ready", "wait", "ready"]
    assert await engine.run_one(worker) == holder
    assert await engine.state(both) == "wait"
    assert await engine.run_one(worker) == only
    assert await engine.state(both) == "ready"


async def test_a_wider_limit_lets_those_through_who_wait(engine: Engine, worker: UUID) -> None:
    await limit(engine, "db", concurrency=1)
    tasks = await engine.submit_many(5, limits=["db"])
    await limit(engine, "db", concurrency=3)
    assert (await engine.states(*tasks)).count("ready") == 3
    await limit(engine, "db", concurrency=1)
    await engine.succeed(worker, *await engine.claim(worker, 1))
    assert (await engine.states(*tasks)).count("ready") == 2
    await unlimit(engine, "db")
    assert await engine.run_all(worker) == 4


async def test_another_life_names_the_same_limits(engine: Engine, worker: UUID) -> None:
    await limit(engine, "db", concurrency=1)
    task = await engine.submit(limits=["db"])
    await engine.run_one(worker, "failed")
    await upkeep.forget_limits(engine.database)
    assert await engine.run("select 1 from gate") == []
    holder = await engine.submit(limits=["db"])
    await engine.retry(task)
    assert await engine.states(holder, task) == ["ready", "wait"]


async def test_gates_that_are_used_are_not_forgotten(engine: Engine, worker: UUID) -> None:
    await limit(engine, "c:*", concurrency=1)
    first = await engine.submit(limits=["c:1"])
    await engine.submit(limits=["c:2"], after=[first])
    await engine.submit_many(2, limits=["c:3"])
    await upkeep.forget_limits(engine.database)
    assert len(await engine.run("select 1 from gate")) == 2
    assert await engine.run_all(worker) == 4
    await upkeep.forget_limits(engine.database)
    assert await engine.run("select 1 from gate") == []


async def test_a_rate_lets_a_burst_start_and_then_goes_on_evenly(
    engine: Engine, worker: UUID
) -> None:
    await limit(engine, "api", count=1, seconds=10, burst=2)
    tasks = await engine.submit_many(5, limits=["api"])
    assert await engine.run_all(worker) == 2
    assert await let_pass(engine, 9.5) == 0
    assert await let_pass(engine, 0.6) == 1
    assert await engine.claim_ids(worker) == [tasks[2]]
    assert await let_pass(engine, 10) == 1
    assert await let_pass(engine, 100) == 1
    assert await engine.run_all(worker) == 2


async def test_starts_come_back_from_when_tasks_begin_not_from_when_they_are_ready(
    engine: Engine, worker: UUID
) -> None:
    """Else those that were let through while no worker had room would all begin at once."""
    await limit(engine, "api", count=1, seconds=10, burst=2)
    tasks = await engine.submit_many(6, limits=["api"])
    assert await let_pass(engine, 3600) == 0
    assert (await engine.states(*tasks)).count("ready") == 2
    assert len(await engine.claim(worker)) == 2
    assert await let_pass(engine, 10) == 1


async def test_a_start_that_did_not_happen_is_free_again(engine: Engine, worker: UUID) -> None:
    await limit(engine, "api", count=1, seconds=3600)
    first, second, third = await engine.submit_many(3, limits=["api"])
    await engine.cancel(first)
    assert await engine.states(second, third) == ["ready", "wait"]
    await engine.claim(worker)
    await engine.cancel(second)
    assert await engine.state(third) == "wait"


async def test_each_attempt_is_a_start(engine: Engine, worker: UUID) -> None:
    await limit(engine, "api", count=1, seconds=10, burst=2)
    task = await engine.submit(limits=["api"])
    for _ in range(2):
        await engine.run_one(worker, "retry", delay=0.0)
        await engine.fire()
    assert await engine.state(task) == "wait"
    assert await let_pass(engine, 10) == 1


async def test_a_task_that_parks_and_goes_on_has_started_once(engine: Engine, worker: UUID) -> None:
    await limit(engine, "api", count=1, seconds=10, burst=2)
    await engine.submit(limits=["api"])
    await engine.run_one(worker, "parked", park_key="answer")
    await engine.signal("answer")
    assert len(await engine.claim(worker)) == 1
    other = await engine.submit(limits=["api"])
    assert await engine.state(other) == "ready"


async def test_limit_and_rate_hold_together(engine: Engine, worker: UUID) -> None:
    await limit(engine, "api", concurrency=2, count=1, seconds=10, burst=3)
    await engine.submit_many(6, limits=["api"])
    first = await engine.claim(worker)
    assert len(first) == 2
    await engine.succeed(worker, *first)
    assert len(await engine.claim(worker)) == 1
    assert await let_pass(engine, 10) == 1


async def test_the_clock_knows_when_the_next_start_comes_back(engine: Engine, worker: UUID) -> None:
    await limit(engine, "api", count=1, seconds=10, burst=1)
    await engine.submit_many(3, limits=["api"])
    assert await upkeep.next_due(engine.database) is None
    await engine.claim(worker)
    for _ in range(2):
        due = await upkeep.next_due(engine.database)
        assert due is not None
        assert 9 < due <= 10
        assert await let_pass(engine, 10) == 1
        await engine.claim(worker)
    await let_pass(engine, 10)
    assert await upkeep.next_due(engine.database) is None


async def test_a_rate_comes_to_a_task_that_names_another_limit_first(
    engine: Engine, worker: UUID
) -> None:
    """It waits at one of its limits, and starts come back to the other meanwhile."""
    await limit(engine, "a", concurrency=5)
    await limit(engine, "r", count=1, seconds=10, burst=1)
    await engine.submit(limits=["a", "r"])
    await engine.run_one(worker)
    assert await let_pass(engine, 5) == 0
    early = await engine.submit(limits=["a", "r"])
    assert await engine.state(early) == "wait"
    assert await let_pass(engine, 6) == 1
    await engine.run_one(worker)
    await let_pass(engine, 3600)
    late = await engine.submit(limits=["a", "r"])
    assert await engine.state(late) == "ready"


async def test_who_waits_for_a_start_is_not_forgotten_with_idle_gates(
    engine: Engine, worker: UUID
) -> None:
    await limit(engine, "api", count=1, seconds=7200, burst=1)
    await engine.submit_many(2, limits=["api"])
    await engine.claim(worker, 1)
    await let_pass(engine, 3600)
    await upkeep.forget_limits(engine.database)
    assert await let_pass(engine, 3700) == 1


@pytest.mark.parametrize("before", [{}, {"count": 10, "seconds": 1}])
async def test_a_rate_is_kept_also_where_tasks_ran_before_it_was_set(
    engine: Engine, worker: UUID, before: dict[str, Any]
) -> None:
    await limit(engine, "api", concurrency=4, **before)
    await engine.submit_many(12, limits=["api"])
    held = await engine.claim(worker, 3)
    await limit(engine, "api", concurrency=4, count=1, seconds=3600)
    await engine.succeed(worker, *held)
    assert len(await engine.claim(worker)) == 1
    await let_pass(engine, 3600)
    assert len(await engine.claim(worker)) == 1
    assert await engine.claim(worker) == []


async def test_notes_of_a_rate_that_is_gone_keep_no_clock_awake(
    engine: Engine, worker: UUID
) -> None:
    await limit(engine, "api", count=1, seconds=10)
    await engine.submit(limits=["api"])
    [key] = [row.key for row in await engine.run("select key from gate")]
    await limit(engine, "api", concurrency=5)
    await engine.run("insert into spent (gate, units, due_at) values (:key, 1, now())", key=key)
    assert await upkeep.serve_refilled(engine.database, 10) == 0
    assert await upkeep.next_due(engine.database) is None


async def test_a_family_leaves_names_with_a_rule_of_their_own_alone(engine: Engine) -> None:
    await limit(engine, "c:*", concurrency=1)
    await limit(engine, "c:big", concurrency=3)
    tasks = await engine.submit_many(4, limits=["c:big"])
    await limit(engine, "c:*", concurrency=2)
    assert (await engine.states(*tasks)).count("ready") == 3
    await unlimit(engine, "c:big")
    await engine.submit(limits=["c:big"])
    rows = await engine.run("select capacity from gate where key like '%c:big'")
    assert [row.capacity for row in rows] == [2]


async def test_a_rate_that_changes_begins_anew(engine: Engine, worker: UUID) -> None:
    await limit(engine, "api", count=1, seconds=3600)
    await engine.submit_many(6, limits=["api"])
    assert await engine.run_all(worker) == 1
    await limit(engine, "api", count=2, seconds=3600)
    assert await engine.run_all(worker) == 2
    await limit(engine, "api", concurrency=1)
    assert await engine.run_all(worker) == 3


async def test_many_workers_and_names_at_once_never_pass_a_limit(engine: Engine) -> None:
    await limit(engine, "k:*", concurrency=2)
    await limit(engine, "all", concurrency=5)
    names = [f"k:{number}" for number in range(4)]
    title_of: dict[UUID, str] = {}
    for number in range(120):
        name = names[number % 4]
        both = [name, "all"] if number % 3 else [name]
        title_of[await engine.submit(limits=both, title=" ".join(both))] = " ".join(both)
    running: Counter[str] = Counter()
    most: defaultdict[str, int] = defaultdict(int)
    engines = [await Engine.join(engine) for _ in range(4)]
    workers = [await engine.worker() for _ in engines]
    done = 0

    async def work(one: Engine, worker: UUID) -> None:
        nonlocal done
        while claimed := await one.claim(worker, 4):
            held = [name for each in claimed for name in title_of[each.task_id].split()]
            running.update(held)
            for name in held:
                most[name] = max(most[name], running[name])
            await asyncio.sleep(0.001)
            running.subtract(held)
            done += len(claimed)
            await one.succeed(worker, *claimed)

    async with asyncio.timeout(60):
        while done < 120:
            await asyncio.gather(*map(work, engines, workers))
    assert max(most[name] for name in names) <= 2
    assert most["all"] <= 5


async def test_many_blocked_tasks_stall_nobody(engine: Engine, worker: UUID) -> None:
    await limit(engine, "k:*", concurrency=1)
    for _ in range(4):
        await engine.submit_many(500, limits=["k:1"], priority=50)
    free = await engine.submit()
    other = await engine.submit(limits=["k:2"])
    first, *others = await engine.claim_ids(worker, 3)
    assert set(others) == {free, other}
    assert len(await engine.claim_ids(worker, 1)) == 0
    assert await engine.state(first) == "running"
