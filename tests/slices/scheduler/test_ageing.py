"""Priorities that grow with age, in lanes and at gates."""

import time
from collections.abc import Sequence
from uuid import UUID

import pytest

from podium.kernel import ids
from podium.scheduler import store
from slices.scheduler.books import assert_balanced
from slices.scheduler.engine import Engine

STEP = 60.0


@pytest.fixture
async def ageing(engine: Engine) -> Engine:
    """A minute of waiting is a step of priority."""
    await engine.run("update project set ageing_seconds = :step", step=STEP)
    return engine


async def submit_at(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, ago: float, **options: object
) -> UUID:
    """A task that was made so many seconds ago."""
    then = time.time_ns() - int(ago * 1e9)
    with monkeypatch.context() as patched:
        patched.setattr(ids, "_clock", ids._Clock())
        patched.setattr(ids.time, "time_ns", lambda: then)
        return await engine.submit(**options)


async def one_by_one(engine: Engine, worker: UUID, count: int) -> Sequence[UUID]:
    return [(await engine.claim_ids(worker, 1))[0] for _ in range(count)]


async def test_a_task_gains_a_step_for_each_minute_that_it_waited(
    ageing: Engine, worker: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = [
        await submit_at(ageing, monkeypatch, minutes * STEP, priority=priority)
        for minutes, priority in ((0, 5), (4.5, 0), (5.5, 0), (0.5, 5), (16, -10), (14, -10))
    ]
    now, late, early, five, old, less_old = waited
    assert await one_by_one(ageing, worker, 6) == [old, early, five, now, late, less_old]


async def test_without_it_priority_comes_before_age(
    engine: Engine, worker: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await submit_at(engine, monkeypatch, 1e6)
    new = await engine.submit(priority=1)
    assert await one_by_one(engine, worker, 2) == [new, old]


async def test_it_counts_across_lanes_and_in_one_claim(
    ageing: Engine, worker: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ageing.add_agent("other")
    tasks = [
        await submit_at(ageing, monkeypatch, minutes * STEP, priority=priority, agent=agent)
        for minutes, priority, agent in (
            (0, 9, "echo"), (10, 0, "other"), (0, 7, "other"), (8, 0, "echo"), (0, 0, "echo"),
        )
    ]  # fmt: skip
    assert set(await ageing.claim_ids(worker, 2)) == set(tasks[:2])
    assert set(await ageing.claim_ids(worker, 2)) == {tasks[2], tasks[3]}


async def test_one_project_ages_and_another_does_not(
    ageing: Engine, worker: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await ageing.add_project(ids.uuid7(), "p1")
    await ageing.add_agent("there", project=other)
    old = await submit_at(ageing, monkeypatch, 1e6, agent="there", project=other)
    new = await ageing.submit(agent="there", project=other, priority=1)
    assert await one_by_one(ageing, worker, 2) == [new, old]


async def test_waiters_at_a_gate_age_too(
    ageing: Engine, worker: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ageing.set_gates(g=1, h=1)
    await ageing.submit(needs={"g": 1})
    new = await ageing.submit(priority=5, needs={"g": 1})
    old = await submit_at(ageing, monkeypatch, 6 * STEP, needs={"g": 1})
    both = await submit_at(ageing, monkeypatch, 10 * STEP, needs={"g": 1, "h": 1})
    for expected in (both, old, new):
        await ageing.run_one(worker)
        assert await ageing.state(expected) == "ready"


@pytest.mark.parametrize("step", [STEP, None])
@pytest.mark.parametrize("gated", [False, True])
async def test_those_who_come_first_are_counted(
    engine: Engine,
    worker: UUID,
    monkeypatch: pytest.MonkeyPatch,
    step: float | None,
    gated: bool,  # noqa: FBT001
) -> None:
    """As many as the claim then takes, or the gate lets through, before it."""
    await engine.run("update project set ageing_seconds = :step", step=step)
    await engine.set_gates(g=1)
    needs = {"needs": {"g": 1}} if gated else {}
    if gated:
        await engine.submit(needs={"g": 1})
    tasks = [
        await submit_at(engine, monkeypatch, minutes * STEP, priority=priority, **needs)
        for minutes, priority in ((0, 5), (4.5, 0), (5.5, 0), (16, -10), (0, 5), (14, -10))
    ]
    async with engine.database.connect() as conn:
        ahead = {task: await store.count_ahead(conn, task, 100) for task in tasks}
        assert await store.count_ahead(conn, max(tasks, key=lambda one: ahead[one]), 2) == 2
    if gated:
        await engine.run_one(worker)
    order = [await engine.run_one(worker) for _ in tasks]
    assert [ahead[task] for task in order] == list(range(6))


async def test_it_is_turned_on_and_off_at_any_time(
    engine: Engine, worker: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [await submit_at(engine, monkeypatch, 1e6) for _ in range(2)]
    new = [await engine.submit(priority=1) for _ in range(2)]
    assert await engine.claim_ids(worker, 1) == new[:1]
    await engine.run("update project set ageing_seconds = 60")
    assert await engine.claim_ids(worker, 1) == old[:1]
    await engine.run("update project set ageing_seconds = null")
    assert await one_by_one(engine, worker, 2) == [new[1], old[1]]


async def test_those_at_a_gate_follow_it(
    engine: Engine, worker: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the one who comes first now fits, which the one before did not."""
    await engine.set_gates(g=2)
    await engine.submit(needs={"g": 1})
    large = await engine.submit(priority=1, needs={"g": 2})
    old = await submit_at(engine, monkeypatch, 120, needs={"g": 1})
    await assert_balanced(engine.database)
    assert await engine.states(large, old) == ["wait", "wait"]
    change = "update project set ageing_seconds = {}"
    await engine.follow(f"follow_ageing('{engine.project}')", change.format(60))
    assert await engine.states(large, old) == ["wait", "ready"]
    late = await submit_at(engine, monkeypatch, 600, needs={"g": 1})
    await engine.follow(f"follow_ageing('{engine.project}')", change.format("null"))
    await assert_balanced(engine.database)
    async with engine.database.connect() as conn:
        assert await store.count_ahead(conn, large, 9) == 0
        assert await store.count_ahead(conn, late, 9) == 1
