"""Workers live by their lease: what it allows, and what becomes of the tasks of a dead one."""

import asyncio
from uuid import UUID

import pytest

from podium.kernel.ids import uuid7
from podium.scheduler import store, upkeep
from podium.storage.database import LeaseLost, call_in
from slices.scheduler.engine import Engine


async def _set_state(engine: Engine, worker: UUID, state: str) -> bool:
    async with engine.database.transaction() as conn:
        return await store.set_worker_state(conn, worker, state)


async def test_nobody_claims_without_a_lease(engine: Engine) -> None:
    with pytest.raises(LeaseLost):
        await engine.claim(uuid7())


@pytest.mark.parametrize("ready", [0, 1])
async def test_nobody_claims_after_the_lease(engine: Engine, worker: UUID, ready: int) -> None:
    await engine.submit_many(ready)
    await engine.let_lease_run_out(worker)
    with pytest.raises(LeaseLost):
        await engine.claim(worker)


async def test_a_lease_that_ran_out_may_be_renewed_until_the_worker_is_declared_dead(
    engine: Engine, worker: UUID
) -> None:
    await engine.let_lease_run_out(worker)
    assert await store.renew(engine.database, worker, 60) == []
    assert await engine.reap() == {}
    task = await engine.submit()
    assert await engine.claim_ids(worker) == [task]
    await engine.die(worker)
    with pytest.raises(LeaseLost):
        await store.renew(engine.database, worker, 60)
    with pytest.raises(LeaseLost):
        await engine.claim(worker)
    assert not await _set_state(engine, worker, "draining")


async def test_a_draining_worker_takes_nothing_and_keeps_its_lease(
    engine: Engine, worker: UUID
) -> None:
    await engine.submit_many(2)
    [claimed] = await engine.claim(worker, 1)
    assert await _set_state(engine, worker, "draining")
    assert await engine.claim(worker) == []
    assert [held.task_id for held in await store.renew(engine.database, worker, 60)] == [
        claimed.task_id
    ]
    assert not await _set_state(engine, worker, "stopped")  # it holds an attempt still
    await engine.succeed(worker, claimed)
    assert await _set_state(engine, worker, "stopped")
    assert await engine.events(worker) == ["worker.started", "worker.stopped"]
    with pytest.raises(LeaseLost):
        await engine.claim(worker)


async def test_a_claim_under_way_keeps_its_worker_from_stopping(
    engine: Engine, worker: UUID
) -> None:
    """Else the attempts of that claim would belong to a worker that nobody ever reaps."""
    await engine.submit()
    async with engine.database.transaction() as conn:
        await call_in(conn, "select * from claim_tasks($1, 5, 5)", worker)
        stopping = asyncio.create_task(_set_state(engine, worker, "stopped"))
        await asyncio.sleep(0.1)
        assert not stopping.done()
    assert not await stopping


async def test_the_tasks_of_a_dead_worker_are_ready_again(engine: Engine, worker: UUID) -> None:
    await engine.submit_many(3)
    lost = await engine.claim(worker)
    await engine.let_lease_run_out(worker)
    assert await engine.reap() == {worker: 3}
    assert await engine.reap() == {}
    other = await engine.worker()
    again = await engine.claim(other)
    assert {(one.task_id, one.attempt, one.failures, one.losses) for one in again} == {
        (one.task_id, 2, 0, 1) for one in lost
    }
    assert await engine.attempts(lost[0].task_id) == [(1, "lost")]
    assert await engine.events(lost[0].task_id) == [
        "task.created",
        "task.started",
        "task.lost",
        "task.started",
    ]
    assert await engine.events(worker) == ["worker.started", "worker.lost"]


async def test_a_reaped_worker_settles_nothing(engine: Engine, worker: UUID) -> None:
    await engine.submit()
    [claimed] = await engine.claim(worker)
    await engine.die(worker)
    assert not await engine.settle(worker, claimed, "succeeded")
    assert await engine.state(claimed.task_id) == "ready"
    [again] = await engine.claim(await engine.worker())
    assert not await engine.settle(worker, claimed, "failed")
    assert await engine.state(again.task_id) == "running"


async def test_three_losses_make_a_task_dead(engine: Engine) -> None:
    task = await engine.submit()
    dependent = await engine.submit(after=[task])
    for loss in range(3):
        assert await engine.state(task) == "ready"
        worker = await engine.worker()
        [claimed] = await engine.claim(worker)
        assert (claimed.failures, claimed.losses) == (0, loss)
        await engine.die(worker)
    assert await engine.states(task, dependent) == ["dead", "cancelled"]
    error = await engine.error(task)
    assert (error["code"], "'podium logs'" in error["hint"]) == ("worker_lost", True)
    assert (await engine.events(task))[-3:] == ["task.started", "task.lost", "task.dead"]
    [row] = await engine.run("select data from event where type = 'task.dead'")
    assert row.data["attempt"] == 3
    assert row.data["error"]["class"] == "resource"


