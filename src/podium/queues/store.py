"""The queue table, and what is in the queues. The claim judges by it (``scheduler/sql``)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.ids import uuid7
from podium.queues.model import MOST_COUNTED, Queue, Rules
from podium.scheduler.model import rate_of, rate_values
from podium.storage.database import call_in, metadata

_Time = sa.DateTime(timezone=True)

queue = sa.Table(
    "queue",
    metadata,
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("project_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("concurrency", sa.Integer),
    sa.Column("rate_count", sa.Integer),
    sa.Column("rate_seconds", sa.Double),
    sa.Column("rate_burst", sa.Integer),
    sa.Column("distribution", sa.Text, nullable=False),
    sa.Column("tokens", sa.Double, nullable=False),
    sa.Column("filled_at", _Time, nullable=False),
    sa.Column("wakes_at", _Time),
    sa.Column("updated_at", _Time, nullable=False),
)
_NAMES = """
select name from queue where project_id = $1 and name > $2
union
select distinct queue from lane where project_id = $1 and queue > $2
order by name limit $3
"""
_READ = """
select n.name, q.id, coalesce(q.state, 'open') as state, q.concurrency, q.rate_count,
       q.rate_seconds, q.rate_burst, q.updated_at,
       coalesce(q.distribution, 'least_loaded') as distribution, r.queued, u.running
  from unnest($2::text[]) as n (name)
  left join queue q on q.project_id = $1 and q.name = n.name
 cross join lateral (
       select array_agg(id) as ids from lane where project_id = $1 and queue = n.name) l
 cross join lateral (
       select count(*) as queued
         from (select from ready where lane_id = any (l.ids) limit $3) counted) r
 cross join lateral (select count(*) as running from running where lane_id = any (l.ids)) u
 where q.id is not null or l.ids is not null
 order by n.name
"""
_NEXT_START = """
select clock_timestamp()
       + make_interval(secs => (1 - tokens_of(q)) * q.rate_seconds / q.rate_count) as at
  from queue q
 where project_id = $1 and name = $2 and rate_count is not null and tokens_of(q) < 1
"""


async def read_page(
    conn: AsyncConnection, project_id: UUID, after: str | None, limit: int
) -> list[Queue]:
    """Queues of a project that tasks came to or something was laid down for, by name."""
    rows = await call_in(conn, _NAMES, project_id, after or "", limit)
    return await _read(conn, project_id, [row["name"] for row in rows])


async def read(conn: AsyncConnection, project_id: UUID, name: str) -> Queue | None:
    found = await _read(conn, project_id, [name])
    return found[0] if found else None


async def _read(conn: AsyncConnection, project_id: UUID, names: Sequence[str]) -> list[Queue]:
    rows = await call_in(conn, _READ, project_id, names, MOST_COUNTED)
    return [_queue(row) for row in rows]


def _queue(row: Any) -> Queue:
    return Queue(
        name=row["name"],
        id=row["id"],
        rules=Rules(row["state"], row["concurrency"], rate_of(row), row["distribution"]),
        queued=row["queued"],
        running=row["running"],
        updated_at=row["updated_at"],
    )


async def next_start(conn: AsyncConnection, project_id: UUID, name: str) -> datetime | None:
    """When the queue's rate allows the next start; None when it does so now."""
    rows = await call_in(conn, _NEXT_START, project_id, name)
    return rows[0]["at"] if rows else None


async def lay_down(conn: AsyncConnection, project_id: UUID, name: str) -> UUID:
    """The id of the queue's row, which is made when there is none and stays locked."""
    new = insert(queue).values(id=uuid7(), project_id=project_id, name=name)
    made = new.on_conflict_do_update(
        index_elements=[queue.c.project_id, queue.c.name], set_={"name": name}
    )
    return (await conn.execute(made.returning(queue.c.id))).scalar_one()


async def set_rules(conn: AsyncConnection, queue_id: UUID, rules: Rules, *, refill: bool) -> None:
    """Change what is laid down; ``refill`` begins a new rate, with all its burst."""
    values: dict[str, Any] = {
        "state": rules.state,
        "concurrency": rules.concurrency,
        "distribution": rules.distribution,
        "updated_at": sa.func.now(),
        **rate_values(rules.rate),
    }
    if refill:
        tokens = rules.rate.burst if rules.rate else 0
        values |= {"tokens": tokens, "filled_at": sa.func.now(), "wakes_at": None}
    await conn.execute(sa.update(queue).where(queue.c.id == queue_id).values(**values))


async def forget_turns(conn: AsyncConnection, project_id: UUID, name: str) -> None:
    """Let agents share the queue's tasks as if none of them had been given any yet."""
    await call_in(conn, "delete from turn where project_id = $1 and queue = $2", project_id, name)


async def delete(conn: AsyncConnection, project_id: UUID, name: str) -> UUID | None:
    """Remove what was laid down for a queue; gives the id that it had."""
    gone = sa.delete(queue).where(queue.c.project_id == project_id, queue.c.name == name)
    return (await conn.execute(gone.returning(queue.c.id))).scalar_one_or_none()
