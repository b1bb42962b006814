"""Pages of a project's tasks, and how many there are.

The ids of a page are picked state by state, each from where it is found in order or where there
are few, before the rest of the rows is looked up: a million tasks of another state cost nothing.
A page in another order than that of their creation is a page of the newest ten thousand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, array
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.ids import least_uuid7
from podium.scheduler.model import ENDED, TaskState
from podium.scheduler.tables import blocked, lane, ready, running, task, timer, wait
from podium.tasks import search
from podium.tasks.filtering import CREATED, MOST_SORTED, Order, TaskFilter, Window
from podium.tasks.tables import PLACES, STATE, SUMMARY

_NEAR = 10_000
"""So many tasks are gone through in a few milliseconds."""
_PROJECT = sa.bindparam("project_id", type_=sa.Uuid)
_MOST = sa.bindparam("most", type_=sa.Integer)
_BOUND = sa.bindparam("bound", type_=sa.Uuid)
_IDS = sa.bindparam("ids", type_=ARRAY(sa.Uuid))
_Built = tuple[sa.Select[*tuple[Any, ...]], frozenset[str]]  # with the names of its parameters
_LOWEST, _HIGHEST = UUID(int=0), UUID(int=2**128 - 1)
_CLOCKS_DIFFER = timedelta(days=1)
"""So far may the clock that made an id be from the database's: ids only narrow down."""
_WHERE: dict[TaskState, list[tuple[sa.Table, bool | None]]] = {
    TaskState.RUNNING: [(running, None)],
    TaskState.QUEUED: [(ready, None)],
    TaskState.WAITING: [(wait, True)],
    TaskState.PENDING: [(blocked, None), (timer, None), (wait, False)],
}
"""The hot tables of each open state; of ``wait`` those that are parked, or that are not."""
_ENDED = frozenset(TaskState(value) for value in ENDED)
_KEYS: Mapping[Order, sa.ColumnElement[Any]] = {
    Order.FINISHED: task.c.finished_at,
    Order.LONGEST: task.c.finished_at - task.c.started_at,
    Order.PRIORITY: task.c.priority,
}
"""By which tasks are sorted, the greatest first."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a statement filters by; statements of one shape are built once."""

    states: frozenset[TaskState]
    agents: bool
    queue: bool
    labels: bool
    created_after: bool
    created_before: bool
    bounded: bool
    order: Order

    @classmethod
    def of(cls, wanted: TaskFilter, window: Window) -> "_Shape":
        return cls(
            wanted.states,
            bool(wanted.agents),
            wanted.queue is not None,
            bool(wanted.labels),
            wanted.created_after is not None,
            wanted.created_before is not None,
            window.beyond is not None,
            window.order,
        )


async def page(
    conn: AsyncConnection, project_id: UUID, wanted: TaskFilter, window: Window
) -> Sequence[Any]:
    """The rows of a list that the window shows, in its order."""
    values = _values(project_id, wanted, window)
    shape = _Shape.of(wanted, window)
    if wanted.words is None:
        return await _run(conn, _page(shape), values)
    of = window if window.order in CREATED else Window(MOST_SORTED)
    values["ids"] = await _found(conn, project_id, wanted, of)
    return await _run(conn, _page_of_ids(shape.order), values)


async def count(conn: AsyncConnection, project_id: UUID, wanted: TaskFilter, most: int) -> int:
    """How many tasks match; counted up to ``most``."""
    window = Window(most)
    if wanted.words is not None:
        return len(await _found(conn, project_id, wanted, window))
    values = _values(project_id, wanted, window)
    (row,) = await _run(conn, _count(_Shape.of(wanted, window)), values)
    return row.count


async def ids(
    conn: AsyncConnection, project_id: UUID, wanted: TaskFilter, window: Window
) -> list[UUID]:
    """The same as ``page``, but their ids alone, in the order of creation."""
    if wanted.words is not None:
        return await _found(conn, project_id, wanted, window)
    values = _values(project_id, wanted, window)
    return [row.id for row in await _run(conn, _chosen(_Shape.of(wanted, window)), values)]