async def test_only_who_blocked_the_worker_pays_for_its_loss(engine: Engine, worker: UUID) -> None:
    culprit, other, stopped = await engine.submit_many(3)
    await engine.claim(worker)
    await engine.cancel(stopped)
    await store.accuse(engine.database, worker, culprit, 1, "hog (agents.py:7)", 60)
    await engine.die(worker, max_losses=1)
    assert await engine.states(culprit, other, stopped) == ["dead", "ready", "cancelled"]
    error = await engine.error(culprit)
    assert (error["code"], "hog (agents.py:7)" in error["message"]) == ("worker_blocked", True)
    assert await engine.attempts(other) == [(1, "lost")]
    assert (await engine.events(other))[-2:] == ["task.started", "task.lost"]
    [again] = await engine.claim(await engine.worker())
    assert (again.task_id, again.attempt, again.losses) == (other, 2, 0)


async def test_a_worker_that_renews_is_blocked_no_longer(engine: Engine, worker: UUID) -> None:
    first, second = await engine.submit_many(2)
    await engine.claim(worker)
    await store.accuse(engine.database, worker, first, 1, "hog (agents.py:7)", 60)
    await store.renew(engine.database, worker, 5)
    await engine.die(worker, max_losses=1)
    assert await engine.states(first, second) == ["dead", "dead"]


async def test_who_is_accused_after_a_renewal_is_not_to_blame(engine: Engine, worker: UUID) -> None:
    first, second = await engine.submit_many(2)
    await engine.claim(worker)
    await store.renew(engine.database, worker, 6)
    await store.accuse(engine.database, worker, first, 1, "hog (agents.py:7)", 5)
    await engine.die(worker, max_losses=1)
    assert await engine.states(first, second) == ["dead", "dead"]


async def test_an_attempt_that_is_over_is_not_to_blame(engine: Engine, worker: UUID) -> None:
    first, second = await engine.submit_many(2)
    claimed = {each.task_id: each for each in await engine.claim(worker)}
    await store.accuse(engine.database, worker, first, 1, "hog (agents.py:7)", 60)
    await engine.settle(worker, claimed[first], "succeeded")
    await engine.die(worker, max_losses=1)
    assert await engine.states(first, second) == ["succeeded", "dead"]


async def test_losses_and_failures_are_counted_apart(engine: Engine, worker: UUID) -> None:
    await engine.submit()
    await engine.run_one(worker, "retry")
    await engine.fire()
    [claimed] = await engine.claim(worker)
    await engine.die(worker)
    [again] = await engine.claim(await engine.worker())
    assert (again.attempt, again.failures, again.losses) == (3, 1, 1)
    assert claimed.attempt == 2


@pytest.mark.parametrize("max_losses", [3, 1])
async def test_a_lost_task_that_was_to_be_cancelled_is_cancelled(
    engine: Engine, worker: UUID, max_losses: int
) -> None:
    """Also by its last loss."""
    task = await engine.submit(queue_timeout=60)
    await engine.claim(worker)
    await engine.cancel(task)
    await engine.die(worker, max_losses=max_losses)
    assert await engine.state(task) == "cancelled"
    assert await engine.attempts(task) == [(1, "lost")]
    assert await engine.error(task) == {"code": "cancelled", "message": "not wanted"}
    [row] = await engine.run("select actor, data from event where type = 'task.cancelled'")
    assert row.actor == "tester"
    assert not await engine.run("select * from expiry")


async def test_a_dead_worker_gives_back_what_its_tasks_held(engine: Engine, worker: UUID) -> None:
    await engine.set_gates(g=2)
    first = await engine.submit(needs={"g": 2})
    second = await engine.submit(needs={"g": 1})
    [claimed] = await engine.claim(worker)
    await engine.die(worker)
    # It queues anew, and is first in line still.
    assert await engine.states(first, second) == ["ready", "wait"]
    assert claimed.task_id == first
    [again] = await engine.claim(await engine.worker())
    assert again.losses == 1


async def test_the_reaper_passes_over_a_worker_that_claims_at_this_moment(
    engine: Engine, worker: UUID
) -> None:
    """The claim began within the lease and commits after it."""
    task = await engine.submit()
    async with engine.database.transaction() as conn:
        rows = await call_in(conn, "select * from claim_tasks($1, 5, 5)", worker)
        assert [row["task_id"] for row in rows] == [task]
        await engine.let_lease_run_out(worker)
        assert await engine.reap() == {}
    assert await engine.state(task) == "running"
    assert await engine.reap() == {worker: 1}
    assert await engine.state(task) == "ready"


