"""The rules of limits, and how far their gates are used (``scheduler/sql/9_limits.sql``)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.ids import uuid7
from podium.limits.model import Limit
from podium.scheduler.model import Rate, rate_of, rate_values
from podium.storage.database import call_in, metadata

task_limit = sa.Table(
    "task_limit",
    metadata,
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("project_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("concurrency", sa.Integer),
    sa.Column("rate_count", sa.Integer),
    sa.Column("rate_seconds", sa.Double),
    sa.Column("rate_burst", sa.Integer),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
)
_READ = """
select l.*, g.used, g.waiting
  from (select * from task_limit where project_id = $1 and {which}) l
 cross join lateral (
       select coalesce(sum(g.used), 0)::bigint as used,
              coalesce(sum(g.waiting), 0)::bigint as waiting
         from gates_of(l.project_id, l.name) as k (key)
         join gate g on g.key = any (array[k.key])
        where right(l.name, 1) <> '*' or l.id = (select id from limit_of(k.key))) g
 order by l.name
"""
_ONE = _READ.format(which="name = $2")
_PAGE = _READ.format(which="name > $2 order by name limit $3")
_RULES = """
select k.key, l.concurrency, l.rate_count, l.rate_seconds, l.rate_burst,
       coalesce(g.burst - g.taken, l.rate_burst) as starts_left
  from unnest($1::text[]) as k (key)
  left join lateral limit_of(k.key) l on true
  left join gate g on g.key = k.key
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for a name, and how many starts its rate has left."""

    concurrency: int | None
    rate: Rate | None
    starts_left: int


async def read_page(
    conn: AsyncConnection, project_id: UUID, after: str | None, limit: int
) -> list[Limit]:
    """Limits of a project by name."""
    rows = await call_in(conn, _PAGE, project_id, after or "", limit)
    return [_limit(row) for row in rows]


async def read(conn: AsyncConnection, project_id: UUID, name: str) -> Limit | None:
    rows = await call_in(conn, _ONE, project_id, name)
    return _limit(rows[0]) if rows else None


async def rules_of(conn: AsyncConnection, keys: Sequence[str]) -> Mapping[str, Rule]:
    """What holds now for the gates of these keys; no limits for one whose rule was deleted."""
    rows = await call_in(conn, _RULES, list(keys))
    return {
        row["key"]: Rule(row["concurrency"], rate_of(row), row["starts_left"] or 0) for row in rows
    }


async def put(
    conn: AsyncConnection, project_id: UUID, name: str, concurrency: int | None, rate: Rate | None
) -> UUID:
    """Set a limit, which need not have been there; gives its id."""
    values = {
        "concurrency": concurrency,
        **rate_values(rate),
        "updated_at": sa.func.now(),
    }
    new = insert(task_limit).values(id=uuid7(), project_id=project_id, name=name, **values)
    made = new.on_conflict_do_update(
        index_elements=[task_limit.c.project_id, task_limit.c.name], set_=values
    )
    return (await conn.execute(made.returning(task_limit.c.id))).scalar_one()


async def delete(conn: AsyncConnection, project_id: UUID, name: str) -> UUID | None:
    """Remove a limit; gives the id that it had."""
    gone = sa.delete(task_limit).where(
        task_limit.c.project_id == project_id, task_limit.c.name == name
    )
    return (await conn.execute(gone.returning(task_limit.c.id))).scalar_one_or_none()


async def follow(conn: AsyncConnection, project_id: UUID, name: str) -> None:
    """Have the gates of a limit, or of a family, follow what holds for them now."""
    await call_in(conn, "select follow_limit($1, $2)", project_id, name)


def _limit(row: Any) -> Limit:
    return Limit(
        id=row["id"],
        name=row["name"],
        concurrency=row["concurrency"],
        rate=rate_of(row),
        used=row["used"],
        waiting=row["waiting"],
        updated_at=row["updated_at"],
    )
