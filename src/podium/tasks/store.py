"""Reading tasks. A task's state is where it is: its outcome, or the hot table that holds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.store import agent
from podium.projects.store import project
from podium.scheduler.model import ENDED, TaskState
from podium.scheduler.tables import (
    attempt,
    blocked,
    dependency,
    lane,
    ready,
    running,
    task,
    timer,
    wait,
)
from podium.storage.database import metadata

log = sa.Table(
    "log",
    metadata,
    sa.Column("id", sa.BigInteger, server_default=sa.FetchedValue()),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.FetchedValue()),
    sa.Column("task_id", sa.Uuid),
    sa.Column("attempt", sa.Integer),
    sa.Column("stream", sa.Text),
    sa.Column("text", sa.Text),
)
artifact = sa.Table(
    "artifact",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("task_id", sa.Uuid),
    sa.Column("attempt", sa.Integer),
    sa.Column("name", sa.Text),
    sa.Column("content_type", sa.Text),
    sa.Column("size", sa.BigInteger),
    sa.Column("sha256", sa.LargeBinary),
    sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.FetchedValue()),
)

_IN_READY = sa.and_(
    ready.c.lane_id == task.c.lane_id,
    ready.c.priority == task.c.priority,
    ready.c.task_id == task.c.id,
)
_STATE = sa.case(
    (task.c.outcome.is_not(None), task.c.outcome),
    (running.c.task_id.is_not(None), TaskState.RUNNING.value),
    (ready.c.task_id.is_not(None), TaskState.QUEUED.value),
    (wait.c.parked.is_(True), TaskState.WAITING.value),
    else_=TaskState.PENDING.value,
)
_PLACES = (
    task.join(lane, lane.c.id == task.c.lane_id)
    .outerjoin(agent, agent.c.id == lane.c.agent_id)
    .outerjoin(running, running.c.task_id == task.c.id)
    .outerjoin(ready, _IN_READY)
    .outerjoin(wait, wait.c.task_id == task.c.id)
)
_SUMMARY = (
    task.c.id,
    task.c.project_id,
    task.c.title,
    _STATE.label("state"),
    task.c.priority,
    task.c.labels,
    lane.c.queue,
    agent.c.name.label("agent"),
    sa.func.greatest(task.c.attempt, running.c.attempt, ready.c.attempt, wait.c.attempt).label(
        "attempt"
    ),
    running.c.progress.label("fraction"),
    running.c.note,
    task.c.error["code"].astext.label("error_code"),
    task.c.created_at,
    sa.func.coalesce(running.c.started_at, task.c.started_at).label("started_at"),
    task.c.finished_at,
)


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks a list holds; empty fields let all pass."""

    states: frozenset[TaskState] = frozenset()
    agent_id: UUID | None = None
    queue: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None


async def page(
    conn: AsyncConnection, project_id: UUID, wanted: TaskFilter, before: UUID | None, limit: int
) -> Sequence[Any]:
    """Rows of a list, newest first, older than the task ``before``."""
    query = sa.select(*_SUMMARY).select_from(_PLACES).where(task.c.project_id == project_id)
    query = query.where(*_conditions(wanted))
    if before is not None:
        query = query.where(task.c.id < before)
    return (await conn.execute(query.order_by(task.c.id.desc()).limit(limit))).all()


