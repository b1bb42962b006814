"""What people do to tasks: cancel them, and give them another life."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from podium.kernel.ids import uuid7
from podium.scheduler import store, upkeep
from podium.scheduler.model import SubmitCall
from slices.scheduler.engine import Engine

SOON = timedelta(minutes=5)


# -- cancelling -----------------------------------------------------------------------------------


async def test_a_waiting_task_is_cancelled_wherever_it_waits(engine: Engine, worker: UUID) -> None:
    ready = await engine.submit()
    timer = await engine.submit(start_at=datetime.now(UTC) + SOON)
    blocked = await engine.submit(after=[timer], on_failure="hold")
    wait = await engine.submit(needs={"g": 1})
    held = await engine.submit(after=[timer], on_failure="hold", needs={"g": 1}, queue_timeout=60)
    ids = [ready, timer, blocked, wait, held]
    assert await engine.states(*ids) == ["ready", "timer", "blocked", "wait", "blocked"]
    assert await engine.cancel(*ids) == dict.fromkeys(ids, "cancelled")
    assert await engine.states(*ids) == ["cancelled"] * 5
    for task in ids:
        assert await engine.events(task) == ["task.created", "task.cancelled"]
        assert await engine.error(task) == {"code": "cancelled", "message": "not wanted"}
    [event] = await engine.run("select * from event where type = 'task.cancelled' limit 1")
    assert event.actor == "tester"
    for table in ("gate", "need", "expiry"):
        assert not await engine.run(f"select * from {table}")


async def test_what_is_held_still_does_not_move(engine: Engine, worker: UUID) -> None:
    running = await engine.submit()
    [claimed] = await engine.claim(worker)
    ready, other = await engine.submit(), await engine.submit()
    timer = await engine.submit(start_at=datetime.now(UTC) + SOON)
    await engine.run("update timer set fires_at = now() - interval '1 second'")
    async with engine.database.transaction() as conn:
        await engine.scheduler.hold(conn, [running, ready, timer])
        assert await engine.claim_ids(worker) == [other]
        assert await upkeep.fire_timers(engine.database, 1000) == 0
        ending = asyncio.create_task(engine.settle(worker, claimed, "succeeded"))
        await asyncio.sleep(0.1)
        assert await engine.states(running, ready, timer) == ["running", "ready", "timer"]
    assert await ending
    assert await upkeep.fire_timers(engine.database, 1000) == 1
    assert await engine.claim_ids(worker) == [ready, timer]


async def test_a_running_task_is_asked_once_and_ends_when_its_worker_says_so(
    engine: Engine, worker: UUID
) -> None:
    task = await engine.submit()
    [claimed] = await engine.claim(worker)
    for _ in range(2):
        assert await engine.cancel(task) == {task: "cancelling"}
    assert await engine.state(task) == "running"
    [held] = await store.renew(engine.database, worker, 60)
    assert (held.task_id, held.attempt) == (task, 1)
    assert held.cancel == {"by": "tester", "reason": "not wanted"}
    assert await engine.settle(worker, claimed, "cancelled")
    assert await engine.error(task) == {"code": "cancelled", "message": "not wanted"}
    assert await engine.events(task) == [
        "task.created",
        "task.started",
        "task.cancelling",
        "task.cancelled",
    ]


@pytest.mark.parametrize("how", ["retry", "released", "parked"])
async def test_what_is_to_be_cancelled_is_not_tried_again(
    engine: Engine, worker: UUID, how: str
) -> None:
    await engine.set_gates(g=1)
    task = await engine.submit(needs={"g": 1})
    [claimed] = await engine.claim(worker)
    await engine.cancel(task)
    assert await engine.settle(worker, claimed, how, delay=1, park_key="k")
    assert await engine.state(task) == "cancelled"
    assert await engine.gate("g") == (1, 0, 0)


async def test_success_wins_over_a_cancellation_that_comes_too_late(
    engine: Engine, worker: UUID
) -> None:
    task = await engine.submit()
    [claimed] = await engine.claim(worker)
    await engine.cancel(task)
    assert await engine.settle(worker, claimed, "succeeded", output="1")
    assert await engine.state(task) == "succeeded"
    assert await engine.cancel(task) == {task: "ended"}


async def test_a_task_that_does_not_exist_is_not_in_the_answer(engine: Engine) -> None:
    assert await engine.cancel(uuid7()) == {}
    assert await engine.cancel() == {}


async def test_a_whole_graph_is_cancelled_in_one_call(engine: Engine, worker: UUID) -> None:
    first = await engine.submit()
    [claimed] = await engine.claim(worker)
    rest = [await engine.submit(after=[first], on_failure="run")]
    rest.append(await engine.submit(after=[first, *rest]))
    result = await engine.cancel(*rest, first)
    assert result == {first: "cancelling", rest[0]: "cancelled", rest[1]: "cancelled"}
    assert await engine.settle(worker, claimed, "cancelled")


async def test_graphs_are_cancelled_while_they_run(engine: Engine) -> None:
    """Cancel, claim and settle of one graph at once: no deadlock, one end for each."""
    workers = [await engine.worker() for _ in range(2)]
    for _ in range(8):
        root = await engine.task()
        fan = [await engine.task(after=[root.id]) for _ in range(5)]
        join = await engine.task(after=[task.id for task in fan], on_failure="run")
        graph = [root, *fan, join]
        await engine.scheduler.submit(SubmitCall(graph))
        ids = [task.id for task in graph]
        await asyncio.gather(
            *(engine.run_all(worker) for worker in workers),
            engine.cancel(*ids),
            engine.cancel(*reversed(ids)),
        )
        for worker in workers:
            await engine.run_all(worker)
        assert set(await engine.states(*ids)) <= {"succeeded", "cancelled"}


async def test_a_cancellation_races_with_claim_and_settle(engine: Engine) -> None:
    """Every task ends exactly once, and in the way that the canceller was told."""
    first, second = await engine.worker(), await engine.worker()
    told: Counter[str] = Counter()

    async def work(worker: UUID) -> None:
        for claimed in [await engine.claim(worker, 2) for _ in range(2)]:
            await engine.succeed(worker, *claimed)

    for _ in range(15):
        ids = await engine.submit_many(9)  # one more than they take
        result, *_ = await asyncio.gather(engine.cancel(*ids), work(first), work(second))
        assert set(result) == set(ids)
        for task, answer in result.items():
            state = await engine.state(task)
            told[answer] += 1
            if answer == "cancelled":
                assert state == "cancelled"
            elif answer == "ended":
                assert state == "succeeded"
        await engine.run_all(first)
    assert told["cancelled"]


# -- another life -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["failed", "dead", "cancelled"])
async def test_an_ended_task_gets_another_life(engine: Engine, worker: UUID, end: str) -> None:
    task = await engine.submit()
    [claimed] = await engine.claim(worker)
    await engine.settle(worker, claimed, "retry")
    await engine.fire()
    await engine.run_one(worker, end, error="{}")
    assert await engine.retry(task) == [task]
    [row] = await engine.run("select outcome, error, output, finished_at from task")
    assert tuple(row) == (None, None, None, None)
    [again] = await engine.claim(worker)
    assert (again.attempt, again.failures, again.losses) == (3, 0, 0)
    await engine.succeed(worker, again)
    assert (await engine.events(task))[-3:] == ["task.redriven", "task.started", "task.completed"]


async def test_attempts_go_on_counting_after_a_cancelled_wait(engine: Engine, worker: UUID) -> None:
    task = await engine.submit()
    await engine.run_one(worker, "retry", delay=60)
    await engine.cancel(task)
    assert (await engine.run("select attempt from task"))[0].attempt == 1
    await engine.retry(task)
    [again] = await engine.claim(worker)
    assert again.attempt == 2
    await engine.succeed(worker, again)


async def test_open_and_succeeded_tasks_are_left_alone(engine: Engine, worker: UUID) -> None:
    done = await engine.submit()
    await engine.run_one(worker)
    opened = await engine.submit()
    assert await engine.retry(done, opened, uuid7()) == []
    assert await engine.events(done) == ["task.created", "task.started", "task.completed"]


@pytest.mark.parametrize(
    ("policy", "state"), [("cancel", "cancelled"), ("hold", "blocked"), ("run", "ready")]
)
async def test_a_dependent_that_lives_again_does_what_it_chose_about_a_failed_dependency(
    engine: Engine, worker: UUID, policy: str, state: str
) -> None:
    await engine.set_gates(g=1)
    first = await engine.submit()
    second = await engine.submit(after=[first], on_failure=policy, needs={"g": 1})
    third = await engine.submit(after=[second], on_failure=policy)
    await engine.run_one(worker, "failed")
    await engine.cancel(second, third)
    assert set(await engine.retry(third, second)) == {second, third}
    assert await engine.state(second) == state
    thirds = {"cancel": "cancelled", "hold": "blocked", "run": "blocked"}
    assert await engine.state(third) == thirds[policy]
    assert await engine.gate("g") == (1, int(policy == "run"), 0)
    if policy == "cancel":
        assert (await engine.events(second))[-2:] == ["task.redriven", "task.cancelled"]
        [row] = await engine.run("select error from task where id = :id", id=second)
        assert row.error["code"] == "dependency_failed"

    assert await engine.retry(first) == [first]
    await engine.retry(second, third)
    while await engine.run_all(worker):
        pass
    assert await engine.states(first, second, third) == ["succeeded"] * 3


@pytest.mark.parametrize("policy", ["cancel", "run", "hold"])
async def test_a_graph_that_lives_again_runs_in_order(
    engine: Engine, worker: UUID, policy: str
) -> None:
    first = await engine.submit()
    second = await engine.submit(after=[first], on_failure=policy)
    await engine.run_one(worker, "failed")
    while claimed := await engine.claim(worker):
        await engine.settle(worker, claimed[0], "failed")
    await engine.cancel(second)
    assert set(await engine.retry(second, first)) == {first, second}
    assert await engine.states(first, second) == ["ready", "blocked"]
    assert await engine.run_one(worker) == first
    assert await engine.run_one(worker) == second
    assert (await engine.attempts(second))[-1][1] == "succeeded"


async def test_a_blocked_life_goes_on_counting_attempts(engine: Engine, worker: UUID) -> None:
    first = await engine.submit()
    second = await engine.submit(after=[first], on_failure="run")
    await engine.run_one(worker)
    await engine.run_one(worker, "failed")
    third = await engine.submit(after=[second], on_failure="hold")
    await engine.retry(second)
    await engine.run_one(worker, "failed")
    await engine.cancel(third)
    await engine.retry(third)
    await engine.retry(second)
    assert await engine.run_all(worker) == 2
    assert await engine.attempts(second) == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert await engine.attempts(third) == [(1, "succeeded")]


async def test_a_life_after_a_blocked_one_has_a_new_attempt(engine: Engine, worker: UUID) -> None:
    """It failed, its dependency failed in another life, and both live again."""
    first = await engine.submit()
    second = await engine.submit(after=[first], on_failure="run")
    await engine.run_one(worker, "failed")
    await engine.run_one(worker, "failed")
    await engine.retry(first, second)
    assert await engine.states(first, second) == ["ready", "blocked"]
    assert await engine.run_all(worker) == 2
    assert await engine.attempts(second) == [(1, "failed"), (2, "succeeded")]


async def test_another_life_has_the_same_needs_and_queue_timeout(
    engine: Engine, worker: UUID
) -> None:
    await engine.set_gates(g=1)
    holder = await engine.submit(needs={"g": 1})
    task = await engine.submit(needs={"g": 1})
    await engine.run(
        'update task set spec = spec || \'{"timeouts": {"queue": 60}}\' where id = :id', id=task
    )
    await engine.cancel(task)
    await engine.retry(task)
    assert await engine.states(holder, task) == ["ready", "wait"]
    assert await engine.gate("g") == (1, 1, 1)
    assert await engine.expire() == 1
    assert await engine.state(task) == "failed"


async def test_lives_race(engine: Engine, worker: UUID) -> None:
    for _ in range(10):
        first = await engine.submit()
        second = await engine.submit(after=[first])
        await engine.run_one(worker, "failed")
        lives = await asyncio.gather(engine.retry(first, second), engine.retry(second, first))
        assert sorted(map(len, lives)) == [0, 2]
        await asyncio.gather(engine.cancel(second, first), engine.retry(first, second))
        await engine.run_all(worker)
