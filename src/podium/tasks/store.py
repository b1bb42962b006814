"""Reading and changing task records. A task's state is where it is: its outcome, or the hot table
that holds it.

Statements that are often run are built once: building one costs more than running it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.store import agent
from podium.projects.store import project
from podium.scheduler.tables import attempt, dependency, lane, running, task, worker
from podium.storage.artifacts import Place
from podium.storage.database import Database, call_in
from podium.tasks import search
from podium.tasks.pace import LEARNED_FROM
from podium.tasks.tables import LAST_ATTEMPT, PLACES, STATE, SUMMARY, artifact, log

_ID = sa.bindparam("task_id", type_=sa.Uuid)
_IDS = sa.bindparam("ids", type_=ARRAY(sa.Uuid))
_MOST = sa.bindparam("most", type_=sa.Integer)

_last = attempt.alias("last")
_runner = agent.alias("runner")
_WHOLE = sa.select(
    *SUMMARY,
    lane.c.agent_id,
    lane.c.capabilities,
    lane.c.prefers,
    task.c.input,
    task.c.output,
    task.c.error,
    task.c.spec,
    task.c.created_by,
    running.c.worker_id,
    worker.c.name.label("worker_name"),
    worker.c.host.label("worker_host"),
    _runner.c.name.label("running_agent"),
    project.c.name.label("project"),
    sa.extract(
        "epoch",
        sa.func.coalesce(running.c.started_at, _last.c.started_at)
        - sa.func.coalesce(running.c.queued_at, _last.c.queued_at),
    ).label("queued_seconds"),
    sa.extract(
        "epoch",
        sa.func.coalesce(_last.c.finished_at, sa.func.clock_timestamp())
        - sa.func.coalesce(_last.c.started_at, running.c.started_at),
    ).label("run_seconds"),
).select_from(
    PLACES.join(project, project.c.id == task.c.project_id)
    .outerjoin(_runner, _runner.c.id == running.c.agent_id)
    .outerjoin(worker, worker.c.id == running.c.worker_id)
    .outerjoin(
        _last,
        sa.and_(
            running.c.task_id.is_(None),
            _last.c.task_id == task.c.id,
            _last.c.attempt == LAST_ATTEMPT,
        ),
    )
)
_GET = _WHOLE.where(task.c.id == _ID)
_GET_MANY = _WHOLE.where(task.c.id == sa.any_(_IDS)).order_by(task.c.id.desc())


async def get(conn: AsyncConnection, task_id: UUID) -> Any | None:
    """One task with all its columns and its live or last attempt."""
    return (await conn.execute(_GET, {"task_id": task_id})).one_or_none()


async def get_many(conn: AsyncConnection, ids: Sequence[UUID]) -> Sequence[Any]:
    """The same of many tasks, newest first."""
    return (await conn.execute(_GET_MANY, {"ids": ids})).all()


_EDGES = (
    sa.select(dependency.c.task_id, task.c.id, dependency.c.name, STATE.label("state"))
    .select_from(PLACES.join(dependency, dependency.c.depends_on == task.c.id))
    .order_by(dependency.c.name, task.c.id)
)
_DEPENDS_ON = _EDGES.where(dependency.c.task_id == _ID)
_DEPEND_ON = _EDGES.where(dependency.c.task_id == sa.any_(_IDS))


async def depends_on(conn: AsyncConnection, task_id: UUID) -> Sequence[Any]:
    """id, name and state of the tasks that must end first."""
    return (await conn.execute(_DEPENDS_ON, {"task_id": task_id})).all()


async def depend_on(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, list[Any]]:
    """The same of many tasks, by the task that depends; none of those without."""
    found: dict[UUID, list[Any]] = {}
    for row in await conn.execute(_DEPEND_ON, {"ids": ids}):
        found.setdefault(row.task_id, []).append(row)
    return found


async def paces(conn: AsyncConnection, rows: Sequence[Any]) -> Mapping[int, Sequence[float]]:
    """Of the lanes of those rows that run: the seconds that tasks took in them."""
    lanes = {row.lane_id for row in rows if row.elapsed is not None}
    return await search.paces(conn, sorted(lanes), LEARNED_FROM) if lanes else {}


async def owner(conn: AsyncConnection, task_id: UUID) -> UUID | None:
    """The id of the project that the task belongs to."""
    found = await call_in(conn, "select project_id from task where id = $1", task_id)
    return found[0]["project_id"] if found else None


async def project_name(conn: AsyncConnection, task_id: UUID) -> str | None:
    """The name of the project that the task belongs to."""
    found = await call_in(
        conn,
        "select p.name from task t join project p on p.id = t.project_id where t.id = $1",
        task_id,
    )
    return found[0]["name"] if found else None


async def has_ended(conn: AsyncConnection, task_id: UUID) -> bool | None:
    """Whether the task has ended; None when it does not exist."""
    found = await call_in(conn, "select outcome is not null as o from task where id = $1", task_id)
    return found[0]["o"] if found else None


async def known(conn: AsyncConnection, project_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the ids that are tasks of the project."""
    # By id alone: asked for the project too, PostgreSQL may choose to read all of it.
    rows = await call_in(conn, "select id, project_id from task where id = any ($1::uuid[])", ids)
    return {row["id"] for row in rows if row["project_id"] == project_id}


