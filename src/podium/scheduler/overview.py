"""How many tasks are where, and which workers there are: for people and for metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.storage.database import call_in

_OPEN = """
select 'running' as state, count(*) as n from running
union all
select 'queued', count(*) from ready
union all
select 'waiting', count(*) from wait where parked
union all
select 'pending', (select count(*) from blocked) + (select count(*) from timer)
                  + (select count(*) from wait where not parked)
"""
_ENDED = (
    "select outcome as state, count(*) as n from task where outcome is not null group by outcome"
)
_DEAD = (
    "select coalesce(sum(d.n), 0)::bigint as n from project p cross join lateral ("
    " select count(*) as n from task where project_id = p.id and outcome = 'dead') d"
)
_OLDEST = (
    "select coalesce(extract(epoch from clock_timestamp() - min(queued_at)), 0)::float8 as age"
    " from ready"
)
_SESSIONS = (
    "select count(*) as n from running r"
    " where (select t.spec ? 'session' from task t where t.id = r.task_id)"
)
_WORKER_STATES = "select state, count(*) as n from worker group by state"
_WORKERS = """
select w.*, r.running, r.running_processes
  from worker w
 cross join lateral (
       select count(*) as running, count(*) filter (where isolated) as running_processes
         from running where worker_id = w.id) r
 where w.state in ('active', 'draining') or w.lease_until > now() - interval '1 hour'
 order by w.started_at desc, w.id limit 200
"""


@dataclass(frozen=True, slots=True)
class Worker:
    """One incarnation of a worker, and how many attempts it runs, in all and in processes of their
    own."""

    id: UUID
    name: str
    host: str
    pid: int
    version: str
    state: str
    concurrency: int
    running: int
    processes: int
    running_processes: int
    queues: list[str]
    runtimes: list[str]
    confinement: str | None
    started_at: datetime
    lease_until: datetime
    blocked_by: Mapping[str, Any] | None


async def open_tasks(conn: AsyncConnection) -> Mapping[str, int]:
    """Tasks of each state that is no end."""
    return _counts(await call_in(conn, _OPEN))


async def ended_tasks(conn: AsyncConnection) -> Mapping[str, int]:
    """Tasks of each end. Counts rows: ask seldom."""
    return _counts(await call_in(conn, _ENDED))


async def dead_tasks(conn: AsyncConnection) -> int:
    """Tasks that are dead."""
    return (await call_in(conn, _DEAD))[0]["n"]


async def oldest_queued(conn: AsyncConnection) -> float:
    """For how many seconds the task has been queued that was queued first; 0 without one."""
    return max(0.0, (await call_in(conn, _OLDEST))[0]["age"])


async def running_sessions(conn: AsyncConnection) -> int:
    """Running tasks that are sessions."""
    return (await call_in(conn, _SESSIONS))[0]["n"]


async def worker_states(conn: AsyncConnection) -> Mapping[str, int]:
    """Workers of each state."""
    zero = dict.fromkeys(("active", "draining", "stopped", "dead"), 0)
    return zero | _counts(await call_in(conn, _WORKER_STATES))


async def workers(conn: AsyncConnection) -> list[Worker]:
    """Workers that serve, and those that ended within the hour; newest first."""
    rows = await call_in(conn, _WORKERS)
    return [Worker(**{name: row[name] for name in Worker.__slots__}) for row in rows]


def _counts(rows: Sequence[Any]) -> dict[str, int]:
    return {row["state"]: row["n"] for row in rows}
