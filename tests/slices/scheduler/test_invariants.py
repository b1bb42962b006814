"""Random stories by many actors at once; whatever happens, the books must balance."""

import asyncio
import random
from contextlib import suppress
from uuid import UUID

import pytest

from podium.scheduler.model import Claimed, SubmitCall
from podium.storage.database import Database, LeaseLost
from slices.scheduler.engine import Engine

_GATES = {"one": 1, "few": 3, "many": 50}


async def _actor(engine: Engine, seed: int, ids: list[UUID], until: float) -> None:
    """A worker that claims, ends attempts in every way, and sometimes dies with what it holds."""
    dice = random.Random(seed)
    loop = asyncio.get_running_loop()
    worker = await engine.worker()
    held: list[Claimed] = []
    while loop.time() < until:
        try:
            held += await engine.claim(worker, dice.randint(1, 5))
        except LeaseLost:
            worker, held = await engine.worker(), []
            continue
        dice.shuffle(held)
        for _ in range(dice.randint(0, len(held))):
            one = held.pop()
            how = dice.choice(["succeeded"] * 4 + ["failed", "dead", "retry", "released", "parked"])
            extra = {"delay": dice.random() / 50} if how == "retry" else {}
            if how == "parked":
                extra = {"park_key": f"signal:{one.task_id}:{one.attempt}"}
            await engine.settle(worker, one, how, **extra)
            if how == "parked":
                async with engine.database.transaction() as conn:
                    await engine.scheduler.signal(conn, [str(extra["park_key"])])
            if dice.random() < 0.1:  # a stale report changes nothing
                assert not await engine.settle(worker, one, "failed")
        if dice.random() < 0.05:
            await engine.run("update worker set lease_until = now() where id = :id", id=worker)
            worker, held = await engine.worker(), []
        await asyncio.sleep(dice.random() / 200)


async def _meddler(engine: Engine, seed: int, ids: list[UUID], until: float) -> None:
    """Somebody who submits, cancels, retries, edits priorities and lets the clock tick."""
    dice = random.Random(seed)
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        after = dice.sample(ids, min(len(ids), dice.choice([0, 0, 1, 3])))
        needs = {gate: 1 for gate in _GATES if dice.random() < 0.2}
        batch = [
            await engine.task(
                after=after,
                needs=needs,
                priority=dice.randint(-2, 2),
                on_failure=dice.choice(["cancel", "run", "hold"]),
                queue_timeout=dice.choice([None, None, 0.05]),
            )
            for _ in range(dice.randint(1, 5))
        ]
        await engine.scheduler.submit(SubmitCall(batch))
        ids.extend(task.id for task in batch)
        some = dice.sample(ids, min(len(ids), 3))
        if dice.random() < 0.3:
            await engine.cancel(*some)
        if dice.random() < 0.3:
            await engine.retry(*some)
        await engine.database.call("select fire_timers(100), expire_tasks(100)")
        await engine.database.call("select * from reap_workers(100, 10)")
        await asyncio.sleep(dice.random() / 100)


async def _finish(engine: Engine) -> None:
    """Run all that is left to its end; parked and held tasks are cancelled."""
    await engine.run("update worker set lease_until = now()")
    await engine.database.call("select * from reap_workers(100, 1000)")
    worker = await engine.worker()
    for _ in range(10_000):
        await engine.run("update timer set fires_at = now()")
        await engine.database.call("select fire_timers(1000)")
        claimed = await engine.claim(worker, 200)
        await engine.succeed(worker, *claimed)
        if not claimed and not await engine.run("select 1 from timer"):
            break
    left = await engine.run("select id from task where outcome is null")
    await engine.cancel(*(row.id for row in left))


@pytest.mark.parametrize("seed", range(4))
async def test_the_books_balance_after_any_story(database: Database, seed: int) -> None:
    engine = await Engine.create(database)
    async with database.transaction() as conn:
        await engine.scheduler.set_capacity(conn, _GATES)
    ids: list[UUID] = []
    until = asyncio.get_running_loop().time() + 3
    actors = [_actor(engine, seed * 100 + n, ids, until) for n in range(4)]
    meddlers = [_meddler(engine, seed * 100 + 50 + n, ids, until) for n in range(2)]
    audit = asyncio.create_task(_audit(engine, until))
    await asyncio.gather(*actors, *meddlers)
    await audit
    assert len(ids) > 100
    await _finish(engine)
    await _assert_ended(engine, ids)


async def _audit(engine: Engine, until: float) -> None:
    """No gate ever hands out more than it has, at any moment."""
    while asyncio.get_running_loop().time() < until:
        over = await engine.run(
            "select * from gate where used > capacity or used < 0 or waiting < 0"
        )
        assert not over, over
        twice = await engine.run(
            "select task_id from (select task_id from ready union all select task_id from running"
            " union all select task_id from timer union all select task_id from blocked"
            " union all select task_id from wait) x group by 1 having count(*) > 1"
        )
        assert not twice, twice
        with suppress(asyncio.TimeoutError):
            await asyncio.sleep(0.05)


async def _assert_ended(engine: Engine, ids: list[UUID]) -> None:
    for table in ("ready", "running", "timer", "blocked", "wait", "need"):
        left = await engine.run(f"select * from {table}")
        assert not left, (table, left[:3])
    open_tasks = await engine.run("select id from task where outcome is null")
    assert not open_tasks
    gates = await engine.run("select key, used, waiting from gate where not one_shot")
    assert {gate.key: (gate.used, gate.waiting) for gate in gates} == dict.fromkeys(_GATES, (0, 0))
    ends = await engine.run(
        "select t.id, count(e.id) filter (where e.type in ('task.completed', 'task.failed',"
        " 'task.dead', 'task.cancelled')) as ends,"
        " count(e.id) filter (where e.type = 'task.redriven') as lives"
        " from task t join event e on e.subject = t.id group by t.id"
    )
    assert len(ends) == len(ids)
    wrong = [row for row in ends if row.ends != row.lives + 1]
    assert not wrong, wrong[:3]