async def still(
    conn: AsyncConnection,
    project_id: UUID,
    wanted: TaskFilter,
    chosen: Sequence[UUID],
    read: Sequence[str],
) -> list[UUID]:
    """Those of the chosen tasks that match now, in their order. ``read`` is what ``search.read``
    gave for them where words are wanted."""
    window = Window(len(chosen))
    values = _values(project_id, wanted, window)
    values |= {"ids": chosen, "read": read, "words": wanted.words}
    statement = _still(_Shape.of(wanted, window), words=wanted.words is not None)
    return [row.id for row in await _run(conn, statement, values)]


def _values(project_id: UUID, wanted: TaskFilter, window: Window) -> dict[str, Any]:
    sorted_whole = window.order not in CREATED
    return {
        "project_id": project_id,
        "most": MOST_SORTED if sorted_whole else window.offset + window.limit,
        "offset": window.offset,
        "limit": window.limit,
        "agents": list(wanted.agents),
        "queue": wanted.queue,
        "labels": wanted.labels,
        "created_after": wanted.created_after,
        "created_before": wanted.created_before,
        "bound": window.beyond,
        "least": wanted.created_after and least_uuid7(wanted.created_after - _CLOCKS_DIFFER),
        "greatest": wanted.created_before and least_uuid7(wanted.created_before + _CLOCKS_DIFFER),
        "states": [state.value for state in wanted.states],
    }


async def _run(conn: AsyncConnection, built: _Built, values: Mapping[str, Any]) -> Sequence[Any]:
    statement, names = built
    used = {name: value for name, value in values.items() if name in names}
    return (await conn.execute(statement, used)).all()


def _built(statement: sa.Select[*tuple[Any, ...]]) -> _Built:
    return statement, frozenset(statement.compile().params)


@lru_cache(maxsize=512)
def _page(shape: _Shape) -> _Built:
    return _built(_rows(_picked(shape), shape.order))


@lru_cache(maxsize=8)
def _page_of_ids(order: Order) -> _Built:
    return _built(_rows(sa.select(sa.func.unnest(_IDS).label("id")).subquery(), order))


@lru_cache(maxsize=512)
def _count(shape: _Shape) -> _Built:
    some = sa.select(_picked(shape).c.id).limit(_MOST)
    return _built(sa.select(sa.func.count().label("count")).select_from(some.subquery()))


@lru_cache(maxsize=512)
def _chosen(shape: _Shape) -> _Built:
    picked = _picked(shape)
    return _built(_cut(sa.select(picked.c.id).order_by(_by_id(picked.c.id, shape.order))))


def _picked(shape: _Shape) -> sa.Subquery:
    """The ids that come into question: the first of each state in the order of the shape. Where
    that is read with them, by what they are sorted."""
    branches = [_branch(shape, state) for state in sorted(shape.states)] or [_branch(shape, None)]
    if shape.order not in CREATED and shape.states <= _ENDED and not shape.labels:
        branches = [branch.add_columns(_KEYS[shape.order].label("key")) for branch in branches]
    by_id = _by_id(sa.column("id"), shape.order)
    limited = [branch.order_by(by_id).limit(_MOST).subquery() for branch in branches]
    return sa.union_all(*(sa.select(*each.c) for each in limited)).subquery()


def _rows(picked: sa.Subquery, order: Order) -> sa.Select[*tuple[Any, ...]]:
    if order in CREATED:
        by: list[sa.ColumnElement[Any]] = [_by_id(task.c.id, order)]
        chosen = _cut(sa.select(picked.c.id).order_by(_by_id(picked.c.id, order)))
    else:
        by = [_KEYS[order].desc().nulls_last(), task.c.id.desc()]
        newest = sa.select(*picked.c).order_by(picked.c.id.desc()).limit(_MOST).subquery()
        chosen = _cut(_sorted(newest, order))
    return sa.select(*SUMMARY).select_from(PLACES).where(task.c.id.in_(chosen)).order_by(*by)


def _sorted(newest: sa.Subquery, order: Order) -> sa.Select[Any]:
    """The ids among these, in another order than that of their creation."""
    if "key" in newest.c:
        by = (newest.c.key.desc().nulls_last(), newest.c.id.desc())
        return sa.select(newest.c.id).order_by(*by)
    records = task.join(newest, task.c.id == sa.any_(array([newest.c.id])))  # never a scan
    by = (_KEYS[order].desc().nulls_last(), task.c.id.desc())
    return sa.select(task.c.id).select_from(records).order_by(*by)


def _by_id(column: sa.ColumnElement[Any], order: Order) -> sa.ColumnElement[Any]:
    return column.asc() if order is Order.OLDEST else column.desc()


