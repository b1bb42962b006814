"""What time and priority do to tasks that wait: delays, queue timeouts, being put first."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from podium.kernel.ids import uuid7
from podium.scheduler import store, upkeep
from podium.scheduler.model import Claimed
from slices.scheduler.engine import Engine

SOON = timedelta(minutes=5)


# -- the clock ----------------------------------------------------------------------------------


async def test_a_delayed_task_becomes_ready_at_its_time(engine: Engine, worker: UUID) -> None:
    task = await engine.submit(start_at=datetime.now(UTC) + timedelta(seconds=1))
    assert await engine.state(task) == "timer"
    assert await upkeep.fire_timers(engine.database, 10) == 0
    await asyncio.sleep(1.1)
    assert await upkeep.fire_timers(engine.database, 10) == 1
    assert await engine.events(task) == ["task.created", "task.queued"]


async def test_a_start_in_the_past_is_now(engine: Engine) -> None:
    task = await engine.submit(start_at=datetime.now(UTC) - SOON)
    assert await engine.state(task) == "ready"


async def test_two_clocks_fire_each_timer_once(engine: Engine, worker: UUID) -> None:
    await engine.submit_many(60, start_at=datetime.now(UTC) + SOON)
    await engine.submit_many(40, start_at=datetime.now(UTC) + SOON, needs={"g": 1})
    await engine.set_gates(g=100)
    await engine.run("update timer set fires_at = now() - interval '1 second'")
    fired = await asyncio.gather(*(upkeep.fire_timers(engine.database, 30) for _ in range(8)))
    assert sum(fired) == 100
    assert await engine.run_all(worker) == 100


async def test_a_task_that_does_not_start_in_time_fails(engine: Engine, worker: UUID) -> None:
    ready = await engine.submit(queue_timeout=60)
    blocked = await engine.submit(queue_timeout=60, after=[ready], on_failure="run")
    delayed = await engine.submit(queue_timeout=60, start_at=datetime.now(UTC) + SOON)
    waiting = await engine.submit(queue_timeout=60, needs={"g": 1})
    dependent = await engine.submit(after=[waiting])
    assert await upkeep.expire_tasks(engine.database, 10) == 0
    assert await engine.expire() == 4
    ids = [ready, blocked, delayed, waiting]
    assert await engine.states(*ids, dependent) == ["failed"] * 4 + ["cancelled"]
    assert (await engine.error(blocked))["code"] == "queue_timeout"
    assert (await engine.error(blocked))["class"] == "timeout"
    assert await engine.events(ready) == ["task.created", "task.failed"]


async def test_a_task_that_expires_says_what_was_wrong_with_its_agent(engine: Engine) -> None:
    agents = ("echo", "off", "ill", "lost", "gone")
    for name in agents[1:]:
        await engine.add_agent(name)
    tasks = [await engine.submit(agent=name, queue_timeout=60) for name in agents]
    await engine.run("update agent set enabled = false where name = 'off'")
    await engine.run("update agent set healthy = false where name in ('ill', 'lost')")
    await engine.run("update agent set health_detail = 'No program.' where name = 'lost'")
    await engine.run("update agent set deleted_at = now() where name = 'gone'")
    assert await engine.expire() == 5
    told = [(await engine.error(task))["message"] for task in tasks]
    late = "The task did not start within its queue timeout"
    assert told == [
        f"{late}.",
        f"{late}; agent off is disabled.",
        f"{late}; agent ill is not healthy.",
        f"{late}; agent lost is not healthy: No program.",
        f"{late}; agent gone was deleted.",
    ]


async def test_a_task_that_started_in_time_does_not_expire(engine: Engine, worker: UUID) -> None:
    running = await engine.submit(queue_timeout=60)
    retried = await engine.submit(queue_timeout=60)
    done = await engine.submit(queue_timeout=60)
    first, second, third = await engine.claim(worker)
    await engine.settle(worker, second, "retry", delay=60)
    await engine.settle(worker, third, "succeeded")
    assert await engine.expire() == 2  # the expiry of what ended is forgotten at its end
    assert await engine.states(running, retried, done) == ["running", "timer", "succeeded"]
    assert first.task_id == running


async def _pass_deadlines(engine: Engine) -> int:
    """Let all deadlines pass; gives how many tasks were due."""
    await engine.run(
        "update task set spec = jsonb_set(spec, '{deadline}',"
        " to_jsonb(now() - interval '1 second')) where spec ? 'deadline'"
    )
    return await engine.expire()


async def test_a_task_that_waits_past_its_deadline_fails(engine: Engine, worker: UUID) -> None:
    soon = datetime.now(UTC) + SOON
    ready, blocker = await engine.submit(deadline=soon), await engine.submit(priority=1)
    blocked = await engine.submit(deadline=soon, after=[blocker])
    waiting = await engine.submit(deadline=soon, needs={"g": 1})
    retried, running = await engine.submit_many(2, deadline=soon, priority=2)
    first, _ = await engine.claim(worker, 2)
    assert first.task_id == retried
    await engine.settle(worker, first, "retry", delay=60)
    due = await upkeep.next_due(engine.database)
    assert due is not None
    assert due <= 60
    assert await upkeep.expire_tasks(engine.database, 10) == 0
    assert await _pass_deadlines(engine) == 5
    late = [ready, blocked, waiting, retried]
    assert await engine.states(*late, running) == ["failed"] * 4 + ["running"]
    assert (await engine.error(retried))["code"] == "deadline_passed"
    assert (await engine.error(ready))["message"] == "The task had not ended at its deadline."


async def test_a_deadline_that_passed_while_it_ran_holds_when_its_worker_dies(
    engine: Engine, worker: UUID
) -> None:
    task = await engine.submit(deadline=datetime.now(UTC) + SOON)
    child = await engine.submit(after=[task])
    await engine.claim(worker)
    assert await _pass_deadlines(engine) == 1
    assert await engine.state(task) == "running"
    await engine.die(worker)
    assert await engine.state(task) == "ready"
    assert 0 < (await upkeep.next_due(engine.database) or 0) <= 5
    assert await engine.expire() == 1
    assert await engine.states(task, child) == ["failed", "cancelled"]


async def test_a_deadline_holds_beyond_the_queue_timeout(engine: Engine, worker: UUID) -> None:
    task = await engine.submit(deadline=datetime.now(UTC) + SOON, queue_timeout=60)
    [claimed] = await engine.claim(worker)
    assert await engine.expire() == 1
    await engine.settle(worker, claimed, "retry", delay=3600)
    assert await engine.state(task) == "timer"
    assert await _pass_deadlines(engine) == 1
    assert await engine.state(task) == "failed"


async def test_another_life_leaves_a_deadline_that_has_passed_behind(
    engine: Engine, worker: UUID
) -> None:
    late, early = [await engine.submit(deadline=datetime.now(UTC) + SOON) for _ in range(2)]
    await engine.run(
        "update task set spec = jsonb_set(spec, '{deadline}', to_jsonb(now())) where id = :id",
        id=late,
    )
    for claimed in await engine.claim(worker):
        await engine.settle(worker, claimed, "failed")
    await engine.retry(late, early)
    rows = await engine.run("select id from task where spec ? 'deadline'")
    assert [row.id for row in rows] == [early]
    assert [row.task_id for row in await engine.run("select task_id from expiry")] == [early]


async def test_expiries_race_with_claims(engine: Engine, worker: UUID) -> None:
    for _ in range(8):
        ids = await engine.submit_many(5, queue_timeout=60)
        claimed: list[Claimed]
        claimed, _ = await asyncio.gather(engine.claim(worker), engine.expire())
        started = {one.task_id for one in claimed}
        for task in ids:
            assert await engine.state(task) == ("running" if task in started else "failed")
        await engine.succeed(worker, *claimed)


# -- priority -----------------------------------------------------------------------------------


async def test_a_waiting_task_is_put_first_wherever_it_waits(engine: Engine, worker: UUID) -> None:
    await engine.set_gates(g=1)
    root = await engine.submit()
    ready, blocked = await engine.submit(), await engine.submit(after=[root])
    timer = await engine.submit(start_at=datetime.now(UTC) + SOON)
    holder = await engine.submit(needs={"g": 1})
    last, wait = await engine.submit(needs={"g": 1}), await engine.submit(needs={"g": 1})
    for task in (ready, blocked, timer, wait):
        async with engine.database.transaction() as conn:
            await store.reprioritise(conn, [task], 9)
    assert await engine.claim_ids(worker, 1) == [ready]
    rest = await engine.claim(worker, 2)
    assert {one.task_id for one in rest} == {root, holder}
    await engine.succeed(worker, *rest)
    assert await engine.states(wait, last) == ["ready", "wait"]
    await engine.fire()
    assert set(await engine.claim_ids(worker)) == {blocked, timer, wait}


async def test_putting_a_task_first_may_let_it_through_its_gate(engine: Engine) -> None:
    await engine.set_gates(g=2)
    await engine.submit(needs={"g": 1})
    large = await engine.submit(needs={"g": 2})
    small = await engine.submit(needs={"g": 1})
    assert await engine.states(large, small) == ["wait", "wait"]
    async with engine.database.transaction() as conn:
        await store.reprioritise(conn, [small], 1)
    assert await engine.states(large, small) == ["wait", "ready"]


async def test_a_running_task_keeps_its_new_priority(engine: Engine, worker: UUID) -> None:
    task = await engine.submit()
    [claimed] = await engine.claim(worker)
    async with engine.database.transaction() as conn:
        await store.reprioritise(conn, [task], 7)
    await engine.settle(worker, claimed, "released")
    assert await engine.cancel(task) == {task: "cancelled"}


async def test_priorities_race_with_everything(engine: Engine, worker: UUID) -> None:
    async def change(task: UUID, priority: int) -> None:
        async with engine.database.transaction() as conn:
            await store.reprioritise(conn, [task], priority)

    for n in range(12):
        task = await engine.submit()
        await asyncio.gather(
            change(task, n), change(task, -n), engine.run_all(worker), engine.cancel(task)
        )
        assert await engine.state(task) in ("succeeded", "cancelled")


async def test_a_task_is_held_still_while_it_is_edited(engine: Engine, worker: UUID) -> None:
    task = await engine.submit()
    async with engine.database.transaction() as conn:
        assert await store.hold_waiting(conn, task)
        assert await engine.claim(worker) == []
    assert await engine.claim_ids(worker) == [task]


async def test_only_what_waits_can_be_held_still(engine: Engine, worker: UUID) -> None:
    running = await engine.submit()
    [claimed] = await engine.claim(worker)
    blocked = await engine.submit(after=[running])
    timer = await engine.submit(start_at=datetime.now(UTC) + SOON)
    wait = await engine.submit(needs={"g": 1})
    parked = await engine.submit()
    await engine.run_one(worker, "parked", park_key="k")
    async with engine.database.transaction() as conn:
        ids = (running, blocked, timer, wait, parked, uuid7())
        held = [await store.hold_waiting(conn, task) for task in ids]
    assert held == [False, True, True, True, False, False]
    await engine.succeed(worker, claimed)
    async with engine.database.transaction() as conn:
        assert not await store.hold_waiting(conn, running)
