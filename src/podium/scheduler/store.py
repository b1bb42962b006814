"""Calls of the scheduler's SQL functions (``sql/``), which take and give whole batches."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import NewEvent
from podium.scheduler.model import (
    CallKey,
    Claimed,
    Demand,
    Held,
    NewTask,
    Progress,
    Settlement,
    SubmitCall,
    WorkerIdentity,
)
from podium.scheduler.tables import gate, lane, running, worker
from podium.storage.database import Database, call_in

_SUBMIT = (
    "select now() as at,"
    " submit_tasks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"
)
_REMEMBER = "select * from remember_calls($1, $2, $3, $4, $5)"
_CLAIM = "select * from claim_tasks($1, $2, $3)"
_SETTLE = "select * from settle_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_PROGRESS = "select report_progress($1, $2, $3, $4, $5)"
_MADE_BEFORE = (
    "select i.task_ids from unnest($2::text[], $3::bytea[]) with ordinality as c (key, hash, place)"
    " join idempotency i on i.project_id = $1 and i.key = c.key and i.request_hash = c.hash"
    " where i.expires_at > now() order by c.place"
)
_FORGET_CALLS = (
    "with gone as (delete from idempotency where ctid = any (array("
    "  select ctid from idempotency where expires_at < now() order by expires_at limit $1))"
    " returning 1) select count(*) as n from gone"
)
_FORGET_WORKERS = (
    "delete from worker w where w.state in ('stopped', 'dead')"
    " and w.lease_until < now() - make_interval(days => $1)"
    " and not exists (select from running r where r.worker_id = w.id)"
)
_FORGET_AT_ONCE = 5000


def _submit_arguments(tasks: Sequence[NewTask]) -> tuple[Any, ...]:
    edges = [(task.id, edge) for task in tasks for edge in task.dependencies]
    needs = [(task.id, need) for task in tasks for need in task.needs]
    return (
        [task.id for task in tasks],
        [task.project_id for task in tasks],
        [task.lane_id for task in tasks],
        [task.priority for task in tasks],
        [task.title for task in tasks],
        [task.labels for task in tasks],
        [task.input for task in tasks],
        [_spec(task) for task in tasks],
        [task.start_at for task in tasks],
        [task.queue_timeout for task in tasks],
        [task.on_dependency_failure for task in tasks],
        [task.created_by for task in tasks],
        [task_id for task_id, _ in edges],
        [edge.depends_on for _, edge in edges],
        [edge.name for _, edge in edges],
        [task_id for task_id, _ in needs],
        [need.gate for _, need in needs],
        [need.units for _, need in needs],
    )


def _spec(task: NewTask) -> str:
    """What the task is, with its needs: a task that gets another life has them again."""
    if not task.needs:
        return task.spec
    needs = [{"gate": need.gate, "units": need.units} for need in task.needs]
    return orjson.dumps({**orjson.loads(task.spec), "needs": needs}).decode()


async def submit(database: Database, tasks: Sequence[NewTask]) -> datetime:
    """Accept tasks in a transaction of their own; gives the time that they carry."""
    return (await database.call(_SUBMIT, *_submit_arguments(tasks)))[0]["at"]


async def submit_in(conn: AsyncConnection, tasks: Sequence[NewTask]) -> datetime:
    """Accept tasks in the caller's transaction; gives the time that they carry."""
    return (await call_in(conn, _SUBMIT, *_submit_arguments(tasks)))[0]["at"]


async def remember_calls(
    conn: AsyncConnection, calls: Sequence[SubmitCall], hours: float
) -> Mapping[tuple[UUID, str], tuple[bytes, list[UUID]]]:
    """Record keyed calls; gives hash and task ids of those that were made before."""
    keys = [call.key for call in calls if call.key]
    made = ["{" + ",".join(str(task.id) for task in call.tasks) + "}" for call in calls]
    rows = await call_in(
        conn,
        _REMEMBER,
        [key.project_id for key in keys],
        [key.key for key in keys],
        [key.request_hash for key in keys],
        made,
        hours,
    )
    return {(row["project_id"], row["key"]): (row["request_hash"], row["task_ids"]) for row in rows}


async def made_before(database: Database, keys: Sequence[CallKey]) -> list[list[UUID]]:
    """The task ids of those calls of one project that were made before, in the order given."""
    rows = await database.call(
        _MADE_BEFORE,
        keys[0].project_id,
        [key.key for key in keys],
        [key.request_hash for key in keys],
    )
    return [row["task_ids"] for row in rows]


async def claim(database: Database, worker_id: UUID, most: int, processes: int) -> list[Claimed]:
    """Take up to ``most`` tasks that may start now, up to ``processes`` of them as processes."""
    return [Claimed(*row) for row in await database.call(_CLAIM, worker_id, most, processes)]


