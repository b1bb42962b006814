"""Tasks that wait for tasks: open, succeeded, failed ones, in chains, diamonds, fans and races."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.errors import NotFound
from podium.kernel.ids import uuid7
from podium.scheduler.model import DependencyPolicy, SubmitCall
from podium.storage.database import call_in
from slices.scheduler.engine import Engine

_SUCCEED = (
    "select * from settle_attempts($1, $2, $3, '{succeeded}', '{1}', '{null}', '{null}', '{null}',"
    " '{null}')"
)


async def test_a_dependent_waits_until_its_dependency_succeeds(
    engine: Engine, worker: UUID
) -> None:
    first = await engine.submit()
    second = await engine.submit(after=[first])
    assert await engine.state(second) == "blocked"
    assert await engine.run_one(worker) == first
    assert await engine.state(second) == "ready"
    assert await engine.run_one(worker) == second
    assert await engine.events(second) == [
        "task.created",
        "task.queued",
        "task.started",
        "task.completed",
    ]


async def test_a_dependency_that_succeeded_before_holds_nothing_back(
    engine: Engine, worker: UUID
) -> None:
    first = await engine.submit()
    await engine.run_one(worker)
    second = await engine.submit(after=[first])
    assert await engine.state(second) == "ready"
    assert await engine.events(second) == ["task.created"]


@pytest.mark.parametrize("end", ["failed", "dead", "cancelled"])
@pytest.mark.parametrize(
    ("policy", "state"), [("cancel", "cancelled"), ("run", "ready"), ("hold", "blocked")]
)
async def test_a_failed_dependency_does_what_each_dependent_chose(
    engine: Engine, worker: UUID, policy: DependencyPolicy, state: str, end: str
) -> None:
    first = await engine.submit()
    before = await engine.submit(after=[first], on_failure=policy)
    await engine.run_one(worker, end)
    after = await engine.submit(after=[first], on_failure=policy)
    assert await engine.states(before, after) == [state, state]
    if policy == "cancel":
        assert (await engine.error(before))["code"] == "dependency_failed"
        assert (await engine.error(after))["code"] == "dependency_failed"


async def test_a_failed_dependency_cancels_though_others_are_open(
    engine: Engine, worker: UUID
) -> None:
    first, second = await engine.submit(), await engine.submit()
    both = await engine.submit(after=[first, second])
    tolerant = await engine.submit(after=[first, second], on_failure="run")
    assert await engine.run_one(worker, "failed") == first
    assert await engine.states(both, tolerant) == ["cancelled", "blocked"]
    assert await engine.run_one(worker) == second
    assert await engine.states(both, tolerant) == ["cancelled", "ready"]


async def test_what_a_failed_dependency_cancels_names_it(engine: Engine, worker: UUID) -> None:
    first, second = await engine.submit(title="one"), await engine.submit(title="two")
    of_first = await engine.submit(after=[first], title="child")
    of_second = await engine.submit(after=[second])
    grandchild = await engine.submit(after=[of_first])
    for claimed in await engine.claim(worker):
        await engine.settle(worker, claimed, "failed")
    for task, cause, title in (
        (of_first, first, "one"),
        (of_second, second, "two"),
        (grandchild, of_first, "child"),
    ):
        told = f"Task {cause} ({title}), which this one depends on, did not succeed."
        assert (await engine.error(task))["message"] == told
        [event] = await engine.run(
            "select data from event where subject = :id and type = 'task.cancelled'", id=task
        )
        assert event.data["error"]["message"] == told


async def test_a_diamond_joins_once(engine: Engine, worker: UUID) -> None:
    top = await engine.submit()
    left, right = await engine.submit(after=[top]), await engine.submit(after=[top])
    bottom = await engine.submit(after=[left, right])
    await engine.run_one(worker)
    await engine.succeed(worker, *await engine.claim(worker))  # both in one transaction
    assert await engine.states(left, right, bottom) == ["succeeded", "succeeded", "ready"]
    assert (await engine.events(bottom)).count("task.queued") == 1


async def test_a_graph_may_be_submitted_in_one_call(engine: Engine, worker: UUID) -> None:
    top = await engine.task()
    left, right = await engine.task(after=[top.id]), await engine.task(after=[top.id])
    bottom = await engine.task(after=[left.id, right.id, top.id])
    await engine.scheduler.submit(SubmitCall([bottom, right, left, top]))
    assert await engine.state(bottom.id) == "blocked"
    assert await engine.run_all(worker) == 4


async def test_a_chain_of_five_hundred_runs_in_order(engine: Engine, worker: UUID) -> None:
    chain = [await engine.task()]
    for _ in range(499):
        chain.append(await engine.task(after=[chain[-1].id]))
    await engine.scheduler.submit(SubmitCall(chain))
    for task in chain[:20]:
        assert await engine.run_one(worker) == task.id
    await engine.cancel(chain[20].id)
    assert await engine.run_all(worker) == 0
    ends = await engine.run("select outcome, count(*) from task group by outcome")
    assert dict(tuple(row) for row in ends) == {"succeeded": 20, "cancelled": 480}


async def test_a_thousand_fan_out_and_join(engine: Engine, worker: UUID) -> None:
    root = await engine.task()
    fan = [await engine.task(after=[root.id]) for _ in range(1000)]
    join = await engine.task(after=[task.id for task in fan])
    await engine.scheduler.submit(SubmitCall([root, *fan, join]))
    assert await engine.run_all(worker) == 1002
    assert await engine.state(join.id) == "succeeded"


async def test_cancelling_a_root_cancels_all_that_wanted_it(engine: Engine, worker: UUID) -> None:
    root = await engine.submit()
    child = await engine.submit(after=[root])
    grandchild = await engine.submit(after=[child])
    tolerant = await engine.submit(after=[grandchild], on_failure="run")
    patient = await engine.submit(after=[grandchild], on_failure="hold")
    assert await engine.cancel(root) == {root: "cancelled"}
    found = await engine.states(root, child, grandchild, tolerant, patient)
    assert found == ["cancelled", "cancelled", "cancelled", "ready", "blocked"]
    assert (await engine.error(root))["code"] == "cancelled"
    assert (await engine.error(grandchild))["code"] == "dependency_failed"


async def test_new_tasks_after_a_failed_one_cascade_inside_their_call(
    engine: Engine, worker: UUID
) -> None:
    failed = await engine.submit()
    await engine.run_one(worker, "failed")
    child = await engine.task(after=[failed], queue_timeout=60, needs={"g": 1})
    grandchild = await engine.task(after=[child.id])
    tolerant = await engine.task(after=[child.id], on_failure="run")
    await engine.scheduler.submit(SubmitCall([child, grandchild, tolerant]))
    found = await engine.states(child.id, grandchild.id, tolerant.id)
    assert found == ["cancelled", "cancelled", "ready"]
    assert await engine.events(child.id) == ["task.created", "task.cancelled"]
    assert not await engine.run("select * from expiry")


async def test_a_delay_counts_beside_dependencies(engine: Engine, worker: UUID) -> None:
    first = await engine.submit()
    soon = datetime.now(UTC) + timedelta(minutes=5)
    later = await engine.submit(after=[first], start_at=soon)
    past = await engine.submit(after=[first], start_at=datetime.now(UTC) - timedelta(minutes=5))
    gated = await engine.submit(after=[first], start_at=soon, needs={"g": 1})
    assert await engine.states(later, past, gated) == ["blocked", "blocked", "blocked"]
    await engine.run_one(worker)
    assert await engine.states(later, past, gated) == ["timer", "ready", "timer"]
    await engine.fire()
    assert await engine.states(later, past, gated) == ["ready", "ready", "wait"]
    assert await engine.events(later) == ["task.created", "task.queued"]


async def test_a_dependency_that_does_not_exist_is_refused(engine: Engine) -> None:
    nobody = uuid7()
    task = await engine.task(after=[nobody])
    with pytest.raises(NotFound, match=str(nobody)):
        await engine.scheduler.submit(SubmitCall([await engine.task(), task]))
    assert not await engine.run("select * from task")
    assert not await engine.run("select * from event where type like 'task.%'")


async def test_a_dependency_of_another_project_is_refused(engine: Engine) -> None:
    other = await engine.add_project(uuid7(), "other")
    await engine.add_agent("theirs", project=other)
    theirs = await engine.submit(agent="theirs", project=other)
    with pytest.raises(NotFound, match=str(theirs)):
        await engine.submit(after=[theirs])
    assert len(await engine.run("select * from task")) == 1


async def test_a_bad_call_does_not_hurt_others_of_its_batch(engine: Engine) -> None:
    good = [await engine.task() for _ in range(10)]
    bad = await engine.task(after=[uuid7()])
    calls = [SubmitCall([task]) for task in (*good[:5], bad, *good[5:])]
    results = await asyncio.gather(
        *(engine.scheduler.submit(call) for call in calls), return_exceptions=True
    )
    assert [result for result in results if isinstance(result, BaseException)] == [results[5]]
    assert isinstance(results[5], NotFound)
    assert await engine.states(*(task.id for task in good)) == ["ready"] * 10


async def test_no_dependent_is_stranded_when_its_dependency_ends_meanwhile(
    engine: Engine, worker: UUID
) -> None:
    """Without a shared lock on the dependency this strands tasks within a few rounds."""
    for _ in range(25):
        roots = await engine.submit_many(4)
        claimed = await engine.claim(worker)
        dependents = [await engine.task(after=roots) for _ in range(4)]
        await asyncio.gather(
            *(engine.succeed(worker, one) for one in claimed),
            *(engine.scheduler.submit(SubmitCall([task])) for task in dependents),
        )
        assert await engine.run_all(worker) == 4


async def test_two_dependencies_that_end_at_once_release_once(engine: Engine) -> None:
    first, second = await engine.worker(), await engine.worker()
    for _ in range(25):
        roots = await engine.submit_many(2)
        [one], [two] = await engine.claim(first, 1), await engine.claim(second, 1)
        joined = await engine.submit_many(3, after=roots)
        await asyncio.gather(engine.succeed(first, one), engine.succeed(second, two))
        assert await engine.states(*joined) == ["ready"] * 3
        assert await engine.run_all(first) == 3


async def test_a_dependent_that_came_while_a_cascade_waited_is_not_stranded(
    engine: Engine, worker: UUID
) -> None:
    """The cascade looked before it came, and counts it down while another end does so too."""
    failing, other = await engine.submit(), await engine.submit()
    doomed = await engine.submit(after=[failing])
    claimed = {one.task_id: one for one in await engine.claim(worker)}
    async with _session(engine) as editor, _session(engine) as worker_two:
        assert (await call_in(editor, "select hold_waiting($1) as held", doomed))[0]["held"]
        cascade = asyncio.create_task(engine.settle(worker, claimed[failing], "failed"))
        await _until_it_holds_somebody_up(engine, editor)
        late = await engine.submit(after=[doomed, other], on_failure="run")
        await call_in(worker_two, _SUCCEED, worker, [other], [claimed[other].attempt])
        await editor.commit()
        await _until_it_holds_somebody_up(engine, worker_two)
        await worker_two.commit()
        assert await cascade
    assert await engine.states(doomed, late) == ["cancelled", "ready"]


@asynccontextmanager
async def _session(engine: Engine) -> AsyncGenerator[AsyncConnection]:
    """A transaction that is still to be committed."""
    async with engine.database.engine.connect() as conn:
        await conn.execute(text("select lock_events()"))
        yield conn


async def _until_it_holds_somebody_up(engine: Engine, conn: AsyncConnection) -> None:
    pid = (await call_in(conn, "select pg_backend_pid() as pid"))[0]["pid"]
    async with asyncio.timeout(10):
        while not await engine.database.call(
            "select from pg_stat_activity where $1 = any (pg_blocking_pids(pid))", pid
        ):
            await asyncio.sleep(0.01)


async def test_cascades_that_cross_each_other_end_all(engine: Engine) -> None:
    """Two failures whose dependents meet, one generation apart, in both directions."""
    first, second = await engine.worker(), await engine.worker()
    for _ in range(10):
        roots = await engine.submit_many(2)
        p, q = await engine.submit(after=[roots[0]]), await engine.submit(after=[roots[1]])
        y = await engine.submit(after=[p, roots[1]])
        z = await engine.submit(after=[q, roots[0]])
        [one], [two] = await engine.claim(first, 1), await engine.claim(second, 1)
        await asyncio.gather(
            engine.settle(first, one, "failed"), engine.settle(second, two, "failed")
        )
        assert await engine.states(p, q, y, z) == ["cancelled"] * 4
