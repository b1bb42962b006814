"""Daily partitions of tables that grow for ever: made ahead of time, dropped when they are old."""

from datetime import UTC, date, datetime, timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.storage.database import lock_was_refused

_log = structlog.get_logger(__name__)

_AHEAD_DAYS = 7
_LOCK = text("select pg_advisory_xact_lock(1886348393, 4)")
_PATIENCE = "2s"
"""Making and dropping partitions needs locks that keep everybody out. A long reader, such as a
backup, must not make everybody wait behind us."""
_CHILDREN = text(
    "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
    " where i.inhparent = to_regclass(:parent)"
)


async def maintain(
    conn: AsyncConnection, table: str, keep_days: int, today: date | None = None
) -> bool:
    """Make the partitions of the coming week and drop those wholly older than ``keep_days``.

    Rows outside every partition go to ``<table>_default``, so nothing is ever refused. False when
    somebody reads the table for long: what is missing is to be done another time.
    """
    await conn.execute(_LOCK)
    await conn.execute(text(f"set local lock_timeout = '{_PATIENCE}'"))
    try:
        async with conn.begin_nested():
            await _maintain(conn, table, keep_days, today or datetime.now(UTC).date())
        done = True
    except DBAPIError as error:
        if not lock_was_refused(error):
            raise
        _log.warning("partitions.postponed", table=table)
        done = False
    # Not in a `finally`: after any other error the transaction is lost, and a cancellation must
    # not be replaced by the complaint about it.
    await conn.execute(text("set local lock_timeout to default"))
    return done


async def _maintain(conn: AsyncConnection, table: str, keep_days: int, today: date) -> None:
    present = set((await conn.execute(_CHILDREN, {"parent": table})).scalars())
    for offset in range(_AHEAD_DAYS + 1):
        day = today + timedelta(days=offset)
        if _name(table, day) not in present:
            await _create(conn, table, day)
    oldest = _name(table, today - timedelta(days=keep_days))
    for name in sorted(present - {f"{table}_default"}):
        if name < oldest:
            await conn.execute(text(f"drop table {name}"))
    stray = text(f"delete from {table}_default where at < :oldest")  # noqa: S608
    await conn.execute(stray, {"oldest": _midnight(today - timedelta(days=keep_days))})


async def _create(conn: AsyncConnection, table: str, day: date) -> None:
    name, next_day = _name(table, day), day + timedelta(days=1)
    await conn.execute(text(f"create table {name} (like {table} including all)"))
    # Rows that came before their partition did move into it.
    moved = (
        f"with moved as (delete from {table}_default where at >= :start and at < :end"  # noqa: S608
        f" returning *) insert into {name} select * from moved"
    )
    span = {"start": _midnight(day), "end": _midnight(next_day)}
    await conn.execute(text(moved), span)
    bounds = f"for values from ('{day} 00:00+00') to ('{next_day} 00:00+00')"
    await conn.execute(text(f"alter table {table} attach partition {name} {bounds}"))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"
