"""How long one task of a small project waits behind another project's 1,000,000.

They are no-ops that are ready before the one worker starts; they are written by the
function that submits all tasks, and search has followed them. There are half a million more than
that, so that a million are left while it is measured. Then, while the worker is busy with
them and so is the machine, tasks of the other project come one at a time over HTTP, each a moment
after the one before has run. Both projects have the same weight.

The clock starts when the submission has been answered, and a task that runs by then counts as 0; it
stops when the task itself says that it runs. The time from before the submission is in ``details``.
A slot is soon free here, as no-ops end at once: where the tasks of the other project hold all slots
of a worker for minutes, another's waits for one of them like everybody.
"""

import asyncio
import random
import time
from statistics import median

from benchmarks.database import connected, rows
from benchmarks.figures import Figure, Target, percentile
from benchmarks.podium_client import MODULE
from benchmarks.podium_server import Server, podium
from benchmarks.processes import ProcessFailed
from benchmarks.session import Session

TASKS = 1_500_000
QUICK_TASKS = 20_000
LEFT = 1_000_000
STARTS = 300
LEAST_STARTS = 100
QUICK_STARTS = 10
GAP_SECONDS = (0.05, 0.15)
START_SECONDS = 30.0
SEARCH_SECONDS = 900.0
SETTLE_SECONDS = 2.0
SMALL = "small"
_CHUNK = 10_000
_PART = 25
_FILL = """
select submit_tasks(
           array_agg(n.id), array_agg(t.project_id), array_agg(t.lane_id), array_agg(t.priority),
           array_agg(t.title), array_agg(t.labels::text), array_agg(t.input::text),
           array_agg(t.spec::text), array_agg(null::timestamptz), array_agg(null::float8),
           array_agg(null::timestamptz), array_agg('cancel'::text), array_agg(t.created_by),
           '{}', '{}', '{}', '{}', '{}', '{}')
  from task t
 cross join (
       select (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
               || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || right(md5(n::text), 15))::uuid
         from generate_series($2::int, $3::int) n) n (id)
 where t.id = $1
"""
_UNINDEXED = """
select exists (select from event e, search_place p
                where (e.epoch, e.xid, e.id) > (p.epoch, p.xid, p.id)) as behind
"""
_READY = "select count(*) as number from ready"


async def run(session: Session) -> list[Figure]:
    """Milliseconds: the median and the 99th percentile."""
    middle = Figure("small_project", "ms", "lower", Target(100))
    worst = Figure("small_project_p99", "ms", "lower", Target(100))
    async with podium(session, workers=0) as server:
        await _add_small_project(server)
        await _fill(session, server, QUICK_TASKS if session.quick else TASKS)
        await server.start_worker()
        await asyncio.sleep(0 if session.quick else SETTLE_SECONDS)
        session.tell("small_project: starts")
        before = await _ready(server)
        if session.quick:
            accepted, called = await _starts(server, QUICK_STARTS, 0)
        else:
            accepted, called = await _starts(server, STARTS, LEFT)
        after = await _ready(server)
    if not session.quick and len(accepted) < LEAST_STARTS:
        raise ProcessFailed(f"only {len(accepted)} tasks started before {LEFT:,} others were left")
    middle.rounds = [{"podium": median(accepted)}]
    worst.rounds = [{"podium": percentile(accepted, 0.99)}]
    middle.details = {
        "with_submission_ms": round(median(called), 2),
        "with_submission_p99_ms": round(percentile(called, 0.99), 2),
        "starts": len(accepted),
        "ready_before": before,
        "ready_after": after,
    }
    return [middle, worst]


async def _add_small_project(server: Server) -> None:
    connection = await server.connect()
    await connection.post("projects", {"name": SMALL})
    config = {"function": f"{MODULE}:stamped"}
    agent = {"name": "stamped", "runtime": "function", "config": config}
    await connection.post(f"agents?project={SMALL}", agent)
    await connection.close()


async def _fill(session: Session, server: Server, count: int) -> None:
    """Make so many tasks ready, alike the first, which is submitted as all are."""
    connection = await server.connect()
    first = await connection.post("tasks", {"agent": "noop", "input": 1})
    await connection.close()
    async with connected(server.database_url) as database:
        for start in range(2, count + 1, _CHUNK):
            session.tell(f"small_project: submitting, {start - 1:,} of {count:,}")
            end = min(start + _CHUNK - 1, count)
            await database.execute(_FILL, first["id"], start, end)
        session.tell("small_project: search follows")
        deadline = time.monotonic() + SEARCH_SECONDS
        while await database.fetchval(_UNINDEXED):
            if time.monotonic() > deadline:
                raise ProcessFailed("search did not follow the tasks")
            await asyncio.sleep(0.2)
        await database.execute("checkpoint")
    if (ready := await _ready(server)) != count:
        raise ProcessFailed(f"{ready:,} tasks are ready instead of {count:,}")


async def _ready(server: Server) -> int:
    [found] = await rows(server.database_url, _READY)
    return found["number"]


async def _starts(server: Server, most: int, left: int) -> tuple[list[float], list[float]]:
    """Milliseconds to each start, from the answer to the submission and from before it, until so
    few others are left."""
    accepted: list[float] = []
    called: list[float] = []
    connection = await server.connect()
    for place in range(most):
        if place % _PART == 0 and await _ready(server) < left:
            break
        await asyncio.sleep(random.uniform(*GAP_SECONDS))
        key = f"small-{place}"
        before = time.monotonic()
        await connection.post(f"tasks?project={SMALL}", {"agent": "stamped", "input": key})
        after = time.monotonic()
        moment = await server.stamps.wait(key, START_SECONDS)
        accepted.append(max(0.0, moment - after) * 1000)
        called.append((moment - before) * 1000)
    await connection.close()
    return accepted, called