@lru_cache(maxsize=512)
def _still(shape: _Shape, *, words: bool) -> _Built:
    given = (_IDS, sa.bindparam("read", type_=ARRAY(sa.Text)))
    chosen = sa.func.unnest(*given).table_valued("id", "read", with_ordinality="place")
    chosen = chosen.render_derived()
    conditions = [task.c.project_id == _PROJECT]
    if shape.agents or shape.queue:
        conditions.append(task.c.lane_id.in_(_lanes(shape)))
    if words:
        conditions.append(search.has_words(task, chosen.c.read))
    matching = sa.select(chosen.c.id).where(_record(shape, chosen.c.id, *conditions))
    return _built(matching.order_by(chosen.c.place))


def _cut(query: sa.Select[Any]) -> sa.Select[Any]:
    offset, limit = (sa.bindparam(name, type_=sa.Integer) for name in ("offset", "limit"))
    return query.offset(offset).limit(limit)


def _branch(shape: _Shape, state: TaskState | None) -> sa.Select[Any]:
    """Ids of the tasks in one state, or in any."""
    if state is None or state.value in ENDED:
        if shape.labels:
            return _labelled(shape, state)
        return _created_ones(shape).where(*_recorded(shape, task, state))
    parts = [_in_table(shape, table, parked) for table, parked in _WHERE[state]]
    return parts[0] if len(parts) == 1 else sa.select(sa.union_all(*parts).subquery().c.id)


def _created_ones(shape: _Shape) -> sa.Select[Any]:
    query = sa.select(task.c.id).where(task.c.project_id == _PROJECT, *_created(shape))
    return query.where(*_beyond(shape, task.c.id))


def _recorded(
    shape: _Shape, record: sa.FromClause, state: TaskState | None
) -> list[sa.ColumnElement[bool]]:
    """What a record says of those that are wanted, beside its labels."""
    conditions: list[sa.ColumnElement[bool]] = []
    if shape.agents or shape.queue:
        conditions.append(record.c.lane_id.in_(_lanes(shape)))
    if state:
        conditions.append(record.c.outcome == state.value)
    return conditions


def _labelled(shape: _Shape, state: TaskState | None) -> sa.Select[Any]:
    """Common labels are found among the first tasks that have any, one by one; only where that
    gives too few are all others that have them looked up. The offsets keep PostgreSQL from another
    way: it cannot know which labels are common among the first."""
    by_id = _by_id(task.c.id, shape.order)
    any_label = _created_ones(shape).where(task.c.labels != sa.text("'{}'"))  # as its index says
    among = any_label.order_by(by_id).limit(_NEAR).subquery()
    each = task.alias()
    read = sa.select(each.c.labels, each.c.lane_id, each.c.outcome)
    record = read.where(each.c.id == among.c.id).offset(0).lateral()
    near = (
        sa.select(among.c.id)
        .select_from(among.join(record, sa.true()))
        .where(_has_labels(record.c.labels), *_recorded(shape, record, state))
        .order_by(_by_id(among.c.id, shape.order))
        .limit(_MOST)
        .cte()
    )
    too_few = sa.select(sa.func.count() < _MOST).select_from(near).scalar_subquery()
    edge = any_label.order_by(by_id).offset(_NEAR - 1).limit(1).scalar_subquery()
    beyond = task.c.id > edge if shape.order is Order.OLDEST else task.c.id < edge
    others = _created_ones(shape).where(too_few, beyond, _has_labels(task.c.labels))
    all_others = others.where(*_recorded(shape, task, state)).offset(0).subquery()
    rest = sa.select(all_others.c.id).order_by(_by_id(all_others.c.id, shape.order)).limit(_MOST)
    either = sa.union_all(sa.select(near.c.id), rest).subquery()
    return sa.select(either.c.id)


def _in_table(shape: _Shape, table: sa.Table, parked: bool | None) -> sa.Select[Any]:  # noqa: FBT001
    query = sa.select(table.c.task_id.label("id")).where(table.c.lane_id.in_(_lanes(shape)))
    if parked is not None:
        query = query.where(table.c.parked.is_(parked))
    query = query.where(*_beyond(shape, table.c.task_id))
    if conditions := _of_record(shape):
        query = query.join(task, task.c.id == table.c.task_id).where(*conditions)
    return query


