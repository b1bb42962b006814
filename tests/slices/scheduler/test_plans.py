"""The hot path reads by index whatever the tables hold, and says so to PostgreSQL's statistics."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from podium.limits.gate import LimitGate
from podium.scheduler import store, upkeep
from podium.scheduler.model import Claimed, Progress, Settlement, SubmitCall
from podium.storage.database import Database
from slices.scheduler.engine import Engine
from slices.scheduler.rules import lay_down, limit

_TABLES = (
    "task", "ready", "running", "timer", "blocked", "wait", "need", "gate", "dependency",
    "attempt", "expiry", "idempotency", "agent", "lane", "queue", "task_limit", "spent", "turn",
)  # fmt: skip
_SCANS = """
select relname, seq_scan, (select sum(idx_tup_read)::int from pg_stat_user_indexes i
                            where i.relid = t.relid) as read
  from pg_stat_user_tables t where relname = any ($1)
"""


async def _statistics(engine: Engine) -> Mapping[str, tuple[int, int]]:
    """Sequential scans of each hot table, and entries read of its indexes."""
    url = engine.database.engine.url.render_as_string(hide_password=False)
    await engine.database.engine.dispose()  # sessions report when they end
    observer = Database(url, pool_size=1)
    try:
        while await observer.call(
            "select 1 from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid() and backend_type = 'client backend'"
        ):
            await asyncio.sleep(0.01)
        rows = await observer.call(_SCANS, _TABLES)
    finally:
        await observer.close()
    return {row["relname"]: (row["seq_scan"], row["read"]) for row in rows}


async def _fill(engine: Engine) -> list[UUID]:
    """200,000 ready tasks in four lanes that 1,000 limited agents may serve."""
    await engine.run(
        "insert into agent (id, project_id, name, runtime, capabilities, max_concurrency)"
        " select gen_random_uuid(), :project, 'a' || n, 'function',"
        "        array['all', 'c' || n % 4], 5 from generate_series(1, 1000) n",
        project=engine.project,
    )
    lanes = [(await engine.task(capabilities=(f"c{n}",))).lane_id for n in range(3)]
    lanes.append((await engine.task(capabilities=("all",))).lane_id)
    await engine.run(
        "insert into ready (lane_id, priority, task_id)"
        " select (cast(:lanes as int[]))[1 + n % 4], n % 3, gen_random_uuid()"
        "   from generate_series(1, 200000) n",
        lanes=lanes,
    )
    await engine.run(
        "insert into task (id, project_id, lane_id, priority, title, input, created_by)"
        " select task_id, :project, lane_id, priority, 't', 'null', 't' from ready",
        project=engine.project,
    )
    return [row.id for row in await engine.run("select id from agent")]


async def test_a_claim_reads_little_of_much(database: Database) -> None:
    """Plans are made while the tables are empty, and must do when they are full."""
    engine = await Engine.create(database)
    worker = await engine.worker()
    await engine.submit()
    await engine.run_all(worker)
    agents = await _fill(engine)
    assert len(agents) == 1001
    before = await _statistics(engine)
    taken = 0
    for _ in range(10):
        claimed = await engine.claim(worker, 50)
        taken += len(claimed)
        await engine.succeed(worker, *claimed[:25])
    assert taken == 500
    after = await _statistics(engine)
    assert {name: after[name][0] - before[name][0] for name in after} == dict.fromkeys(after, 0)
    read = {name: after[name][1] - before[name][1] for name in after}
    assert read["ready"] < 10_000, read  # of 200,000
    assert read["task"] < 10_000, read


async def _use_everything(engine: Engine) -> None:
    """Calls every function of the scheduler, each with something to do."""
    worker = await engine.worker()
    await engine.set_gates(g=2)
    root = await engine.task()
    fan = [await engine.task(after=[root.id], needs={"g": 1}, priority=1) for _ in range(5)]
    later = await engine.task(start_at=datetime.now(UTC) + timedelta(minutes=5))
    late = await engine.task(queue_timeout=0.001, after=[later.id])
    await engine.scheduler.submit(SubmitCall([root, *fan, later, late]))
    for how in ("retry", "released", "parked", "succeeded", "failed", "succeeded"):
        [claimed] = await engine.claim(worker, 1)
        said = Progress(claimed.task_id, claimed.attempt, 0.1, "")
        await engine.scheduler.progress(worker, [said])
        assert await engine.settle(worker, claimed, how, park_key="s")
        await upkeep.fire_timers(engine.database, 100)
        await engine.signal("s")
    assert await upkeep.expire_tasks(engine.database, 100) == 1
    async with engine.database.transaction() as conn:
        await store.reprioritise(conn, [fan[4].id], 4)
        assert await store.hold_waiting(conn, fan[4].id)
    ids = [root.id, *(task.id for task in fan), later.id]
    await engine.cancel(*ids)
    await engine.retry(*ids)
    assert await engine.claim(worker, 1)
    assert await store.renew(engine.database, worker, 60)
    await engine.die(worker)
    await engine.cancel(*ids)
    await engine.submit_keyed(str(worker), b"1")
    await _use_limits(engine)
    await _use_turns(engine)
    await engine.run_all(await engine.worker())


async def _use_limits(engine: Engine) -> None:
    worker = await engine.worker()
    await limit(engine, "k:*", concurrency=1)
    await limit(engine, "r", concurrency=5, count=1, seconds=0.001, burst=1)
    queue = str(worker)  # without a concurrency, for which all that runs is read
    await lay_down(engine, queue, rate_count=1, rate_seconds=0.001, rate_burst=2)
    await engine.submit_many(4, limits=["k:1", "r"], queue=queue)
    while await engine.run_all(worker):
        await asyncio.sleep(0.002)
        await upkeep.refill_queues(engine.database)
        await upkeep.serve_refilled(engine.database, 10)
    await limit(engine, "r", concurrency=5)
    await upkeep.forget_limits(engine.database)


async def _use_turns(engine: Engine) -> None:
    worker, skill = await engine.worker(), str(len(engine.agents))
    for name in "xyz":
        await engine.add_agent(name + skill, capabilities=[skill], weight=2)
    for queue, distribution in ((f"t{skill}", "round_robin"), (f"w{skill}", "weighted")):
        await lay_down(engine, queue, distribution=distribution)
        await engine.submit_many(20, agent=None, capabilities=(skill,), queue=queue)
    while await engine.run_all(worker):
        pass


async def test_nothing_on_the_hot_path_scans_a_table(database: Database) -> None:
    """Not even small tables: a plan that is made while they are empty lives long."""
    engine = await Engine.create(database, gates=[LimitGate()])
    await _use_everything(engine)
    before = await _statistics(engine)
    for _ in range(3):
        await engine.run("analyze")  # as happens by itself: now they are known to be small
        await _use_everything(engine)
    after = await _statistics(engine)
    scanned = {name: after[name][0] - before[name][0] for name in after}
    # A rate that is changed and the hourly chore read all needs, once.
    assert scanned == dict.fromkeys(after, 0) | {"need": 3 * 2}
    assert all(after[name][1] > before[name][1] for name in ("task", "ready", "running", "wait"))


async def test_timers_are_fired_without_a_look_at_all_that_are_due(database: Database) -> None:
    engine = await Engine.create(database)
    await engine.submit(start_at=datetime.now(UTC) + timedelta(minutes=5))
    assert await engine.fire() == 1
    lane = (await engine.task()).lane_id
    await engine.run(
        "insert into timer (task_id, fires_at, reason, lane_id, priority)"
        " select gen_random_uuid(), now() - n * interval '1 s', 'delay', :lane, 0"
        "   from generate_series(1, 20000) n",
        lane=lane,
    )
    before = await _statistics(engine)
    for _ in range(5):
        assert await upkeep.fire_timers(database, 20) == 20
    after = await _statistics(engine)
    assert after["timer"][1] - before["timer"][1] < 1000  # of 20,000


async def test_gated_timers_among_those_due_are_fired(engine: Engine, worker: UUID) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    await engine.submit_many(5, start_at=soon)
    gated = await engine.submit(start_at=soon, needs={"g": 1})
    await engine.set_gates(g=1)
    assert await engine.fire() == 6
    assert gated in await engine.claim_ids(worker)


async def _fan_out(engine: Engine, worker: UUID, width: int) -> None:
    """One task, many after it, one after them all; a third of these fail and are tried once more,
    as are those of a worker that dies and those that are cancelled."""
    root = await engine.task()
    fan = [
        await engine.task(after=[root.id], needs={"g": 1} if n % 2 else None) for n in range(width)
    ]
    join = await engine.task(after=[one.id for one in fan], queue_timeout=600)
    doomed = [await engine.task(after=[join.id], needs={"g": 1}) for _ in range(width)]
    later = [await engine.task(after=[join.id], on_failure="run") for _ in range(width)]
    await engine.set_gates(g=width)
    await engine.scheduler.submit(SubmitCall([root, *fan, join, *doomed, *later]))
    await engine.run_one(worker)
    mortal = await engine.worker()
    assert len(await engine.claim(mortal, width)) == width
    await engine.die(mortal)
    claimed = await engine.claim(worker, width)
    assert len(claimed) == width
    third = width // 3
    for one in claimed[:third]:
        await engine.settle(worker, one, "retry", delay=0)
    await engine.fire()
    failed = await engine.claim(worker, width)
    assert len(failed) == third
    assert len(await engine.scheduler.settle(worker, [_failed(one) for one in failed])) == third
    assert await engine.state(join.id) == "cancelled"
    await engine.succeed(worker, *claimed[third:])
    assert await engine.run_all(worker) == width  # those that run whatever became of the join
    again = [join.id, *(one.task_id for one in failed)]
    assert len(await engine.retry(*again)) == third + 1
    await engine.cancel(*again)
    assert len(await engine.retry(*again)) == third + 1
    assert await engine.run_all(worker) == third + 1


def _failed(claimed: Claimed) -> Settlement:
    return Settlement(claimed.task_id, claimed.attempt, "failed", error="{}")


@pytest.mark.parametrize("emptied", [False, True])
async def test_work_grows_with_the_tasks_whatever_statistics_say(
    database: Database, *, emptied: bool
) -> None:
    """Tables are empty now and then. What PostgreSQL notes of such a moment it believes for long:
    that to read all of a table is as good as to look a row up."""
    width = 300
    engine = await Engine.create(database)
    worker = await engine.worker(lease=600)
    await _fan_out(engine, worker, width)
    if emptied:
        await _note_that_all_is_empty(database)
    before = await _statistics(engine)
    await _fan_out(engine, worker, width)
    after = await _statistics(engine)
    read = {name: after[name][1] - before[name][1] for name in after}
    assert {name: rows for name, rows in read.items() if rows >= 100 * width} == {}
    assert after["blocked"][1] > before["blocked"][1]


async def _note_that_all_is_empty(database: Database) -> None:
    """Have PostgreSQL see tables with pages but no rows, as a vacuum may."""
    url = database.engine.url.render_as_string(hide_password=False).replace("+asyncpg", "")
    conn = await asyncpg.connect(url)
    for name in set(_TABLES) - {"agent", "lane"}:
        await conn.execute(f"create temporary table kept as table {name}; delete from {name}")
        await conn.execute(f"vacuum (analyze, truncate off) {name}")
        await conn.execute(f"insert into {name} table kept; drop table kept")
    await conn.close()
