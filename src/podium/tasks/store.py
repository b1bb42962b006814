"""Reading and changing task records. A task's state is where it is: its outcome, or the hot table
that holds it.

Statements that are often run are built once: building one costs more than running it.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.store import agent
from podium.projects.store import project
from podium.scheduler.tables import attempt, dependency, lane, running, task, worker
from podium.storage.database import Database, call_in
from podium.tasks.tables import LAST_ATTEMPT, PLACES, STATE, SUMMARY, artifact, log

_ID = sa.bindparam("task_id", type_=sa.Uuid)
_MOST = sa.bindparam("most", type_=sa.Integer)

_last = attempt.alias("last")
_runner = agent.alias("runner")
_GET = (
    sa.select(
        *SUMMARY,
        lane.c.agent_id,
        lane.c.capabilities,
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
    )
    .select_from(
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
    .where(task.c.id == _ID)
)


async def get(conn: AsyncConnection, task_id: UUID) -> Any | None:
    """One task with all its columns and its live or last attempt."""
    return (await conn.execute(_GET, {"task_id": task_id})).one_or_none()


_DEPENDS_ON = (
    sa.select(task.c.id, dependency.c.name, STATE.label("state"))
    .select_from(PLACES.join(dependency, dependency.c.depends_on == task.c.id))
    .where(dependency.c.task_id == _ID)
    .order_by(dependency.c.name, task.c.id)
)


async def depends_on(conn: AsyncConnection, task_id: UUID) -> Sequence[Any]:
    """id, name and state of the tasks that must end first."""
    return (await conn.execute(_DEPENDS_ON, {"task_id": task_id})).all()


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


async def delete(conn: AsyncConnection, task_id: UUID) -> None:
    """Remove an ended task's record and what belongs to it, but its logs."""
    await conn.execute(sa.delete(task).where(task.c.id == task_id))
    for table in (attempt, artifact):
        await conn.execute(sa.delete(table).where(table.c.task_id == task_id))
    edges = sa.or_(dependency.c.task_id == task_id, dependency.c.depends_on == task_id)
    await conn.execute(sa.delete(dependency).where(edges))


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
