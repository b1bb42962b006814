"""The table of what was applied."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.applied.model import Applied, Kind
from podium.projects.store import project
from podium.storage.database import metadata

applied = sa.Table(
    "applied",
    metadata,
    sa.Column("project_id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("set_name", sa.Text, nullable=False),
    sa.Column("fields", JSONB, nullable=False),
    sa.Column("applied_by", sa.Text, nullable=False),
    sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
)
_KEY = (applied.c.project_id, applied.c.kind, applied.c.name)
_LIVE = project.c.deleted_at.is_(None)
Key = tuple[UUID, str, str]
"""Project, kind and name."""


async def read_page(
    conn: AsyncConnection,
    only: UUID | None,
    kinds: Sequence[Kind],
    set_name: str | None,
    after: Key | None,
    limit: int,
) -> Sequence[Applied]:
    """Records of these kinds, in the order of their keys; only of one project if it is given."""
    query = sa.select(
        applied.c.project_id,
        project.c.name.label("project"),
        applied.c.kind,
        applied.c.name,
        applied.c.set_name,
        applied.c.fields,
        applied.c.applied_by,
        applied.c.applied_at,
    ).join(project, project.c.id == applied.c.project_id)
    query = query.where(_LIVE, applied.c.kind.in_([kind.value for kind in kinds]))
    if only is not None:
        query = query.where(applied.c.project_id == only)
    if set_name is not None:
        query = query.where(applied.c.set_name == set_name)
    if after is not None:
        query = query.where(sa.tuple_(*_KEY) > sa.tuple_(*after))
    rows = await conn.execute(query.order_by(*_KEY).limit(limit))
    return [Applied(*row) for row in rows]


async def projects_named(conn: AsyncConnection, names: Sequence[str]) -> Mapping[str, UUID]:
    """The ids of those of the projects that there are; none of them is deleted until the
    transaction ends."""
    query = sa.select(project.c.name, project.c.id).where(project.c.name.in_(names), _LIVE)
    rows = await conn.execute(query.order_by(project.c.id).with_for_update(read=True))
    return {row.name: row.id for row in rows}


async def put(
    conn: AsyncConnection, set_name: str, who: str, records: Mapping[Key, Mapping[str, str]]
) -> Sequence[Key]:
    """Let things belong to the set; gives those that did not, in the order of their keys."""
    if not records:
        return []
    before = await _of_set(conn, set_name, list(records))
    values: list[dict[str, Any]] = [
        {"project_id": key[0], "kind": key[1], "name": key[2], "set_name": set_name}
        | {"fields": records[key], "applied_by": who, "applied_at": sa.func.now()}
        for key in sorted(records)
    ]
    new = insert(applied).values(values)
    renewed = {name: new.excluded[name] for name in ("set_name", "fields", "applied_by")}
    is_new = sa.or_(
        applied.c.set_name != new.excluded.set_name, applied.c.fields != new.excluded.fields
    )
    await conn.execute(
        new.on_conflict_do_update(
            index_elements=list(_KEY),
            set_={**renewed, "applied_at": new.excluded.applied_at},
            where=is_new,
        )
    )
    return [key for key in sorted(records) if key not in before]


async def remove(conn: AsyncConnection, set_name: str, keys: Sequence[Key]) -> Sequence[Key]:
    """Let things belong to the set no more; gives those that did."""
    if not keys:
        return []
    gone = sa.delete(applied).where(
        applied.c.set_name == set_name, sa.tuple_(*_KEY).in_(sorted(keys))
    )
    rows = await conn.execute(gone.returning(*_KEY))
    return sorted((row.project_id, row.kind, row.name) for row in rows)


async def _of_set(conn: AsyncConnection, set_name: str, keys: Sequence[Key]) -> set[Key]:
    query = sa.select(*_KEY).where(applied.c.set_name == set_name, sa.tuple_(*_KEY).in_(keys))
    return {(row.project_id, row.kind, row.name) for row in await conn.execute(query)}