async def runtimes(conn: AsyncConnection, task_id: UUID) -> frozenset[str]:
    """The runtimes that the task may come to run on; none when no agent matches it now."""
    rows = await call_in(
        conn,
        "select distinct a.runtime from task t join lane on lane.id = t.lane_id"
        " join agent a on a.id = lane.agent_id or lane.agent_id is null and a.deleted_at is null"
        "  and a.project_id = lane.project_id and a.capabilities @> lane.capabilities"
        " where t.id = $1",
        task_id,
    )
    return frozenset(row["runtime"] for row in rows)


async def agent_ids(conn: AsyncConnection, project_id: UUID, name: str) -> list[UUID]:
    """Agents that have or had the name; deleted ones left their tasks behind."""
    query = sa.select(agent.c.id).where(agent.c.project_id == project_id, agent.c.name == name)
    return list((await conn.execute(query)).scalars())


_PAST = sa.select(
    attempt.c.attempt,
    attempt.c.outcome,
    attempt.c.agent_id,
    attempt.c.agent_version,
    attempt.c.worker_id,
    attempt.c.queued_at,
    attempt.c.started_at,
    attempt.c.finished_at,
    attempt.c.error,
    attempt.c.usage,
    attempt.c.confinement,
    attempt.c.choice,
).where(attempt.c.task_id == _ID)
_LIVE = sa.select(
    running.c.attempt,
    sa.literal("running"),
    running.c.agent_id,
    running.c.agent_version,
    running.c.worker_id,
    running.c.queued_at,
    running.c.started_at,
    sa.null(),
    sa.null(),
    sa.null(),
    running.c.confinement,
    running.c.choice,
).where(running.c.task_id == _ID)
_both = sa.union_all(_PAST, _LIVE).subquery()
_ATTEMPTS = (
    sa.select(
        _both,
        agent.c.name.label("agent"),
        worker.c.name.label("worker_name"),
        worker.c.host.label("worker_host"),
    )
    .outerjoin(agent, agent.c.id == _both.c.agent_id)
    .outerjoin(worker, worker.c.id == _both.c.worker_id)
    .order_by(_both.c.attempt)
)


async def attempts(conn: AsyncConnection, task_id: UUID) -> Sequence[Any]:
    """All attempts, the live one included, oldest first."""
    return (await conn.execute(_ATTEMPTS, {"task_id": task_id})).all()