async def settle(
    database: Database, worker_id: UUID, ends: Sequence[Settlement]
) -> tuple[dict[UUID, str], int]:
    """End attempts; gives the outcome of each report that counted, and how many it readied."""
    rows = await database.call(
        _SETTLE,
        worker_id,
        [end.task_id for end in ends],
        [end.attempt for end in ends],
        [end.how for end in ends],
        [end.output for end in ends],
        [end.error for end in ends],
        [end.delay for end in ends],
        [end.park_key for end in ends],
        [end.usage for end in ends],
    )
    return {row["task_id"]: row["outcome"] for row in rows}, rows[0]["readied"] if rows else 0


async def progress(database: Database, worker_id: UUID, said: Sequence[Progress]) -> None:
    """Keep what attempts said of their progress, with one event each."""
    await database.call(
        _PROGRESS,
        worker_id,
        [item.task_id for item in said],
        [item.attempt for item in said],
        [item.fraction for item in said],
        [item.note for item in said],
    )


async def ensure_lane(conn: AsyncConnection, demand: Demand) -> int:
    """The lane of this demand; made when it is new."""
    values = {
        "project_id": demand.project_id,
        "queue": demand.queue,
        "agent_id": demand.agent_id,
        "capabilities": list(demand.capabilities),
    }
    await conn.execute(insert(lane).values(values).on_conflict_do_nothing())
    found = sa.select(lane.c.id).where(
        lane.c.project_id == demand.project_id,
        lane.c.queue == demand.queue,
        lane.c.agent_id.is_not_distinct_from(demand.agent_id),
        lane.c.capabilities == list(demand.capabilities),
    )
    return (await conn.execute(found)).scalar_one()


async def cancel(
    conn: AsyncConnection, ids: Sequence[UUID], who: str, reason: str
) -> list[tuple[UUID, str, UUID | None]]:
    """What became of each task: cancelled, cancelling (and on which worker), or ended."""
    rows = await call_in(conn, "select * from cancel_tasks($1, $2, $3)", list(ids), who, reason)
    return [(row["task_id"], row["result"], row["worker_id"]) for row in rows]


async def retry(conn: AsyncConnection, ids: Sequence[UUID], who: str) -> list[UUID]:
    """Give ended tasks another life; gives those that had one coming."""
    rows = await call_in(conn, "select retry_tasks($1, $2) as id", list(ids), who)
    return [row["id"] for row in rows]


async def hold_waiting(conn: AsyncConnection, task_id: UUID) -> bool:
    """Hold a task that waits to begin still until the transaction ends.

    False when it is parked, runs or has ended. Must come before anything else that
    the transaction locks.
    """
    rows = await call_in(conn, "select hold_waiting($1) as held", task_id)
    return rows[0]["held"]


async def reprioritise(conn: AsyncConnection, task_id: UUID, priority: int) -> None:
    await call_in(conn, "select reprioritise($1, $2)", task_id, priority)


async def expire_in(conn: AsyncConnection, task_id: UUID, seconds: float | None) -> None:
    """Set how long from now a task may still wait to start; None takes the limit away."""
    await call_in(conn, "delete from expiry where task_id = $1", task_id)
    if seconds is not None:
        await call_in(
            conn,
            "insert into expiry (task_id, expires_at)"
            " values ($1, clock_timestamp() + make_interval(secs => $2))",
            task_id,
            seconds,
        )


async def set_capacity(conn: AsyncConnection, capacities: Mapping[str, int]) -> None:
    keys = sorted(capacities)
    await call_in(conn, "select set_gate($1, $2)", keys, [capacities[key] for key in keys])


async def signal(conn: AsyncConnection, keys: Sequence[str]) -> None:
    await call_in(conn, "select signal_gates($1)", list(keys))


