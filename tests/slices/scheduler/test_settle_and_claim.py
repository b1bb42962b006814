"""A worker's ends and its next claim in one transaction."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import text

from podium.scheduler import store
from podium.scheduler.model import Claimed, Settlement
from slices.scheduler.engine import Engine


def _succeeded(one: Claimed) -> Settlement:
    return Settlement(one.task_id, one.attempt, "succeeded", output="1")


async def test_gives_what_became_ready_by_it(engine: Engine, worker: UUID) -> None:
    first = await engine.submit()
    second = await engine.submit(after=[first])
    third = await engine.submit(after=[second])
    [claimed] = await engine.claim(worker)
    for one, after in ((first, second), (second, third)):
        before = claimed
        outcomes, [claimed], leaves = await engine.scheduler.settle_and_claim(
            worker, [_succeeded(before)], 10, 10
        )
        assert (outcomes, claimed.task_id, leaves) == ({one: "succeeded"}, after, False)
        [seen] = await engine.run("select xmin from running where task_id = :id", id=after)
        [ended] = await engine.run("select xmin from task where id = :id", id=one)
        assert seen.xmin == ended.xmin
    outcomes, none, _ = await engine.scheduler.settle_and_claim(
        worker, [_succeeded(claimed)], 10, 10
    )
    assert (outcomes, none) == ({third: "succeeded"}, [])


async def test_takes_no_more_than_there_is_room_for(engine: Engine, worker: UUID) -> None:
    first = await engine.submit()
    after = [await engine.submit(after=[first]) for _ in range(5)]
    [claimed] = await engine.claim(worker)
    _, some, leaves = await engine.scheduler.settle_and_claim(worker, [_succeeded(claimed)], 2, 10)
    assert ([one.task_id for one in some], leaves) == (after[:2], True)
    ends = [_succeeded(one) for one in some]
    _, rest, leaves = await engine.scheduler.settle_and_claim(worker, ends, 10, 10)
    assert ([one.task_id for one in rest], leaves) == (after[2:], False)


async def test_without_its_lease_a_worker_gets_nothing_and_its_end_counts_as_far_as_it_can(
    engine: Engine, worker: UUID
) -> None:
    first = await engine.submit()
    await engine.submit(after=[first])
    [claimed] = await engine.claim(worker)
    await engine.run("update worker set lease_until = now() - interval '1 s'")
    ends = [_succeeded(claimed)]
    assert await engine.scheduler.settle_and_claim(worker, ends, 10, 10) == (
        {first: "succeeded"},
        [],
        True,
    )
    assert await engine.scheduler.settle_and_claim(worker, ends, 10, 10) == ({}, [], True)


@asynccontextmanager
async def _under_way(engine: Engine, worker: UUID) -> AsyncGenerator["asyncio.Task[Any]"]:
    """A settlement that has written and waits until the block ends, for its task's dependent."""
    first = await engine.submit()
    await engine.submit(title="dependent", after=[first])
    [claimed] = await engine.claim(worker)
    async with engine.database.transaction() as conn:
        await conn.execute(text("select from blocked for update"))
        both = asyncio.create_task(
            engine.scheduler.settle_and_claim(worker, [_succeeded(claimed)], 10, 10)
        )
        while not await engine.run("select from pg_locks where not granted"):
            await asyncio.sleep(0.01)
        yield both


async def test_leaves_a_task_that_came_meanwhile_to_the_next_claim(
    engine: Engine, worker: UUID
) -> None:
    """Events are in the order of transactions: it would have started before it was accepted."""
    async with _under_way(engine, worker) as both:
        late = await engine.submit(priority=9)
    _, begun, leaves = await both
    assert ([one.title for one in begun], leaves) == (["dependent"], True)
    assert await engine.claim_ids(worker) == [late]
    assert await engine.events(late) == ["task.created", "task.started"]


async def test_leaves_a_task_that_was_edited_meanwhile_to_the_next_claim(
    engine: Engine, worker: UUID
) -> None:
    """Its row is older than the settlement; its agent is there only now, so nobody took it."""
    await engine.add_agent("later")
    await engine.run("update agent set enabled = false where name = 'later'")
    early = await engine.submit(agent="later")
    async with _under_way(engine, worker) as both:
        await engine.run("update agent set enabled = true")
        async with engine.database.transaction() as conn:
            assert await store.hold_waiting(conn, early)
    _, begun, _ = await both
    assert [one.title for one in begun] == ["dependent"]
    assert await engine.claim_ids(worker) == [early]


async def test_leaves_what_needs_slots_counted_to_the_next_claim(
    engine: Engine, worker: UUID
) -> None:
    """What ends meanwhile ends after it among events: more would seem to run than may."""
    await engine.add_agent("narrow", limit=1)
    other = await engine.worker()
    await engine.submit(agent="narrow")
    [running] = await engine.claim(other)
    waiting = await engine.submit(agent="narrow")
    async with _under_way(engine, worker) as both:
        assert await engine.settle(other, running, "succeeded")
    _, begun, leaves = await both
    assert (begun, leaves) == ([], True)
    assert waiting in await engine.claim_ids(worker)


async def test_waits_for_nobody_who_counts_slots(engine: Engine, worker: UUID) -> None:
    """Its lease may run out meanwhile: the claim would take the settlement back with it, and a
    reaper and the two of them wait for each other."""
    await engine.add_agent("narrow", limit=1)
    first = await engine.submit(agent="narrow")
    second = await engine.submit(agent="narrow", after=[first])
    [claimed] = await engine.claim(worker)
    async with engine.database.transaction() as conn, asyncio.timeout(10):
        await conn.execute(text("select pg_advisory_xact_lock(1886348393, 5)"))  # as a claim does
        outcomes, begun, _ = await engine.scheduler.settle_and_claim(
            worker, [_succeeded(claimed)], 10, 10
        )
    assert (outcomes, begun) == ({first: "succeeded"}, [])
    assert await engine.claim_ids(worker) == [second]