_AFTER = sa.bindparam("after", type_=sa.BigInteger)
_LOGS = (
    sa.select(log.c.id, log.c.at, log.c.attempt, log.c.stream, log.c.text)
    .where(log.c.task_id == _ID, log.c.id > _AFTER)
    .order_by(log.c.id)
    .limit(_MOST)
)
_LOGS_OF_ATTEMPT = _LOGS.where(log.c.attempt == sa.bindparam("attempt", type_=sa.Integer))


async def logs(
    conn: AsyncConnection, task_id: UUID, after: int, attempt_number: int | None, limit: int
) -> Sequence[Any]:
    """Output after the id ``after``, in order."""
    values: dict[str, Any] = {"task_id": task_id, "after": after, "most": limit}
    if attempt_number is None:
        return (await conn.execute(_LOGS, values)).all()
    values["attempt"] = attempt_number
    return (await conn.execute(_LOGS_OF_ATTEMPT, values)).all()


async def artifacts(conn: AsyncConnection, task_id: UUID, name: str | None = None) -> Sequence[Any]:
    """What attempts kept, by name, newest attempt first."""
    query = sa.select(artifact).where(artifact.c.task_id == task_id)
    if name is not None:
        query = query.where(artifact.c.name == name)
    return (await conn.execute(query.order_by(artifact.c.name, artifact.c.attempt.desc()))).all()


class Kept(NamedTuple):
    """An artifact on record, and the SHA-256 of its content."""

    task_id: UUID
    attempt: int
    name: str
    size: int
    sha256: bytes


async def all_artifacts(conn: AsyncConnection) -> Sequence[Kept]:
    """Every artifact of every task, in order."""
    query = sa.select(*(artifact.c[name] for name in Kept._fields)).order_by(
        artifact.c.task_id, artifact.c.attempt, artifact.c.name
    )
    return [Kept(*row) for row in await conn.execute(query)]


# -- changes -----------------------------------------------------------------------------------


async def update(conn: AsyncConnection, task_id: UUID, values: dict[str, Any]) -> None:
    await conn.execute(sa.update(task).where(task.c.id == task_id).values(values))


async def lock_ended(conn: AsyncConnection, task_id: UUID) -> bool:
    """Keep others from depending on an ended task or giving it another life; False when it has
    not ended."""
    query = "select 1 from task where id = $1 and outcome is not null for update"
    return bool(await call_in(conn, query, task_id))


async def open_dependents(conn: AsyncConnection, task_id: UUID, most: int) -> Sequence[Any]:
    """id and title of tasks that have not ended and depend on this one."""
    query = (
        sa.select(task.c.id, task.c.title)
        .join(dependency, dependency.c.task_id == task.c.id)
        .where(dependency.c.depends_on == task_id, task.c.outcome.is_(None))
    )
    return (await conn.execute(query.order_by(task.c.id).limit(most))).all()


_ENDED = (
    "select id from task where project_id = $1 and id > $2 and id <= $3 and outcome is not null"
    " and ($4::timestamptz is null or finished_at < $4) order by id limit $5"
)
_ENDED_AFTER = (
    "select id from task where project_id = $1 and outcome is not null"
    " order by id desc offset $2 limit 1"
)


async def ended(
    conn: AsyncConnection,
    project_id: UUID,
    after: UUID,
    last: UUID,
    before: datetime | None,
    limit: int,
) -> list[UUID]:
    """Ended tasks with ids after one and up to another, oldest first; those that ended before a
    moment if one is given."""
    rows = await call_in(conn, _ENDED, project_id, after, last, before, limit)
    return [row["id"] for row in rows]


async def ended_after(conn: AsyncConnection, project_id: UUID, newest: int) -> UUID | None:
    """The first ended task behind so many newer ones; None when there are not so many."""
    rows = await call_in(conn, _ENDED_AFTER, project_id, newest)
    return rows[0]["id"] if rows else None


