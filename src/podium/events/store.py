"""The event table: append in the caller's transaction, read below the feed's bound."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events.model import Cursor, Event, EventFilter, NewEvent
from podium.storage.database import metadata

event = sa.Table(
    "event",
    metadata,
    sa.Column("epoch", sa.SmallInteger, nullable=False, server_default="1"),
    sa.Column("xid", sa.BigInteger, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("id", sa.BigInteger, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.FetchedValue()),
    sa.Column("project_id", sa.Uuid),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("version", sa.SmallInteger, nullable=False, server_default="1"),
    sa.Column("subject", sa.Uuid, nullable=False),
    sa.Column("actor", sa.Text),
    sa.Column("data", JSONB, nullable=False),
)
_CURSOR = sa.tuple_(event.c.epoch, event.c.xid, event.c.id)
_ORDER = (event.c.epoch, event.c.xid, event.c.id)
_COLUMNS = (
    event.c.epoch,
    event.c.xid,
    event.c.id,
    event.c.at,
    event.c.project_id,
    event.c.type,
    event.c.version,
    event.c.subject,
    event.c.actor,
    event.c.data,
)


async def append(conn: AsyncConnection, events: Sequence[NewEvent]) -> None:
    """Write events in the caller's transaction, which ``Database.transaction`` opened."""
    if events:
        rows = [
            {
                "type": item.type,
                "subject": item.subject,
                "project_id": item.project_id,
                "actor": item.actor,
                "data": dict(item.data or {}),
            }
            for item in events
        ]
        await conn.execute(sa.insert(event), rows)


async def bound(conn: AsyncConnection) -> int:
    """Events below this transaction id are complete. Read it in a statement before ``read``."""
    return (await conn.execute(sa.text("select feed_bound()"))).scalar_one()


async def last(conn: AsyncConnection) -> Cursor:
    """The newest complete event's cursor; where a reader that wants only news begins."""
    below = await bound(conn)
    newest = sa.select(*_ORDER).where(event.c.xid < below)
    newest = newest.order_by(*(column.desc() for column in _ORDER)).limit(1)
    row = (await conn.execute(newest)).one_or_none()
    return Cursor(*row) if row else Cursor(0, 0, 0)


async def read(
    conn: AsyncConnection, after: Cursor, limit: int, wanted: EventFilter | None = None
) -> list[Event]:
    """Complete events after the cursor, oldest first, at most ``limit``."""
    below = await bound(conn)
    query = sa.select(*_COLUMNS).where(sa.tuple_(*after) < _CURSOR, event.c.xid < below)
    if wanted is not None:
        query = query.where(*_conditions(wanted))
    rows = await conn.execute(query.order_by(*_ORDER).limit(limit))
    return [_event(row) for row in rows]


async def history(conn: AsyncConnection, subject: UUID, limit: int) -> list[Event]:
    """All that happened to one subject, oldest first, committed or about to be complete."""
    query = sa.select(*_COLUMNS).where(event.c.subject == subject)
    rows = await conn.execute(query.order_by(*_ORDER).limit(limit))
    return [_event(row) for row in rows]


def _conditions(wanted: EventFilter) -> Iterator[sa.ColumnElement[bool]]:
    if wanted.projects is not None:
        yield event.c.project_id.in_(wanted.projects)
    if wanted.subjects:
        yield event.c.subject.in_(wanted.subjects)
    if wanted.types:
        yield sa.or_(
            *(
                event.c.type.startswith(name[:-1], autoescape=True)
                if name.endswith(".*")
                else event.c.type == name
                for name in wanted.types
            )
        )


def _event(row: Any) -> Event:
    return Event(
        cursor=Cursor(row.epoch, row.xid, row.id),
        at=row.at,
        project_id=row.project_id,
        type=row.type,
        version=row.version,
        subject=row.subject,
        actor=row.actor,
        data=row.data,
    )