async def gates(conn: AsyncConnection, keys: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """(capacity, used, waiting) of these gates."""
    query = sa.select(gate.c.key, gate.c.capacity, gate.c.used, gate.c.waiting)
    rows = await conn.execute(query.where(gate.c.key.in_(keys)))
    return {row.key: (row.capacity, row.used, row.waiting) for row in rows}


async def register(conn: AsyncConnection, who: WorkerIdentity, lease_seconds: float) -> None:
    """Begin a worker's lease."""
    await conn.execute(
        sa.insert(worker).values(
            id=who.id,
            name=who.name,
            host=who.host,
            pid=who.pid,
            version=who.version,
            concurrency=who.concurrency,
            processes=who.processes,
            queues=list(who.queues),
            runtimes=list(who.runtimes),
            confinement=who.confinement,
            lease_until=sa.func.clock_timestamp()
            + sa.func.make_interval(0, 0, 0, 0, 0, 0, lease_seconds),
        )
    )
    data = {"name": who.name, "host": who.host}
    await events.append(conn, [NewEvent("worker.started", who.id, data=data)])


async def set_worker_state(conn: AsyncConnection, worker_id: UUID, state: str) -> bool:
    """Move a live worker to draining or stopped; False when it may not be."""
    # A claim under way holds the row: what it took must be seen below.
    await conn.execute(sa.select(worker.c.id).where(worker.c.id == worker_id).with_for_update())
    changed = (
        sa.update(worker)
        .where(
            worker.c.id == worker_id,
            worker.c.state.in_(("active", "draining")),
            # One that still holds attempts must be reaped, so it may not just stop.
            sa.or_(
                sa.literal(state) != "stopped",
                ~sa.exists().where(running.c.worker_id == worker_id),
            ),
        )
        .values(state=state)
        .returning(worker.c.name, worker.c.host)
    )
    row = (await conn.execute(changed)).one_or_none()
    if row and state == "stopped":
        data = {"name": row.name, "host": row.host}
        await events.append(conn, [NewEvent("worker.stopped", worker_id, data=data)])
    return row is not None


async def renew(database: Database, worker_id: UUID, seconds: float) -> list[Held]:
    """Renew a lease; gives all attempts that the worker is believed to run."""
    rows = await database.call("select * from renew_lease($1, $2)", worker_id, seconds)
    return [Held(*row) for row in rows]


async def accuse(
    database: Database, worker_id: UUID, task_id: UUID, attempt: int, at: str, within: float
) -> None:
    """Note which attempt keeps a worker from renewing its lease, and ``at`` what; the next renewal
    takes it back. One that has more than ``within`` seconds of its lease was renewed just now."""
    await database.call(
        "update worker set blocked_by = jsonb_build_object("
        "'task_id', $2::uuid, 'attempt', $3::int, 'at', $4::text)"
        " where id = $1 and lease_until < clock_timestamp() + make_interval(secs => $5)",
        worker_id,
        task_id,
        attempt,
        at,
        within,
    )


async def now(database: Database) -> datetime:
    """The database's time."""
    return (await database.call("select clock_timestamp() as now"))[0]["now"]


async def reap(
    database: Database, max_losses: int, seen: datetime, seconds: float
) -> list[tuple[UUID, int]]:
    """Take back the tasks of workers whose lease ran out; gives (worker, tasks).

    Does nothing when it begins more than ``seconds`` after the database was ``seen``: the leases
    may have run out while it stood still, and their workers are about to renew them.
    """
    rows = await database.call(
        "select * from reap_workers($1, case when clock_timestamp() <"
        " $2::timestamptz + make_interval(secs => $3) then 100 else 0 end)",
        max_losses,
        seen,
        seconds,
    )
    return [(row["worker_id"], row["tasks"]) for row in rows]


async def fire_timers(database: Database, most: int) -> int:
    return (await database.call("select fire_timers($1) as n", most))[0]["n"]


async def expire_tasks(database: Database, most: int) -> int:
    return (await database.call("select expire_tasks($1) as n", most))[0]["n"]


async def next_due(database: Database) -> float | None:
    """Seconds until the next timer or queue timeout; None when there is none."""
    rows = await database.call(
        "select extract(epoch from least((select min(fires_at) from timer),"
        " (select min(expires_at) from expiry)) - clock_timestamp())::float8 as due"
    )
    return rows[0]["due"]


async def lead(database: Database, role: str, who: UUID, seconds: float) -> bool:
    """Whether this process is the one that plays the role for the next seconds."""
    rows = await database.call(
        # Most who ask are not elected: that costs them no write.
        "select case when exists (select from leader where role = $1 and holder <> $2"
        " and until > clock_timestamp()) then false else take_lead($1, $2, $3) end as mine",
        role,
        who,
        seconds,
    )
    return rows[0]["mine"]


async def resign(database: Database, who: UUID) -> None:
    """Give up all roles."""
    await database.call("delete from leader where holder = $1", who)


async def forget_calls(database: Database) -> None:
    """Drop idempotency keys whose time is over, so many in each transaction."""
    while (await database.call(_FORGET_CALLS, _FORGET_AT_ONCE))[0]["n"] == _FORGET_AT_ONCE:
        continue


async def forget_workers(database: Database, days: int) -> None:
    """Drop workers that ended so long ago."""
    await database.call(_FORGET_WORKERS, days)


async def bound_queues(database: Database) -> list[str]:
    """Queues with ready tasks that a live worker is bound to."""
    rows = await database.call("select bound_queues() as queue")
    return [row["queue"] for row in rows]