async def deletable(conn: AsyncConnection, ids: Sequence[UUID]) -> list[UUID]:
    """Those that have ended and on which no open task depends, kept from being depended on or
    reopened until the transaction ends."""
    lock = "select id from task where id = any ($1) and outcome is not null order by id for update"
    ended = [row["id"] for row in await call_in(conn, lock, ids)]
    # In a later statement: who depended on them while the locks were waited for is seen, too.
    return [row["id"] for row in await call_in(conn, _NOT_NEEDED, ended)]


_NOT_NEEDED = (
    "select id from unnest($1::uuid[]) as e (id) where not exists (select from dependency d"
    " join task t on t.id = d.task_id where d.depends_on = e.id and t.outcome is null)"
)


class Deleted(NamedTuple):
    """Tasks of which no record is left, and where their files still are."""

    ids: list[UUID]
    files: list[Place]


async def delete(conn: AsyncConnection, ids: Sequence[UUID]) -> Deleted:
    """Remove ended tasks' records and what belongs to them, but their logs."""
    rows = await call_in(conn, "delete from task where id = any ($1) returning id", ids)
    gone = [row["id"] for row in rows]
    await call_in(conn, "delete from attempt where task_id = any ($1)", gone)
    kept = "delete from artifact where task_id = any ($1) returning task_id, attempt, name"
    files = [Place.of(*row) for row in await call_in(conn, kept, gone)]
    edges = "delete from dependency where task_id = any ($1) or depends_on = any ($1)"
    await call_in(conn, edges, gone)
    return Deleted(gone, files)


async def any_runs(conn: AsyncConnection, ids: Sequence[UUID], runtimes: Sequence[str]) -> bool:
    """Whether one of the tasks may come to run on one of the runtimes, or on nobody yet knows
    which."""
    return (await call_in(conn, _ANY_RUNS, ids, runtimes))[0]["found"]


_ANY_RUNS = (
    "select exists (select from task t join lane on lane.id = t.lane_id"
    " left join agent a on a.id = lane.agent_id or lane.agent_id is null and a.deleted_at is null"
    "  and a.project_id = lane.project_id and a.capabilities @> lane.capabilities"
    " where t.id = any ($1) and (a.id is null or a.runtime = any ($2))) as found"
)


async def retriable(conn: AsyncConnection, ids: Sequence[UUID]) -> list[UUID]:
    """Those that can be retried together without being cancelled again at once."""
    return [row["id"] for row in await call_in(conn, _RETRIABLE, ids)]


_RETRIABLE = """
with recursive chosen as materialized (
    select id, coalesce(spec ->> 'on_dependency_failure', 'cancel') = 'cancel' as gives_up
      from task where id = any ($1) and outcome in ('failed', 'dead', 'cancelled')
), doomed as (
    select c.id from chosen c
     where gives_up and exists (
        select from dependency d join task p on p.id = d.depends_on
         where d.task_id = c.id and p.outcome <> 'succeeded' and not p.id = any ($1))
    union
    select c.id from doomed
      join dependency d on d.depends_on = doomed.id
      join chosen c on c.id = d.task_id and gives_up
)
select id from chosen where id not in (select id from doomed)
"""


_LOG_CHUNK = 10_000
_DELETE_LOGS = (
    "with oldest as (select id from log where task_id = $1 and id > $2 order by id limit $3),"
    " gone as (delete from log where task_id = $1 and id > $2"
    "          and id <= (select max(id) from oldest) returning id)"
    " select max(id) as last from gone"
)


async def delete_logs(database: Database, task_id: UUID) -> None:
    """Remove the logs of a task, in chunks that commit one by one."""
    last: int | None = 0
    while last is not None:
        [(last,)] = await database.call(_DELETE_LOGS, task_id, last, _LOG_CHUNK)


async def any_open(conn: AsyncConnection) -> bool:
    """Whether any task is in a hot table."""
    hot = ("running", "ready", "timer", "blocked", "wait")
    some = " or ".join(f"exists (select from {table})" for table in hot)
    return (await call_in(conn, f"select {some} as found"))[0]["found"]
