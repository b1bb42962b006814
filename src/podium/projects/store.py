"""The project table."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.projects.model import Project
from podium.storage.database import call_in, metadata

project = sa.Table(
    "project",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("weight", sa.Double, nullable=False, server_default="1"),
    sa.Column("ageing_seconds", sa.Double),
    sa.Column("keep_days", sa.Double),
    sa.Column("keep_tasks", sa.Integer),
    sa.Column(
        "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
    ),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
)
_COLUMNS = (
    project.c.id,
    project.c.name,
    project.c.weight,
    project.c.ageing_seconds.label("priority_ageing"),
    project.c.keep_days,
    project.c.keep_tasks,
    project.c.created_at,
)
_LIVE = project.c.deleted_at.is_(None)
_LOCK = "select pg_advisory_xact_lock(1886348393, 8)"
"""``submit_tasks`` shares it: no row of a project is locked for each of its tasks."""
_LOCK_LINES = "select lock_gates()"
_FOLLOW_AGEING = "select follow_ageing($1)"
_HOLD = "select from project where id = $1 and deleted_at is null for key share"
_CONTENTS = (
    "select (select count(*) from agent where project_id = $1 and deleted_at is null) as agents,"
    " (select count(*) from (select from task where project_id = $1 limit $2) t) as tasks,"
    " (select count(*) from schedule where project_id = $1) as schedules,"
    " (select count(*) from template where project_id = $1 and deleted_at is null) as templates,"
    " (select count(*) from token where project_id = $1 and revoked_at is null"
    "   and (expires_at is null or expires_at > now())) as tokens"
)


async def insert(
    conn: AsyncConnection, project_id: UUID, name: str, given: Mapping[str, Any]
) -> Project | None:
    """The new project with the given settings; None when the name is taken."""
    rows = await conn.execute(
        upsert(project)
        .values(id=project_id, name=name, **_columns(given))
        .on_conflict_do_nothing(index_elements=[project.c.name], index_where=_LIVE)
        .returning(*_COLUMNS)
    )
    return _one(rows)


async def by_name(conn: AsyncConnection, name: str, *, for_update: bool = False) -> Project | None:
    query = sa.select(*_COLUMNS).where(project.c.name == name, _LIVE)
    return _one(await conn.execute(query.with_for_update() if for_update else query))


async def name_of(conn: AsyncConnection, project_id: UUID) -> str | None:
    """Also of a deleted project: its events and tasks still tell of it."""
    rows = await conn.execute(sa.select(project.c.name).where(project.c.id == project_id))
    return rows.scalar_one_or_none()


async def read_page(
    conn: AsyncConnection, only: UUID | None, after: str | None, limit: int
) -> Sequence[Project]:
    """Projects in order of name; only the one with this id if it is given."""
    query = sa.select(*_COLUMNS).where(_LIVE)
    if only is not None:
        query = query.where(project.c.id == only)
    if after is not None:
        query = query.where(project.c.name > after)
    rows = await conn.execute(query.order_by(project.c.name).limit(limit))
    return [_project(row) for row in rows]


async def update(conn: AsyncConnection, project_id: UUID, given: Mapping[str, Any]) -> None:
    change = sa.update(project).where(project.c.id == project_id)
    await conn.execute(change.values(**_columns(given)))


def _columns(given: Mapping[str, Any]) -> dict[str, Any]:
    return {_COLUMN.get(name, name): value for name, value in given.items()}


_COLUMN = {"priority_ageing": "ageing_seconds"}


async def keeping_less(conn: AsyncConnection) -> Sequence[Project]:
    """Projects whose ended tasks are deleted at some time."""
    some = sa.or_(project.c.keep_days.is_not(None), project.c.keep_tasks.is_not(None))
    rows = await conn.execute(sa.select(*_COLUMNS).where(_LIVE, some).order_by(project.c.id))
    return [_project(row) for row in rows]


async def lock_lines(conn: AsyncConnection) -> None:
    """Hold the gate lock until the transaction ends; to be taken before any row is locked."""
    await call_in(conn, _LOCK_LINES)


async def follow_ageing(conn: AsyncConnection, project_id: UUID) -> None:
    """Have the tasks of the project that wait at gates stand where its ageing puts them."""
    await call_in(conn, _FOLLOW_AGEING, project_id)


async def lock_out_tasks(conn: AsyncConnection) -> None:
    """Let nobody submit tasks, to whichever project, until the transaction ends."""
    await call_in(conn, _LOCK)


async def hold(conn: AsyncConnection, project_id: UUID) -> bool:
    """Keep the project from being deleted until the transaction ends; False when it was."""
    return bool(await call_in(conn, _HOLD, project_id))


async def contents(conn: AsyncConnection, project_id: UUID, most: int) -> Mapping[str, int]:
    """How many agents, tasks (counted up to ``most``), schedules, templates of its own and tokens
    in force it has."""
    (row,) = await call_in(conn, _CONTENTS, project_id, most)
    return {name: row[name] for name in ("agents", "tasks", "schedules", "templates", "tokens")}


async def delete(conn: AsyncConnection, project_id: UUID) -> None:
    change = sa.update(project).where(project.c.id == project_id)
    await conn.execute(change.values(deleted_at=sa.func.now()))


def _one(rows: sa.Result[*tuple[Any, ...]]) -> Project | None:
    row = rows.one_or_none()
    return _project(row) if row else None


def _project(row: Any) -> Project:
    return Project(**row._mapping)  # noqa: SLF001 - its public name for a row's columns
