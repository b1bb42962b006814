"""What goes on, at a glance: counts, queues and the tasks that run or came last.

What is read grows with what runs, with lanes and with queues, never with how many tasks there are:
counts end at a bound, and lists are taken from the end of an index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.store import agent
from podium.projects.store import project
from podium.scheduler.tables import running, task
from podium.storage.database import call_in
from podium.tasks.tables import PLACES, SUMMARY

MOST_COUNTED = 10_000
"""More tasks of a state, or of a queue, are not counted."""

_LANES = """
select array_agg(id) as ids from lane
 where ($1::uuid is null or project_id = $1) and ($2::text is null or queue = $2)
"""
_COUNTS = """
select (select count(*) from (select from running where lane_id = any ($1) limit $2) c) as running,
       (select count(*) from (select from ready where lane_id = any ($1) limit $2) c) as queued,
       (select count(*)
          from (select from wait where lane_id = any ($1) and parked limit $2) c) as waiting,
       (select count(*)
          from ((select from blocked where lane_id = any ($1) limit $2) union all
                (select from timer where lane_id = any ($1) limit $2) union all
                (select from wait where lane_id = any ($1) and not parked limit $2)
                limit $2) c) as pending
"""
_QUEUES = """
select p.name as project, n.name, coalesce(q.state, 'open') as state, q.concurrency,
       q.rate_count, q.rate_seconds, q.rate_burst, r.queued, u.running
  from (select project_id, queue as name, array_agg(id) as ids from lane
         where id = any ($1) group by 1, 2) l
  full join (select * from queue
              where ($4::uuid is null or project_id = $4) and ($5::text is null or name = $5)) q
       using (project_id, name) as n
  join project p on p.id = n.project_id and p.deleted_at is null
 cross join lateral (
       select count(*) as queued
         from (select from ready where lane_id = any (l.ids) limit $2) counted) r
 cross join lateral (select count(*) as running from running where lane_id = any (l.ids)) u
 order by u.running desc, r.queued desc, p.name, n.name limit $3
"""
_runner = agent.alias()
_LANE_IDS = sa.bindparam("lanes", type_=ARRAY(sa.Integer))
_TASK_IDS = sa.bindparam("ids", type_=ARRAY(sa.Uuid))


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose tasks are meant: of one project or None for all, and perhaps of one queue."""

    project_id: UUID | None
    queue: str | None


async def lanes(conn: AsyncConnection, of: Scope) -> list[int]:
    """The lanes of these tasks."""
    (row,) = await call_in(conn, _LANES, of.project_id, of.queue)
    return row["ids"] or []


async def counts(conn: AsyncConnection, of: Sequence[int]) -> Mapping[str, int]:
    """Tasks in these lanes by open state, counted up to ``MOST_COUNTED``."""
    (row,) = await call_in(conn, _COUNTS, list(of), MOST_COUNTED)
    return {state: row[state] for state in ("running", "queued", "waiting", "pending")}


async def queues(
    conn: AsyncConnection, of: Scope, lanes: Sequence[int], most: int
) -> Sequence[Any]:
    """The queues of these lanes and those with rules to which no task came, the busiest first."""
    return await call_in(conn, _QUEUES, list(lanes), MOST_COUNTED, most, of.project_id, of.queue)


async def now_running(conn: AsyncConnection, of: Sequence[int], most: int) -> Sequence[Any]:
    """Summaries of running tasks, those first that have run for longest."""
    chosen = (
        sa.select(running.c.task_id)
        .where(running.c.lane_id == sa.any_(_LANE_IDS))
        .order_by(running.c.started_at, running.c.task_id)
        .limit(most)
    )
    return await _summaries(conn, list((await conn.execute(chosen, {"lanes": list(of)})).scalars()))


async def newest(
    conn: AsyncConnection, of: Scope, lanes: Sequence[int], most: int
) -> Sequence[Any]:
    """Summaries of the tasks that came last, in whatever state. Of a queue, those among the
    ``MOST_COUNTED`` that came last."""
    recent = sa.select(task.c.id, task.c.lane_id).order_by(task.c.id.desc())
    if of.project_id is not None:
        recent = recent.where(task.c.project_id == of.project_id)
    recent = recent.limit(most if of.queue is None else MOST_COUNTED).subquery()
    chosen = sa.select(recent.c.id).order_by(recent.c.id.desc()).limit(most)
    values: dict[str, Any] = {}
    if of.queue is not None:
        chosen = chosen.where(recent.c.lane_id == sa.any_(_LANE_IDS))
        values["lanes"] = list(lanes)
    return await _summaries(conn, list((await conn.execute(chosen, values)).scalars()))


async def _summaries(conn: AsyncConnection, ids: Sequence[UUID]) -> Sequence[Any]:
    """The tasks in the order of their ids. Those are given as an array: joined to the table of
    all tasks they may lead PostgreSQL to read the whole of it."""
    columns = (
        *SUMMARY,
        project.c.name.label("project"),
        running.c.worker_id,
        _runner.c.name.label("runner"),
    )
    tables = PLACES.join(project, project.c.id == task.c.project_id).outerjoin(
        _runner, _runner.c.id == running.c.agent_id
    )
    of_ids = sa.select(*columns).select_from(tables).where(task.c.id == sa.any_(_TASK_IDS))
    found = {row.id: row for row in await conn.execute(of_ids, {"ids": list(ids)})}
    return [found[task_id] for task_id in ids if task_id in found]