def _of_record(shape: _Shape) -> list[sa.ColumnElement[bool]]:
    return [_has_labels(task.c.labels), *_created(shape)] if shape.labels else _created(shape)


def _has_labels(labels: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return labels.op("@>", is_comparison=True)(sa.bindparam("labels", type_=JSONB))


def _created(shape: _Shape) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    moment = sa.DateTime(timezone=True)
    if shape.created_after:
        conditions.append(task.c.created_at > sa.bindparam("created_after", type_=moment))
        conditions.append(task.c.id >= sa.bindparam("least", type_=sa.Uuid))
    if shape.created_before:
        conditions.append(task.c.created_at < sa.bindparam("created_before", type_=moment))
        conditions.append(task.c.id <= sa.bindparam("greatest", type_=sa.Uuid))
    return conditions


def _lanes(shape: _Shape) -> sa.Select[Any]:
    query = sa.select(lane.c.id).where(lane.c.project_id == _PROJECT)
    if shape.agents:
        agents = sa.bindparam("agents", type_=ARRAY(sa.Uuid))
        query = query.where(lane.c.agent_id == sa.any_(agents))
    if shape.queue:
        query = query.where(lane.c.queue == sa.bindparam("queue", type_=sa.Text))
    return query


def _beyond(shape: _Shape, column: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
    if not shape.bounded:
        return []
    return [column > _BOUND if shape.order is Order.OLDEST else column < _BOUND]


# -- by words ------------------------------------------------------------------------------------


async def _found(
    conn: AsyncConnection, project_id: UUID, wanted: TaskFilter, window: Window
) -> list[UUID]:
    """The first tasks that have the words, as many as the window needs."""
    upwards = window.order is Order.OLDEST
    shape = _Shape.of(wanted, window)
    values = _values(project_id, wanted, window)
    lanes: Sequence[int] = ()
    if shape.agents or shape.queue:
        lanes = [row.id for row in await _run(conn, _built(_lanes(shape)), values)]
        if not lanes:
            return []
    ended = wanted.states if wanted.states <= _ENDED else frozenset[TaskState]()
    bound = window.beyond or (_LOWEST if upwards else _HIGHEST)
    values |= {"words": wanted.words, "bound": bound}
    parts = await search.parts(conn, project_id, bound, wanted.words or "", upwards=upwards)
    marks = [
        search.marks(
            [f"p{number}" for number in some],
            [f"l{lane_id}" for lane_id in lanes],
            [f"o{state.value}" for state in sorted(ended)],
        )
        for some in search.steps(parts)
    ]
    rows = await _run(conn, _hits(shape), values | {"steps": marks})
    return [row.task_id for row in rows]


@lru_cache(maxsize=512)
def _hits(shape: _Shape) -> _Built:
    """Documents tell which tasks come into question; what holds of them now their records tell,
    which are looked up one by one, in order, until there are enough. Steps are gone through in
    their order, as each is the outer side of a join whose inner side depends on it."""
    order = shape.order
    steps = sa.bindparam("steps", type_=ARRAY(sa.Text))
    step = sa.func.unnest(steps).table_valued("marks").render_derived()
    hits = search.hits(step.c.marks, *_beyond(shape, search.search.c.task_id))
    hit = hits.correlate(step).lateral()
    ordered = sa.select(hit.c.task_id).order_by(_by_id(hit.c.task_id, order)).lateral()
    matching = sa.select(ordered.c.task_id).where(_record(shape, ordered.c.task_id))
    each = matching.order_by(_by_id(ordered.c.task_id, order)).limit(_MOST).lateral()
    first = sa.select(each.c.task_id).select_from(step.join(each, sa.true())).limit(_MOST)
    found = first.subquery()
    return _built(sa.select(found.c.task_id).order_by(_by_id(found.c.task_id, order)))


def _record(
    shape: _Shape, task_id: sa.ColumnElement[Any], *conditions: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """Whether a task's record has what the shape and the conditions ask for; looked up by id."""
    asked = [task.c.id == sa.any_(array([task_id])), *conditions, *_of_record(shape)]
    tables: sa.FromClause = task
    if shape.states:
        states = sa.bindparam("states", type_=ARRAY(sa.Text))
        asked.append((task.c.outcome if shape.states <= _ENDED else STATE) == sa.any_(states))
        tables = task if shape.states <= _ENDED else PLACES
    return sa.exists().select_from(tables).where(*asked)
