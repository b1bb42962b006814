"""Calls of the scheduler's SQL functions (``sql/``), which take and give whole batches."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import NewEvent
from podium.scheduler.model import (
    CallKey,
    Claimed,
    Claims,
    Demand,
    Held,
    NewTask,
    Progress,
    Settlement,
    SubmitCall,
    WorkerIdentity,
)
from podium.scheduler.tables import gate, running, worker
from podium.storage.database import Database, call_in

_SUBMIT = (
    "select now() as at, submit_tasks("
    "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
)
_REMEMBER = "select * from remember_calls($1, $2, $3, $4, $5)"
_CLAIM = "select * from claim_tasks($1, $2, $3)"
_SETTLE = "select * from settle_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_BOTH = "select * from settle_and_claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
_PROGRESS = "select report_progress($1, $2, $3, $4, $5)"
_MADE_BEFORE = (
    "select i.task_ids from unnest($2::text[], $3::bytea[]) with ordinality as c (key, hash, place)"
    " join idempotency i on i.project_id = $1 and i.key = c.key and i.request_hash = c.hash"
    " where i.expires_at > now() order by c.place"
)


def _submit_arguments(tasks: Sequence[NewTask]) -> tuple[Any, ...]:
    edges = [(place, edge) for place, task in enumerate(tasks, 1) for edge in task.dependencies]
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
        [task.deadline for task in tasks],
        [task.on_dependency_failure for task in tasks],
        [task.created_by for task in tasks],
        [place for place, _ in edges],
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


async def require_accepting(
    conn: AsyncConnection, lanes: Sequence[int], gates: Sequence[str]
) -> None:
    """Raise what a submit to these lanes and gates would: ``QueueDraining``, ``NotFound``."""
    await call_in(conn, "select require_open_queues($1), require_limits($2)", lanes, gates)


async def require_projects(conn: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Keep the projects until the transaction ends; raises ``NotFound`` for a deleted one."""
    await call_in(conn, "select require_projects($1)", ids)


async def made_before(database: Database, keys: Sequence[CallKey]) -> list[list[UUID]]:
    """The task ids of those calls of one project that were made before, in the order given."""
    rows = await database.call(
        _MADE_BEFORE,
        keys[0].project_id,
        [key.key for key in keys],
        [key.request_hash for key in keys],
    )
    return [row["task_ids"] for row in rows]


async def claim(database: Database, worker_id: UUID, most: int, processes: int) -> Claims:
    """Take up to ``most`` tasks that may start now, up to ``processes`` of them as processes."""
    rows = await database.call(_CLAIM, worker_id, most, processes)
    return _claims(rows, [Claimed(*row[:-2]) for row in rows])


async def settle(
    database: Database, worker_id: UUID, ends: Sequence[Settlement]
) -> tuple[dict[UUID, str], int]:
    """End attempts; gives the outcome of each report that counted, and how many it readied."""
    rows = await database.call(_SETTLE, worker_id, *_ends(ends))
    return {row["task_id"]: row["outcome"] for row in rows}, rows[0]["readied"] if rows else 0


async def settle_and_claim(
    database: Database, worker_id: UUID, ends: Sequence[Settlement], most: int, processes: int
) -> tuple[dict[UUID, str], int, Claims]:
    """What ``settle`` gives, then what ``claim`` gives, both done in one transaction."""
    rows = await database.call(_BOTH, worker_id, *_ends(ends), most, processes)
    ended = [row for row in rows if row["outcome"]]
    begun = rows[len(ended) :]
    outcomes = {row["task_id"]: row["outcome"] for row in ended}
    readied = ended[0]["readied"] if ended else 0
    return outcomes, readied, _claims(begun, [Claimed(*row[2:-2]) for row in begun])


def _claims(rows: Sequence[Any], tasks: list[Claimed]) -> Claims:
    """Every row says the same of all of them; none can say that nothing is left."""
    if not rows:
        return Claims([], leaves=True, rated=False)
    return Claims(tasks, rows[-1]["leaves"], rows[-1]["rated"])


def _ends(ends: Sequence[Settlement]) -> tuple[list[Any], ...]:
    return (
        [end.task_id for end in ends],
        [end.attempt for end in ends],
        [end.how for end in ends],
        [end.output for end in ends],
        [end.error for end in ends],
        [end.delay for end in ends],
        [end.park_key for end in ends],
        [end.usage for end in ends],
    )


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
    rows = await call_in(
        conn,
        "select ensure_lane($1, $2, $3, $4, $5) as id",
        demand.project_id,
        demand.queue,
        demand.agent_id,
        list(demand.capabilities),
        demand.prefers,
    )
    return rows[0]["id"]


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


async def hold_still(conn: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Hold tasks where they are until the transaction ends. Must come before anything else that
    the transaction locks."""
    await call_in(conn, "select hold_still($1)", list(ids))


async def reprioritise(conn: AsyncConnection, ids: Sequence[UUID], priority: int) -> list[UUID]:
    """Give tasks another priority; gives those of them that have not ended."""
    rows = await call_in(conn, "select reprioritise($1, $2) as id", list(ids), priority)
    return [row["id"] for row in rows]


async def renew_expiry(conn: AsyncConnection, task_id: UUID) -> None:
    """Have the queue timeout of a task count from now, beside its deadline."""
    await call_in(conn, "select renew_expiry($1)", [task_id])


async def count_ahead(conn: AsyncConnection, task_id: UUID, most: int) -> int:
    """How many tasks come before this one in its lane or at the gate where it waits; counted so
    far as to ``most``."""
    rows = await call_in(conn, "select count_ahead($1, $2) as n", task_id, most)
    return rows[0]["n"]


async def set_capacity(conn: AsyncConnection, capacities: Mapping[str, int]) -> None:
    keys = sorted(capacities)
    await call_in(conn, "select set_gate($1, $2)", keys, [capacities[key] for key in keys])


async def signal(conn: AsyncConnection, keys: Sequence[str]) -> None:
    await call_in(conn, "select signal_gates($1)", list(keys))


async def lock_gates(conn: AsyncConnection) -> None:
    """Hold all gates still until the transaction ends. Must come before anything else that it
    writes or locks: who waits is served by it, which must not seem to come earlier."""
    await call_in(conn, "select lock_gates()")


async def follow_queue(conn: AsyncConnection, project_id: UUID, name: str) -> None:
    """Have tasks that wait for gates follow what was laid down for their queue. The transaction
    has called ``lock_gates``."""
    await call_in(conn, "select follow_queue($1, $2)", project_id, name)


async def follow_agent(conn: AsyncConnection, agent_id: UUID) -> None:
    """Have tasks that wait for gates follow what became of an agent that may run them. The
    transaction has called ``lock_gates``."""
    await call_in(conn, "select follow_agent($1)", agent_id)


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


async def bound_queues(database: Database) -> list[str]:
    """Queues with ready tasks that a live worker is bound to."""
    rows = await database.call("select bound_queues() as queue")
    return [row["queue"] for row in rows]