def _conditions(wanted: TaskFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.states:
        conditions.append(sa.or_(*(_in_state(state) for state in wanted.states)))
    if wanted.agent_id:
        conditions.append(lane.c.agent_id == wanted.agent_id)
    if wanted.queue:
        conditions.append(lane.c.queue == wanted.queue)
    if wanted.labels:
        conditions.append(task.c.labels.op("@>")(sa.cast(dict(wanted.labels), JSONB)))
        conditions.append(task.c.labels != sa.cast({}, JSONB))  # lets the partial index serve
    if wanted.created_after:
        conditions.append(task.c.created_at > wanted.created_after)
    if wanted.created_before:
        conditions.append(task.c.created_at < wanted.created_before)
    return conditions


def _in_state(state: TaskState) -> sa.ColumnElement[bool]:
    if state.value in ENDED:
        return task.c.outcome == state.value
    open_task = task.c.outcome.is_(None)
    match state:
        case TaskState.RUNNING:
            return sa.and_(open_task, running.c.task_id.is_not(None))
        case TaskState.QUEUED:
            return sa.and_(open_task, ready.c.task_id.is_not(None))
        case TaskState.WAITING:
            return sa.and_(open_task, wait.c.parked.is_(True))
        case _:
            nowhere = sa.and_(running.c.task_id.is_(None), ready.c.task_id.is_(None))
            return sa.and_(open_task, nowhere, wait.c.parked.is_not(True))


async def get(conn: AsyncConnection, task_id: UUID) -> Any | None:
    """One task with all its columns and its live attempt."""
    last = attempt.alias("last")
    query = (
        sa.select(
            *_SUMMARY,
            lane.c.agent_id,
            lane.c.capabilities,
            task.c.input,
            task.c.output,
            task.c.error,
            task.c.spec,
            task.c.created_by,
            running.c.worker_id,
            running.c.agent_id.label("running_agent_id"),
            sa.extract(
                "epoch",
                sa.func.coalesce(running.c.started_at, last.c.started_at)
                - sa.func.coalesce(running.c.queued_at, last.c.queued_at),
            ).label("queued_seconds"),
            sa.extract(
                "epoch",
                sa.func.coalesce(last.c.finished_at, sa.func.clock_timestamp())
                - sa.func.coalesce(last.c.started_at, running.c.started_at),
            ).label("run_seconds"),
        )
        .select_from(
            _PLACES.outerjoin(
                last,
                sa.and_(
                    last.c.task_id == task.c.id,
                    last.c.attempt == sa.func.coalesce(running.c.attempt, task.c.attempt),
                ),
            )
        )
        .where(task.c.id == task_id)
    )
    return (await conn.execute(query)).one_or_none()


async def project_of(conn: AsyncConnection, task_id: UUID) -> UUID | None:
    query = sa.select(task.c.project_id).where(task.c.id == task_id)
    return (await conn.execute(query)).scalar_one_or_none()


async def names(
    conn: AsyncConnection, project_id: UUID, agent_id: UUID | None
) -> tuple[str, str | None]:
    """Names of a project and of an agent."""
    agent_name = sa.select(agent.c.name).where(agent.c.id == agent_id).scalar_subquery()
    query = sa.select(project.c.name, agent_name).where(project.c.id == project_id)
    row = (await conn.execute(query)).one()
    return row[0], row[1]


async def depends_on(conn: AsyncConnection, task_id: UUID) -> Sequence[Any]:
    """id, name and state of the tasks that must end first."""
    query = (
        sa.select(task.c.id, dependency.c.name, _STATE.label("state"))
        .select_from(_PLACES.join(dependency, dependency.c.depends_on == task.c.id))
        .where(dependency.c.task_id == task_id)
        .order_by(dependency.c.name)
    )
    return (await conn.execute(query)).all()


async def attempts(conn: AsyncConnection, task_id: UUID) -> Sequence[Any]:
    """All attempts, the live one included, oldest first."""
    past = sa.select(
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
    ).where(attempt.c.task_id == task_id)
    live = sa.select(
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
    ).where(running.c.task_id == task_id)
    both = sa.union_all(past, live).subquery()
    query = (
        sa.select(both, agent.c.name.label("agent"))
        .outerjoin(agent, agent.c.id == both.c.agent_id)
        .order_by(both.c.attempt)
    )
    return (await conn.execute(query)).all()


async def logs(
    conn: AsyncConnection, task_id: UUID, after: int, attempt_number: int | None, limit: int
) -> Sequence[Any]:
    """Output after the id ``after``, in order."""
    query = sa.select(log.c.id, log.c.at, log.c.attempt, log.c.stream, log.c.text)
    query = query.where(log.c.task_id == task_id, log.c.id > after)
    if attempt_number is not None:
        query = query.where(log.c.attempt == attempt_number)
    return (await conn.execute(query.order_by(log.c.id).limit(limit))).all()


async def artifacts(conn: AsyncConnection, task_id: UUID) -> Sequence[Any]:
    """What attempts kept, by name, newest attempt first."""
    query = sa.select(artifact).where(artifact.c.task_id == task_id)
    query = query.order_by(artifact.c.name, artifact.c.attempt.desc())
    return (await conn.execute(query)).all()


async def lock_waiting(conn: AsyncConnection, task_id: UUID) -> bool:
    """Hold a task still that waits in a hot table; False when it runs or has ended."""
    here = False
    for table in (blocked, timer, wait):
        query = sa.select(table.c.task_id).where(table.c.task_id == task_id).with_for_update()
        here = here or (await conn.execute(query)).one_or_none() is not None
    query = sa.select(ready.c.task_id).join(task, _IN_READY).where(task.c.id == task_id)
    found = (await conn.execute(query.with_for_update(of=ready))).one_or_none()
    return here or found is not None


async def update(conn: AsyncConnection, task_id: UUID, values: dict[str, Any]) -> None:
    await conn.execute(sa.update(task).where(task.c.id == task_id).values(values))


async def delete_ended(conn: AsyncConnection, task_id: UUID) -> bool:
    """Remove a task and what belongs to it; False when it has not ended."""
    gone = sa.delete(task).where(task.c.id == task_id, task.c.outcome.is_not(None))
    if (await conn.execute(gone.returning(task.c.id))).one_or_none() is None:
        return False
    for table in (attempt, log, artifact):
        await conn.execute(sa.delete(table).where(table.c.task_id == task_id))
    edges = sa.or_(dependency.c.task_id == task_id, dependency.c.depends_on == task_id)
    await conn.execute(sa.delete(dependency).where(edges))
    return True


async def any_open(conn: AsyncConnection) -> bool:
    """Whether any task is in a hot table."""
    tables = (running, ready, timer, blocked, wait)
    query = sa.select(sa.or_(*(sa.exists().select_from(table) for table in tables)))
    return (await conn.execute(query)).scalar_one()


async def count_states(conn: AsyncConnection, project_id: UUID | None) -> dict[str, int]:
    """How many open tasks are in each state; ended ones are not counted."""
    counts: dict[str, int] = {}
    places = (
        (TaskState.RUNNING, running, None),
        (TaskState.QUEUED, ready, None),
        (TaskState.WAITING, wait, wait.c.parked.is_(True)),
        (TaskState.PENDING, wait, wait.c.parked.is_(False)),
        (TaskState.PENDING, blocked, None),
        (TaskState.PENDING, timer, None),
    )
    for state, table, condition in places:
        query = sa.select(sa.func.count()).select_from(
            table.join(lane, lane.c.id == table.c.lane_id) if project_id else table
        )
        if project_id:
            query = query.where(lane.c.project_id == project_id)
        if condition is not None:
            query = query.where(condition)
        found = (await conn.execute(query)).scalar_one()
        counts[state.value] = counts.get(state.value, 0) + found
    return counts