async def test_a_claim_waits_for_the_reaper_and_then_fails(engine: Engine, worker: UUID) -> None:
    """It looked at its lease before the reaper did, and must not act on what it saw."""
    task = await engine.submit()
    async with engine.database.transaction() as conn:
        await call_in(conn, "select id from worker where id = $1 for update", worker)
        claim = asyncio.create_task(engine.claim(worker))
        await asyncio.sleep(0.1)
        assert not claim.done()
        await call_in(
            conn, "update worker set state = 'dead', lease_until = now() where id = $1", worker
        )
    with pytest.raises(LeaseLost):
        await claim
    assert await engine.state(task) == "ready"


async def test_the_reaper_passes_over_a_worker_that_renews_at_this_moment(
    engine: Engine, worker: UUID
) -> None:
    await engine.let_lease_run_out(worker)
    async with engine.database.transaction() as conn:
        await call_in(conn, "select * from renew_lease($1, 60)", worker)
        assert await engine.reap() == {}
    assert await engine.reap() == {}


async def test_reaping_races_with_settling(engine: Engine) -> None:
    """Whoever is first counts: the task ends, or it is ready again."""
    other = await engine.worker()
    for _ in range(12):
        worker = await engine.worker()
        tasks = await engine.submit_many(6)
        claimed = await engine.claim(worker)
        await engine.let_lease_run_out(worker)
        settled, reaped = await asyncio.gather(
            asyncio.gather(*(engine.settle(worker, one, "succeeded") for one in claimed)),
            engine.reap(),
        )
        assert sum(settled) + reaped[worker] == 6
        again = await engine.claim(other, 10)
        assert len(again) == 6 - sum(settled)
        await engine.succeed(other, *again)
        assert await engine.states(*tasks) == ["succeeded"] * 6


async def test_two_reapers_take_each_worker_once(engine: Engine) -> None:
    workers = [await engine.worker() for _ in range(10)]
    for worker in workers:
        await engine.submit()
        await engine.claim(worker)
    await engine.let_lease_run_out(*workers)
    results = await asyncio.gather(*(engine.reap() for _ in range(4)))
    taken = [worker for result in results for worker in result]
    assert sorted(taken) == sorted(workers)


async def test_a_role_is_played_by_one(engine: Engine) -> None:
    first, second = uuid7(), uuid7()

    async def stand(role: str, who: UUID) -> upkeep.Standing:
        return await upkeep.stand(engine.database, role, who, 60)

    assert (await stand("clock", first)).leads
    assert (await stand("clock", first)).leads
    assert not (await stand("clock", second)).leads
    standing = await upkeep.other(engine.database, "clock", second)
    assert standing
    assert not standing.leads
    assert 55 < standing.others <= 60
    assert await upkeep.other(engine.database, "clock", first) is None
    assert (await stand("reaper", second)).leads
    await engine.run("update leader set until = now() where role = 'clock'")
    assert (await stand("clock", second)).leads
    await upkeep.resign(engine.database, "clock", second)
    assert (await stand("clock", first)).leads
    assert not (await stand("reaper", first)).leads


async def test_workers_that_ended_long_ago_are_forgotten(engine: Engine) -> None:
    names = ("live", "late", "recent", "dead", "stopped", "holds")
    live, late, recent, dead, stopped, holds = [await engine.worker() for _ in names]
    await engine.submit()
    await engine.claim(holds)
    for worker, state in ((recent, "dead"), (dead, "dead"), (stopped, "stopped"), (holds, "dead")):
        await engine.run("update worker set state = :s where id = :id", s=state, id=worker)
    await engine.run(
        "update worker set lease_until = now() - interval '8 days' where id = any (:ids)",
        ids=[late, dead, stopped, holds],
    )
    await upkeep.forget_workers(engine.database, 7)
    left = {row.id for row in await engine.run("select id from worker")}
    assert left == {live, late, recent, holds}


async def test_only_queues_that_have_work_for_bound_workers_are_told_of(engine: Engine) -> None:
    await engine.worker()
    await engine.submit(queue="gpu")
    assert await store.bound_queues(engine.database) == []
    await engine.worker(queues=("gpu", "cpu"))
    await engine.worker(queues=("gpu", "tpu"))
    gone = await engine.worker(queues=("npu",))
    await engine.submit(queue="npu")
    await engine.submit(queue="gpu", capabilities=("x",))
    await engine.submit(queue="tpu", needs={"g": 1})
    await engine.die(gone)
    assert await store.bound_queues(engine.database) == ["gpu"]
