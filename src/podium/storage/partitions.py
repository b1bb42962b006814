"""Daily partitions of tables that grow for ever: made ahead of time, dropped when they are old."""

from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_AHEAD_DAYS = 7
_LOCK = "select pg_advisory_xact_lock(1886348393, 4)"
_CHILDREN = text(
    "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
    " where i.inhparent = to_regclass(:parent)"
)


async def maintain(
    conn: AsyncConnection, table: str, keep_days: int, today: date | None = None
) -> None:
    """Make the partitions of the coming week and drop those wholly older than ``keep_days``.

    Rows outside every partition go to ``<table>_default``, so nothing is ever refused.
    """
    await conn.execute(text(_LOCK))
    present = set((await conn.execute(_CHILDREN, {"parent": table})).scalars())
    today = today or datetime.now(UTC).date()
    for offset in range(_AHEAD_DAYS + 1):
        day = today + timedelta(days=offset)
        if _name(table, day) not in present:
            await _create(conn, table, day)
    oldest = _name(table, today - timedelta(days=keep_days))
    for name in sorted(present - {f"{table}_default"}):
        if name < oldest:
            await conn.execute(text(f"drop table {name}"))
    stray = f"delete from {table}_default where at < now() - make_interval(days => :days)"  # noqa: S608
    await conn.execute(text(stray), {"days": keep_days})


async def _create(conn: AsyncConnection, table: str, day: date) -> None:
    name, end = _name(table, day), day + timedelta(days=1)
    await conn.execute(text(f"create table {name} (like {table} including all)"))
    # Rows that came before their partition did move into it.
    moved = (
        f"with moved as (delete from {table}_default where at >= '{day}' and at < '{end}'"  # noqa: S608
        f" returning *) insert into {name} select * from moved"
    )
    await conn.execute(text(moved))
    attach = f"alter table {table} attach partition {name} for values from ('{day}') to ('{end}')"
    await conn.execute(text(attach))


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"
