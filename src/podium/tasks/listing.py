"""Pages of a project's tasks, newest first.

The ids of a page are picked state by state, each from where it is found in order or where there
are few, before the rest of the rows is looked up: a million tasks of another state cost nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.scheduler.model import ENDED, TaskState
from podium.scheduler.tables import blocked, lane, ready, running, task, timer, wait
from podium.tasks.tables import PLACES, SUMMARY

_PROJECT = sa.bindparam("project_id", type_=sa.Uuid)
_MOST = sa.bindparam("most", type_=sa.Integer)
_WHERE: dict[TaskState, list[tuple[sa.Table, bool | None]]] = {
    TaskState.RUNNING: [(running, None)],
    TaskState.QUEUED: [(ready, None)],
    TaskState.WAITING: [(wait, True)],
    TaskState.PENDING: [(blocked, None), (timer, None), (wait, False)],
}
"""The hot tables of each open state; of ``wait`` those that are parked, or that are not."""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks a list holds; empty fields let all pass. ``agents`` are ids."""

    states: frozenset[TaskState] = frozenset()
    agents: tuple[UUID, ...] = ()
    queue: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a statement filters by; statements of one shape are built once."""

    states: frozenset[TaskState]
    agents: bool
    queue: bool
    labels: bool
    created_after: bool
    created_before: bool
    before: bool


async def page(
    conn: AsyncConnection, project_id: UUID, wanted: TaskFilter, before: UUID | None, limit: int
) -> Sequence[Any]:
    """Rows of a list, newest first, older than the task ``before``."""
    shape = _Shape(
        wanted.states,
        bool(wanted.agents),
        wanted.queue is not None,
        bool(wanted.labels),
        wanted.created_after is not None,
        wanted.created_before is not None,
        before is not None,
    )
    values = {
        "project_id": project_id,
        "most": limit,
        "agents": list(wanted.agents),
        "queue": wanted.queue,
        "labels": wanted.labels,
        "created_after": wanted.created_after,
        "created_before": wanted.created_before,
        "before": before,
    }
    statement, names = _statement(shape)
    used = {name: value for name, value in values.items() if name in names}
    return (await conn.execute(statement, used)).all()


@lru_cache(maxsize=512)
def _statement(shape: _Shape) -> tuple[sa.Select[*tuple[Any, ...]], frozenset[str]]:
    """The statement of this shape and the names of its parameters."""
    branches = [_branch(shape, state) for state in sorted(shape.states)] or [_branch(shape, None)]
    limited = [branch.order_by(sa.desc("id")).limit(_MOST).subquery() for branch in branches]
    picked = sa.union_all(*(sa.select(each.c.id) for each in limited)).subquery()
    ids = sa.select(picked.c.id).order_by(picked.c.id.desc()).limit(_MOST)
    statement = sa.select(*SUMMARY).select_from(PLACES).where(task.c.id.in_(ids))
    statement = statement.order_by(task.c.id.desc())
    return statement, frozenset(statement.compile().params)


def _branch(shape: _Shape, state: TaskState | None) -> sa.Select[Any]:
    """Ids of the tasks in one state, or in any."""
    if state is None or state.value in ENDED:
        query = sa.select(task.c.id).where(task.c.project_id == _PROJECT, *_of_record(shape))
        if shape.agents or shape.queue:
            query = query.where(task.c.lane_id.in_(_lanes(shape)))
        query = query.where(task.c.outcome == state.value) if state else query
        return query.where(task.c.id < _before()) if shape.before else query
    parts = [_in_table(shape, table, parked) for table, parked in _WHERE[state]]
    if len(parts) == 1:
        return parts[0]
    either = sa.union_all(*parts).subquery()
    return sa.select(either.c.id)


def _in_table(shape: _Shape, table: sa.Table, parked: bool | None) -> sa.Select[Any]:  # noqa: FBT001
    query = sa.select(table.c.task_id.label("id")).where(table.c.lane_id.in_(_lanes(shape)))
    if parked is not None:
        query = query.where(table.c.parked.is_(parked))
    if shape.before:
        query = query.where(table.c.task_id < _before())
    if conditions := _of_record(shape):
        query = query.join(task, task.c.id == table.c.task_id).where(*conditions)
    return query


def _of_record(shape: _Shape) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if shape.labels:
        conditions.append(task.c.labels.op("@>")(sa.bindparam("labels", type_=JSONB)))
        conditions.append(task.c.labels != sa.text("'{}'"))  # lets the partial index serve
    moment = sa.DateTime(timezone=True)
    if shape.created_after:
        conditions.append(task.c.created_at > sa.bindparam("created_after", type_=moment))
    if shape.created_before:
        conditions.append(task.c.created_at < sa.bindparam("created_before", type_=moment))
    return conditions


def _lanes(shape: _Shape) -> sa.Select[Any]:
    query = sa.select(lane.c.id).where(lane.c.project_id == _PROJECT)
    if shape.agents:
        agents = sa.bindparam("agents", type_=ARRAY(sa.Uuid))
        query = query.where(lane.c.agent_id == sa.any_(agents))
    if shape.queue:
        query = query.where(lane.c.queue == sa.bindparam("queue", type_=sa.Text))
    return query


def _before() -> sa.BindParameter[UUID]:
    return sa.bindparam("before", type_=sa.Uuid)
