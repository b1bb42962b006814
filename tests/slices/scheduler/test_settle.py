"""How attempts end: every outcome, and that a stale report changes nothing."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from podium.kernel.ids import uuid7
from podium.scheduler import upkeep
from podium.scheduler.model import Claimed, How, Progress, Settlement
from slices.scheduler.engine import Engine

ERROR = '{"class": "agent", "code": "broken", "message": "It broke."}'


async def _claim(engine: Engine, worker: UUID, **options: Any) -> Claimed:
    await engine.submit(**options)
    [claimed] = await engine.claim(worker)
    return claimed


async def test_success_keeps_the_output(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    assert await engine.settle(worker, one, "succeeded", output='{"y": 2}', usage='{"tokens": 7}')
    [row] = await engine.run("select * from task")
    assert (row.outcome, row.output, row.error, row.attempt) == ("succeeded", {"y": 2}, None, 1)
    assert row.created_at <= row.started_at <= row.finished_at
    [attempt] = await engine.run("select * from attempt")
    assert (attempt.outcome, attempt.usage, attempt.worker_id) == (
        "succeeded",
        {"tokens": 7},
        worker,
    )
    assert attempt.queued_at <= attempt.started_at <= attempt.finished_at


@pytest.mark.parametrize("stale", ["succeeded", "released", "retry", "parked"])
@pytest.mark.parametrize(
    ("how", "state"), [("retry", "timer"), ("released", "ready"), ("parked", "wait")]
)
async def test_a_stale_report_beside_the_one_that_counts_changes_nothing(
    engine: Engine, worker: UUID, stale: How, how: How, state: str
) -> None:
    first = await _claim(engine, worker)
    assert await engine.settle(worker, first, "released")
    [second] = await engine.claim(worker)
    reports = [
        Settlement(first.task_id, first.attempt, stale, park_key="stale", delay=0),
        Settlement(second.task_id, second.attempt, how, park_key="live", delay=60),
    ]
    assert await engine.scheduler.settle(worker, reports) == {first.task_id: how}
    assert await engine.state(first.task_id) == state
    assert not await engine.run("select 1 from timer where fires_at < now() + interval '30 s'")
    assert not await engine.run("select 1 from wait where gate = 'stale'")


@pytest.mark.parametrize(
    ("how", "state", "attempt", "event"),
    [
        ("succeeded", "succeeded", "succeeded", "task.completed"),
        ("failed", "failed", "failed", "task.failed"),
        ("dead", "dead", "failed", "task.dead"),
        ("cancelled", "cancelled", "cancelled", "task.cancelled"),
        ("retry", "timer", "failed", "task.retrying"),
        ("released", "ready", "released", "task.released"),
        ("parked", "wait", "parked", "task.waiting"),
    ],
)
async def test_every_outcome_has_its_place_its_attempt_and_one_event(
    engine: Engine, worker: UUID, how: How, state: str, attempt: str, event: str
) -> None:
    one = await _claim(engine, worker)
    assert await engine.settle(worker, one, how, error=ERROR, park_key="k", delay=60)
    assert await engine.state(one.task_id) == state
    assert await engine.attempts(one.task_id) == [(1, attempt)]
    assert await engine.events(one.task_id) == ["task.created", "task.started", event]


async def test_the_error_of_a_failure_is_kept(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    await engine.settle(worker, one, "failed", error=ERROR)
    assert await engine.error(one.task_id) == orjson.loads(ERROR)
    [row] = await engine.run("select data from event where type = 'task.failed'")
    assert row.data == {"attempt": 1, "error": orjson.loads(ERROR)}


async def test_a_retry_counts_and_comes_back(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    await engine.settle(worker, one, "retry", error=ERROR, delay=60)
    assert await upkeep.fire_timers(engine.database, 10) == 0
    assert await engine.fire() == 1
    [again] = await engine.claim(worker)
    assert (again.attempt, again.failures, again.losses) == (2, 1, 0)
    assert await engine.events(one.task_id) == [
        "task.created",
        "task.started",
        "task.retrying",
        "task.queued",
        "task.started",
    ]
    await engine.settle(worker, again, "retry")  # at once
    assert await upkeep.fire_timers(engine.database, 10) == 1


async def test_a_retry_fires_at_its_time(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    await engine.settle(worker, one, "retry", delay=0.2)
    due = await upkeep.next_due(engine.database)
    assert due is not None
    assert 0 < due <= 0.2
    assert await upkeep.fire_timers(engine.database, 10) == 0
    await asyncio.sleep(due)
    assert await upkeep.fire_timers(engine.database, 10) == 1


async def test_a_release_counts_nothing(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    await engine.settle(worker, one, "released")
    [again] = await engine.claim(worker)
    assert (again.attempt, again.failures, again.losses) == (2, 0, 0)


async def test_a_report_counts_once(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    assert await engine.settle(worker, one, "succeeded", output="1")
    assert not await engine.settle(worker, one, "failed", error=ERROR)
    assert await engine.state(one.task_id) == "succeeded"


async def test_the_same_report_twice_in_one_call_counts_once(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    ends = [Settlement(one.task_id, one.attempt, how) for how in ("succeeded", "failed")]
    assert len(await engine.scheduler.settle(worker, ends)) == 1
    assert len(await engine.attempts(one.task_id)) == 1


async def test_a_stale_attempt_changes_nothing(engine: Engine, worker: UUID) -> None:
    old = await _claim(engine, worker)
    await engine.settle(worker, old, "released")
    [new] = await engine.claim(worker)
    assert not await engine.settle(worker, old, "succeeded")
    assert await engine.state(new.task_id) == "running"
    assert await engine.settle(worker, new, "succeeded")


async def test_another_worker_settles_nothing(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    assert not await engine.settle(await engine.worker(), one, "failed")
    assert await engine.state(one.task_id) == "running"


async def test_a_task_that_does_not_exist_settles_nothing(engine: Engine, worker: UUID) -> None:
    assert not await engine.scheduler.settle(worker, [Settlement(uuid7(), 1, "succeeded")])
    assert not await engine.scheduler.settle(worker, [])


async def test_a_result_that_cannot_be_stored_changes_nothing(engine: Engine, worker: UUID) -> None:
    good, bad = await _claim(engine, worker), await _claim(engine, worker)
    ends = [
        Settlement(good.task_id, 1, "succeeded", output="1"),
        Settlement(bad.task_id, 1, "succeeded", output="{no json"),
    ]
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await engine.scheduler.settle(worker, ends)
    assert await engine.states(good.task_id, bad.task_id) == ["running", "running"]
    assert not await engine.run("select * from event where type = 'task.completed'")


async def test_many_ends_of_every_kind_in_one_call(engine: Engine, worker: UUID) -> None:
    await engine.submit_many(70, needs={"g": 1})
    await engine.set_gates(g=70)
    claimed = await engine.claim(worker, 70)
    kinds: list[How] = [
        "succeeded",
        "failed",
        "cancelled",
        "dead",
        "retry",
        "released",
        "parked",
    ]
    ends = [
        Settlement(one.task_id, 1, kinds[n % 7], delay=60, park_key=f"k{n}")
        for n, one in enumerate(claimed)
    ]
    outcomes = await engine.scheduler.settle(worker, ends)
    assert outcomes == {end.task_id: end.how for end in ends}
    counts = await engine.run("select outcome, count(*) from task group by outcome")
    assert dict(tuple(row) for row in counts) == {
        None: 30,
        "succeeded": 10,
        "failed": 10,
        "cancelled": 10,
        "dead": 10,
    }
    assert await engine.gate("g") == (70, 20, 0)  # the released ones and the parked ones


async def test_progress_is_kept_while_it_is_true(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    said = Progress(one.task_id, 1, 0.5, "half")
    await engine.scheduler.progress(worker, [said])
    await engine.scheduler.progress(worker, [Progress(one.task_id, 2, 0.9, "stale")])
    await engine.scheduler.progress(uuid7(), [Progress(one.task_id, 1, 0.9, "not mine")])
    [row] = await engine.run("select progress, note from running")
    assert tuple(row) == (0.5, "half")
    assert (await engine.events(one.task_id)).count("task.progress") == 1


# -- parking ------------------------------------------------------------------------------------


async def test_a_parked_task_goes_on_when_it_is_signalled(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    await engine.settle(worker, one, "parked", park_key="approval:1")
    assert await engine.gate("approval:1") == (0, 0, 1)
    assert await engine.claim(worker) == []
    await engine.signal("approval:1")
    [again] = await engine.claim(worker)
    assert (again.task_id, again.attempt) == (one.task_id, 2)
    await engine.succeed(worker, again)
    assert not await engine.run("select * from gate")


async def test_a_signal_before_its_waiter_is_remembered(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    await engine.signal("k")
    await engine.settle(worker, one, "parked", park_key="k")
    assert await engine.state(one.task_id) == "ready"
    assert not await engine.run("select * from gate")


async def test_a_key_is_used_up_by_each_wait(engine: Engine, worker: UUID) -> None:
    one = await _claim(engine, worker)
    for attempt in (2, 3):
        await engine.settle(worker, one, "parked", park_key="k")
        assert await engine.state(one.task_id) == "wait"
        await engine.signal("k")
        [one] = await engine.claim(worker)
        assert one.attempt == attempt
    await engine.settle(worker, one, "retry")  # does not wait for the signal again
    await engine.fire()
    assert await engine.state(one.task_id) == "ready"


async def test_two_signals_let_two_waiters_go(engine: Engine, worker: UUID) -> None:
    await engine.submit_many(3)
    claimed = await engine.claim(worker)
    for one in claimed:
        await engine.settle(worker, one, "parked", park_key="k")
    await engine.signal("k")
    await engine.signal("k")
    states = await engine.states(*(one.task_id for one in claimed))
    assert states == ["ready", "ready", "wait"]


async def test_a_parked_task_keeps_what_it_holds(engine: Engine, worker: UUID) -> None:
    await engine.set_gates(lock=1)
    one = await _claim(engine, worker, needs={"lock": 1})
    next_one = await engine.submit(needs={"lock": 1})
    await engine.settle(worker, one, "parked", park_key="k")
    assert await engine.states(one.task_id, next_one) == ["wait", "wait"]
    assert await engine.gate("lock") == (1, 1, 1)
    await engine.signal("k")
    assert await engine.run_one(worker) == one.task_id
    assert await engine.state(next_one) == "ready"


async def test_a_parked_task_that_is_cancelled_gives_back_what_it_holds(
    engine: Engine, worker: UUID
) -> None:
    await engine.set_gates(lock=1)
    one = await _claim(engine, worker, needs={"lock": 1})
    next_one = await engine.submit(needs={"lock": 1})
    await engine.settle(worker, one, "parked", park_key="k")
    assert await engine.cancel(one.task_id) == {one.task_id: "cancelled"}
    assert await engine.state(next_one) == "ready"
    assert await engine.gate("k") == (0, 0, 0)


async def test_parking_at_a_gate_that_the_task_holds_does_not_wait(
    engine: Engine, worker: UUID
) -> None:
    await engine.set_gates(lock=1)
    one = await _claim(engine, worker, needs={"lock": 1})
    await engine.settle(worker, one, "parked", park_key="lock")
    assert await engine.state(one.task_id) == "ready"


async def test_signals_race_with_parks(engine: Engine, worker: UUID) -> None:
    for n in range(20):
        one = await _claim(engine, worker)
        await asyncio.gather(
            engine.settle(worker, one, "parked", park_key=f"k{n}"), engine.signal(f"k{n}")
        )
        assert await engine.run_one(worker) == one.task_id
    assert not await engine.run("select * from gate")
