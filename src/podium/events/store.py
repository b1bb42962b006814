"""The event table: append in the caller's transaction, read before the feed's edge."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events.model import BEGINNING, Cursor, Event, EventFilter, NewEvent
from podium.storage.database import call_in, metadata

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
_PAGE = "select * from feed_page($1, $2, $3, $4)"
_NEWEST_BEFORE = (
    "select epoch, xid, id from event where at < $1 order by epoch desc, xid desc, id desc limit 1"
)
_SET_FLOOR = (
    "insert into meta (key, value) values ('event_floor', to_jsonb($1::text))"
    " on conflict (key) do update set value = excluded.value"
)
_BREAKS = "select value #>> '{}' from meta where key = 'event_breaks'"
_NEW_EPOCH = """
update meta set value = to_jsonb({epoch}) where key = 'epoch';
insert into meta (key, value) values ('event_breaks', to_jsonb('{edge}'::text))
    on conflict (key) do update set value = to_jsonb((meta.value #>> '{{}}') || ' ' || '{edge}');
alter table event alter column epoch set default {epoch};
"""
_ORDER = (event.c.epoch, event.c.xid, event.c.id)
_place = sa.tuple_(*_ORDER)
_WINDOW = 20_000
"""Most events that one filtered read looks at, so that a rare type costs no scan of the table."""


class Edge(NamedTuple):
    """Events before ``cursor`` are complete. ``held``: an open writer keeps it from moving on."""

    cursor: Cursor
    held: bool


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


async def edge(conn: AsyncConnection) -> Edge:
    """How far the feed is complete. Select events in a later statement."""
    (row,) = await call_in(conn, "select * from feed_edge()")
    return Edge(Cursor(row["epoch"], row["xid"], 0), row["held"])


async def newest(conn: AsyncConnection) -> Cursor:
    """No committed event lies after this cursor, complete or not."""
    (row,) = await call_in(
        conn,
        "select value::text::int, pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        "  from meta where key = 'epoch'",
    )
    return Cursor(row[0], row[1], 0)


async def floor(conn: AsyncConnection) -> Cursor:
    """The newest event that retention removed; a reader behind it has missed something."""
    found = await call_in(conn, "select value #>> '{}' from meta where key = 'event_floor'")
    return Cursor.parse(found[0][0]) if found else BEGINNING


async def newest_before(conn: AsyncConnection, moment: datetime) -> Cursor | None:
    """The last in the feed of the events that were written before ``moment``."""
    found = await call_in(conn, _NEWEST_BEFORE, moment)
    return Cursor(*found[0]) if found else None


async def set_floor(conn: AsyncConnection, floor: Cursor) -> None:
    """Remember that events up to here may be missing."""
    await call_in(conn, _SET_FLOOR, str(floor))


def new_epoch(epoch: int, edge: Cursor) -> str:
    """Statements that begin an epoch in a copy whose events were complete before ``edge``.

    Transaction ids begin anew with each server: within an epoch alone they tell an order.
    """
    return _NEW_EPOCH.format(epoch=epoch, edge=edge)


async def is_lost(conn: AsyncConnection, cursor: Cursor) -> bool:
    """Whether a cursor is of a time that this database was not part of: when it was copied, the
    database that gave the cursor went on, and with what no copy of it has."""
    found = await call_in(conn, _BREAKS)
    breaks = [Cursor.parse(each) for each in found[0][0].split()] if found else []
    if not breaks:
        return False
    began = [*(each.epoch for each in breaks[1:]), (await newest(conn)).epoch]
    return any(
        edge < cursor < Cursor(epoch, 0, 0) for edge, epoch in zip(breaks, began, strict=True)
    )


async def page(conn: AsyncConnection, after: Cursor, limit: int) -> tuple[Edge, list[Event]]:
    """The edge, and the complete events after a cursor, oldest first, at most ``limit``."""
    edge, *rows = await call_in(conn, _PAGE, *after, limit)
    return Edge(Cursor(edge["epoch"], edge["xid"], 0), edge["held"]), [_event(r) for r in rows]


async def scan(
    conn: AsyncConnection, after: Cursor, wanted: EventFilter, limit: int
) -> tuple[list[Event], Cursor, bool]:
    """Matching complete events after the cursor, the cursor to go on from, and whether the end
    of the feed was reached. Looks at 20,000 events at most, so it may find none before the end.
    """
    span = _Span(after, (await edge(conn)).cursor)
    far = None if wanted.subjects else await _window_edge(conn, span)
    found = await _matching(conn, span.up_to(far), wanted, limit)
    if len(found) == limit:
        return found, found[-1].cursor, False
    return found, max(after, far or span.end), far is None


async def scan_back(
    conn: AsyncConnection, before: Cursor, wanted: EventFilter, limit: int
) -> tuple[list[Event], Cursor, bool]:
    """The same in the other direction: newest first, from a cursor back to the oldest that is
    kept. ``before`` must not lie beyond the edge."""
    span = _Span(BEGINNING, before, backwards=True)
    far = None if wanted.subjects else await _window_edge(conn, span)
    found = await _matching(conn, span.up_to(far), wanted, limit)
    if len(found) == limit:
        return found, found[-1].cursor, False
    return found, far or BEGINNING, far is None


@dataclass(frozen=True, slots=True)
class _Span:
    """The events between two cursors, which are not part of it, and how they are gone through."""

    after: Cursor
    end: Cursor
    backwards: bool = False

    @property
    def condition(self) -> sa.ColumnElement[bool]:
        return sa.and_(_place > _literal(self.after), _place < _literal(self.end))

    def up_to(self, last: Cursor | None) -> "_Span":
        """What comes up to this event, which is part of it; all of it without one."""
        if last is None:
            return self
        if self.backwards:
            return replace(self, after=last._replace(id=last.id - 1))
        return replace(self, end=last._replace(id=last.id + 1))

    def order(self, *columns: sa.ColumnElement[Any]) -> Sequence[sa.ColumnElement[Any]]:
        return [each.desc() for each in columns] if self.backwards else columns


async def _window_edge(conn: AsyncConnection, span: _Span) -> Cursor | None:
    """The last event of a whole window; None when the span ends before. It is asked for before the
    window is read: retention may drop events in between, and then the window would reach further.
    """
    query = sa.select(*_ORDER).where(span.condition).order_by(*span.order(*_ORDER))
    row = (await conn.execute(query.offset(_WINDOW - 1).limit(1))).one_or_none()
    return Cursor(*row) if row else None


async def _matching(
    conn: AsyncConnection, span: _Span, wanted: EventFilter, limit: int
) -> list[Event]:
    window = sa.select(event).where(span.condition)
    if wanted.subjects:
        window = window.where(event.c.subject.in_(wanted.subjects))
    else:
        window = window.order_by(*span.order(*_ORDER)).limit(_WINDOW)
    seen = window.subquery()
    query = sa.select(seen).where(*_conditions(wanted, seen.c))
    order = span.order(seen.c.epoch, seen.c.xid, seen.c.id)
    rows = await conn.execute(query.order_by(*order).limit(limit))
    return [_event(row) for row in rows.mappings()]


async def history(
    conn: AsyncConnection, subject: UUID, after: Cursor, limit: int
) -> tuple[list[Event], bool]:
    """What happened to one subject, oldest first, and whether there is more.

    The last page has all that is committed. One before it ends where the feed is complete, so
    that what an open writer is about to commit is not passed over; unless the feed is complete
    nowhere on it, because a reader must get on.
    """
    complete = (await edge(conn)).cursor
    query = sa.select(event).where(event.c.subject == subject, _place > _literal(after))
    rows = await conn.execute(query.order_by(*_ORDER).limit(limit + 1))
    found = [_event(row) for row in rows.mappings()]
    if len(found) <= limit:
        return found, False
    page = found[:limit]
    return [each for each in page if each.cursor < complete] or page, True


def _literal(cursor: Cursor) -> sa.Tuple:
    return sa.tuple_(*cursor, types=[sa.SmallInteger(), sa.BigInteger(), sa.BigInteger()])


def _conditions(
    wanted: EventFilter, columns: sa.ColumnCollection[str, sa.ColumnElement[Any]]
) -> Iterator[sa.ColumnElement[bool]]:
    if wanted.projects is not None:
        yield columns.project_id.in_(wanted.projects)
    if wanted.types:
        yield sa.or_(
            *(
                columns.type.startswith(name[:-1], autoescape=True)
                if name.endswith(".*")
                else columns.type == name
                for name in wanted.types
            )
        )


def _event(row: Any) -> Event:
    data = row["data"]
    return Event(
        cursor=Cursor(row["epoch"], row["xid"], row["id"]),
        at=row["at"],
        project_id=row["project_id"],
        type=row["type"],
        version=row["version"],
        subject=row["subject"],
        actor=row["actor"],
        data=orjson.loads(data) if isinstance(data, str) else data,
    )
