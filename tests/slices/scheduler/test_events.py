"""Every transition writes one event of the right type, in the transaction of the change."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from podium.events.model import EventType
from podium.kernel.ids import uuid7
from podium.scheduler import store
from podium.scheduler.model import EVENTS
from slices.scheduler.engine import Engine

TYPES: dict[str, EventType] = {each.name: each for each in EVENTS}


async def _all(engine: Engine) -> list[Any]:
    return await engine.run("select * from event where type like 'task.%' order by xid, id")


async def _live_through_everything(engine: Engine, worker: UUID) -> None:
    """A story that meets every kind of event."""
    await engine.set_gates(g=1)
    first = await engine.submit(needs={"g": 1})
    second = await engine.submit(needs={"g": 1})
    await engine.submit(after=[second])
    await engine.run_one(worker, "retry", delay=60, error='{"code": "x"}')
    await engine.fire()
    await engine.run_one(worker, "parked", park_key="k")
    await engine.signal("k")
    await engine.run_one(worker, "released")
    await engine.run_one(worker, "failed", error='{"code": "x"}')
    await engine.retry(first, second)
    while claimed := await engine.claim(worker, 1):
        await engine.settle(worker, claimed[0], "dead", error='{"code": "x"}')
    await engine.retry(first)
    claimed = await engine.claim(worker)
    await engine.cancel(first)
    await engine.settle(worker, claimed[0], "cancelled")
    await engine.set_gates(room=1)
    await engine.submit(needs={"room": 1})
    await engine.switch("echo", "enabled = false")
    await engine.switch("echo", "enabled = true")
    await engine.submit()
    await engine.claim(worker)
    await engine.die(worker)
    await engine.run_all(await engine.worker())


async def test_every_event_is_declared_and_says_what_it_declares(
    engine: Engine, worker: UUID
) -> None:
    await _live_through_everything(engine, worker)
    rows = await _all(engine)
    by_others = {"task.progress", "task.updated", "task.deleted"}
    missing = set(TYPES) - {row.type for row in rows} - by_others
    assert {name for name in missing if name.startswith("task.")} == set()
    for row in rows:
        undeclared = set(row.data) - set(TYPES[row.type].data)
        assert not undeclared, (row.type, undeclared)
        assert row.project_id == engine.project
        assert row.version == 1


async def test_events_of_one_task_are_in_order(engine: Engine, worker: UUID) -> None:
    await _live_through_everything(engine, worker)
    rows = await _all(engine)
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    assert len({(row.epoch, row.xid, row.id) for row in rows}) == len(rows)


@pytest.mark.parametrize("act", ["cancel", "retry", "signal", "set_gate", "reprioritise"])
async def test_a_change_that_is_rolled_back_leaves_no_event(
    engine: Engine, worker: UUID, act: str
) -> None:
    failed = await engine.submit()
    await engine.run_one(worker, "failed")
    parked = await engine.submit()
    await engine.run_one(worker, "parked", park_key="k")
    waiting = await engine.submit(needs={"g": 1})
    before = await _all(engine)

    async def change() -> None:
        scheduler = engine.scheduler
        async with engine.database.transaction() as conn:
            match act:
                case "cancel":
                    assert await scheduler.cancel(conn, [waiting], "me", "no")
                case "retry":
                    assert await scheduler.retry(conn, [failed], "me")
                case "signal":
                    await scheduler.signal(conn, ["k"])
                case "set_gate":
                    await scheduler.set_capacity(conn, {"g": 1})
                case _:
                    await store.reprioritise(conn, [waiting], 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change()
    assert await _all(engine) == before
    assert await engine.states(failed, parked, waiting) == ["failed", "wait", "wait"]


async def test_a_refused_call_leaves_no_event(engine: Engine) -> None:
    with pytest.raises(Exception, match="does not exist"):
        await engine.submit(after=[uuid7()])
    assert await _all(engine) == []


async def test_the_state_at_creation_is_told(engine: Engine, worker: UUID) -> None:
    ready = await engine.submit(title="hello", priority=3)
    await engine.submit(after=[ready])
    await engine.submit(needs={"g": 1})
    rows = await _all(engine)
    assert rows[0].data == {"title": "hello", "priority": 3, "state": "queued"}
    assert rows[0].actor == "test"
    assert [row.data["state"] for row in rows] == ["queued", "pending", "pending"]


async def test_who_cancelled_and_who_retried_is_told(engine: Engine, worker: UUID) -> None:
    task = await engine.submit()
    child = await engine.submit(after=[task])
    await engine.claim(worker)
    await engine.cancel(task)
    await engine.die(worker)
    await engine.retry(task)
    actors = {(row.type, row.subject): row.actor for row in await _all(engine)}
    assert actors["task.cancelling", task] == "tester"
    assert actors["task.cancelled", task] == "tester"
    assert actors["task.cancelled", child] is None
    assert actors["task.redriven", task] == "tester"


async def test_a_task_that_comes_while_a_claim_waits_is_accepted_before_it_starts(
    engine: Engine, worker: UUID
) -> None:
    await engine.add_agent("narrow", limit=5)
    await engine.submit(agent="narrow")
    async with engine.database.transaction() as conn:
        await conn.execute(text("select pg_advisory_xact_lock(1886348393, 5)"))  # as a claim does
        claim = asyncio.create_task(engine.claim(worker))
        while not await engine.run("select from pg_locks where objid = 5 and not granted"):
            await asyncio.sleep(0.01)
        late = await engine.submit(agent="narrow")
    assert late in [one.task_id for one in await claim]
    assert await engine.events(late) == ["task.created", "task.started"]
