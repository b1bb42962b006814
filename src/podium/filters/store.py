"""The table of saved filters."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.filters.model import SavedFilter
from podium.kernel.ids import uuid7
from podium.storage.database import metadata

saved_filter = sa.Table(
    "saved_filter",
    metadata,
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("project_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("filter", JSONB, nullable=False),
    sa.Column("sort", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
)
_COLUMNS = tuple(each for each in saved_filter.c if each.name != "project_id")


async def read_page(
    conn: AsyncConnection, project_id: UUID, after: str | None, limit: int
) -> Sequence[SavedFilter]:
    """Filters of a project by name."""
    query = sa.select(*_COLUMNS).where(saved_filter.c.project_id == project_id)
    query = query.where(saved_filter.c.name > (after or ""))
    rows = await conn.execute(query.order_by(saved_filter.c.name).limit(limit))
    return [SavedFilter(*row) for row in rows]


async def read(conn: AsyncConnection, project_id: UUID, name: str) -> SavedFilter | None:
    query = sa.select(*_COLUMNS).where(
        saved_filter.c.project_id == project_id, saved_filter.c.name == name
    )
    row = (await conn.execute(query)).one_or_none()
    return SavedFilter(*row) if row else None


async def put(
    conn: AsyncConnection,
    project_id: UUID,
    name: str,
    who: str,
    description: str,
    wanted: Mapping[str, Any],
    sort: str,
) -> SavedFilter:
    """Save a filter, which need not have been there."""
    values = {
        "description": description,
        "filter": wanted,
        "sort": sort,
        "created_by": who,
        "updated_at": sa.func.now(),
    }
    new = insert(saved_filter).values(id=uuid7(), project_id=project_id, name=name, **values)
    made = new.on_conflict_do_update(
        index_elements=[saved_filter.c.project_id, saved_filter.c.name], set_=values
    )
    return SavedFilter(*(await conn.execute(made.returning(*_COLUMNS))).one())


async def delete(conn: AsyncConnection, project_id: UUID, name: str) -> UUID | None:
    """Remove a filter; gives the id that it had."""
    gone = sa.delete(saved_filter).where(
        saved_filter.c.project_id == project_id, saved_filter.c.name == name
    )
    return (await conn.execute(gone.returning(saved_filter.c.id))).scalar_one_or_none()
