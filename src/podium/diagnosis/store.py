"""What the checks read. Each statement is bounded, however many tasks there are: it goes through
lanes, workers and sessions, or takes the newest so many rows of an index."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.ids import least_uuid7
from podium.storage.database import call_in

MOST_COUNTED = 100
"""Waiting tasks of a lane that are counted, and dead ones of a project."""
_LANES = 500
_ATTEMPTS = 5000
_DEAD_MOST = 5000
_HELD_MOST = 5000

_WAITING = """
with recursive l (id) as (
    (select r.lane_id from ready r order by r.lane_id limit 1)
    union all
    select (select r.lane_id from ready r where r.lane_id > l.id order by r.lane_id limit 1)
      from l where l.id is not null
), chosen as (
    select id from (
        select id from l where id is not null
        union
        select lane.id from lane join gate g on g.key = lane_gate(lane.id) and g.waiting > 0
         where lane.closed) x
     limit $1
)
select p.name as project, lane.queue, lane.capabilities, a.name as agent,
       lane.agent_id is not null as named, w.n as waiting, w.seconds,
       q.state, q.concurrency, u.running as in_queue,
       m.names, m.disabled, m.unhealthy, m.usable, m.free, m.runtimes, s.serving
  from chosen
  join lane on lane.id = chosen.id
  join project p on p.id = lane.project_id
  left join agent a on a.id = lane.agent_id
  left join queue q on q.project_id = lane.project_id and q.name = lane.queue
 cross join lateral (
       select count(*) as n,
              extract(epoch from clock_timestamp() - min(queued_at))::float8 as seconds
         from (select queued_at from ready where lane_id = lane.id
               union all
               select since from wait where gate = lane_gate(lane.id)
               limit $2) f) w
 cross join lateral (
       select case when q.concurrency is not null then (
                select count(*) from running r join lane x on x.id = r.lane_id
                 where x.project_id = lane.project_id and x.queue = lane.queue) end as running) u
 cross join lateral (
       select array_agg(g.name order by g.name) as names,
              array_agg(g.name order by g.name) filter (where not g.enabled) as disabled,
              array_agg(g.name order by g.name) filter (where g.enabled and not g.healthy)
                as unhealthy,
              count(*) filter (where g.enabled and g.healthy) as usable,
              count(*) filter (where g.enabled and g.healthy and g.has_room) as free,
              array_agg(distinct g.runtime) filter (where g.enabled and g.healthy) as runtimes
         from (select x.*, x.max_concurrency is null or x.max_concurrency > (
                        select count(*) from running where agent_id = x.id) as has_room
                 from agent x
                where x.deleted_at is null
                  and case when lane.agent_id is not null then x.id = lane.agent_id
                           else x.project_id = lane.project_id
                                and x.capabilities @> lane.capabilities end) g) m
 cross join lateral (
       select count(*) as serving from worker k
        where k.state = 'active' and k.lease_until > clock_timestamp()
          and (cardinality(k.queues) = 0 or lane.queue = any (k.queues))
          and k.runtimes && m.runtimes) s
"""
# Of sessions of other roles all may see the process, the role, the database and the locks; the rest
# is null but for those who may read all statistics.
_SESSIONS = """
select a.pid, coalesce(nullif(a.application_name, ''), 'unnamed') as program,
       coalesce(a.usename, '?') as login, coalesce(host(a.client_addr), 'this machine') as client,
       a.state, extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds,
       exists (select from pg_locks k
                where k.pid = a.pid and k.locktype = 'advisory' and k.granted
                  and k.classid = 1886348393 and k.objid = 1
                  and k.database = (select oid from pg_database
                                     where datname = current_database())) as holds_events,
       current_user as own
  from pg_stat_activity a
 where a.datname = current_database() and a.pid <> pg_backend_pid()
   and (a.backend_type = 'client backend'
        and a.xact_start < clock_timestamp() - make_interval(secs => $1)
        or a.backend_type is null and a.usename is not null
           and not pg_has_role(current_user, 'pg_read_all_stats', 'usage'))
 order by a.xact_start nulls last, holds_events desc limit 50
"""
_PREPARED = """
select gid, extract(epoch from clock_timestamp() - prepared)::float8 as seconds
  from pg_prepared_xacts where database = current_database() order by prepared limit 20
"""
_CONNECTIONS = """
select (select count(*) from pg_stat_activity
         where usename is not null and coalesce(backend_type, 'client backend') = 'client backend')
         as used,
       current_setting('max_connections')::int as most
"""
_SEARCH_LAG = """
select p.from_id is not null as catching_up,
       coalesce((select extract(epoch from clock_timestamp() - e.at)::float8 from event e
                  where (e.epoch, e.xid, e.id) > (p.epoch, p.xid, p.id)
                  order by e.epoch, e.xid, e.id limit 1), 0) as seconds
  from search_place p
"""
_SCHEDULES = """
select p.name as project, s.name, s.paused,
       extract(epoch from clock_timestamp() - s.fires_at)::float8 as late,
       f.n as tried, f.failed, f.detail
  from schedule s join project p on p.id = s.project_id
 cross join lateral (
       select count(*) as n, count(*) filter (where outcome = 'failed') as failed,
              (array_agg(x.detail order by x.at desc, x.id desc))[1] as detail
         from (select outcome, detail, at, id from firing where schedule_id = s.id
                order by at desc, id desc limit $2) x) f
 where s.fires_at < clock_timestamp() - make_interval(secs => $1)
    or not s.paused and f.n > 0 and f.failed = f.n
 order by p.name, s.name limit 100
"""
_FAILING = """
with newest as (
    select agent_id, outcome, error ->> 'code' as code, task_id
      from (select * from attempt where task_id > $1 order by task_id desc limit $3) n
     where finished_at > clock_timestamp() - make_interval(secs => $2) and agent_id is not null
), counted as (
    select agent_id, code, count(*) as failed,
           (array_agg(task_id order by task_id desc))[1] as last
      from newest where code is not null and outcome in ('failed', 'dead', 'retry')
     group by agent_id, code
)
select p.name as project, a.name as agent, c.code, c.failed, c.last,
       (select count(*) from newest n where n.agent_id = c.agent_id) as tried
  from counted c join agent a on a.id = c.agent_id join project p on p.id = a.project_id
 where a.deleted_at is null and c.failed >= $4
 order by c.failed desc limit 50
"""
_DEAD = """
select p.name as project, d.n
  from project p
 cross join lateral (
       select count(*) as n from (
            select from (select finished_at from task
                          where project_id = p.id and outcome = 'dead' order by id desc limit $3) x
             where finished_at > $1 limit $2) y) d
 where d.n > 0 order by p.name limit 100
"""
_HELD = """
with held as (
    select task_id, lane_id from blocked where on_failure = 'hold' order by task_id limit $1
)
select p.name as project, count(*) as n, (array_agg(h.task_id order by h.task_id))[1] as first,
       (array_agg(f.id order by h.task_id))[1] as cause
  from held h
  join lane on lane.id = h.lane_id
  join project p on p.id = lane.project_id
 cross join lateral (
       select t.id from dependency d join task t on t.id = d.depends_on
        where d.task_id = h.task_id and not d.released
          and coalesce(t.outcome, 'succeeded') <> 'succeeded'
        order by t.id limit 1) f
 group by p.name order by p.name limit 100
"""
_TOKENS = """
select name, extract(epoch from expires_at - clock_timestamp())::float8 as seconds
  from token
 where revoked_at is null and expires_at > clock_timestamp()
   and expires_at < clock_timestamp() + make_interval(secs => $1)
   and expires_at - created_at > make_interval(secs => 2 * $1)
 order by expires_at limit 50
"""
_MOMENT = "select clock_timestamp() as now"


async def waiting(conn: AsyncConnection) -> Sequence[Any]:
    """Lanes in which tasks are queued, with whoever could run them."""
    return await call_in(conn, _WAITING, _LANES, MOST_COUNTED)


async def sessions(conn: AsyncConnection, seconds: float) -> Sequence[Any]:
    """Sessions in this database whose transaction has lasted for longer. Behind them, without
    ``seconds``, those of which our role may not see whether they are in one."""
    return await call_in(conn, _SESSIONS, seconds)


async def prepared(conn: AsyncConnection) -> Sequence[Any]:
    """Transactions that wait for the second phase of a commit, which Podium never makes."""
    return await call_in(conn, _PREPARED)


async def connections(conn: AsyncConnection) -> tuple[int, int]:
    """How many connections the server has, and how many it takes."""
    row = (await call_in(conn, _CONNECTIONS))[0]
    return row["used"], row["most"]


async def search_lag(conn: AsyncConnection) -> tuple[bool, float]:
    """Whether search goes through the tasks of before, and the age in seconds of the oldest event
    that it has not seen."""
    row = (await call_in(conn, _SEARCH_LAG))[0]
    return row["catching_up"], row["seconds"]


async def schedules(conn: AsyncConnection, late: float, firings: int) -> Sequence[Any]:
    """Schedules that should have fired so many seconds ago, or whose last firings all failed."""
    return await call_in(conn, _SCHEDULES, late, firings)


async def failing(
    conn: AsyncConnection, since: datetime, seconds: float, least: int
) -> Sequence[Any]:
    """Agents and codes of errors of which there were ``least`` or more in the last ``seconds``,
    among the attempts of the newest tasks that were made since then."""
    return await call_in(conn, _FAILING, least_uuid7(since), seconds, _ATTEMPTS, least)


async def dead(conn: AsyncConnection, since: datetime) -> Sequence[Any]:
    """Projects with tasks that died since then, of the newest so many dead ones."""
    return await call_in(conn, _DEAD, since, MOST_COUNTED, _DEAD_MOST)


async def held(conn: AsyncConnection) -> Sequence[Any]:
    """Projects with tasks that are held as what they depend on did not succeed: how many, the first
    of them and what holds it. The oldest so many are looked at."""
    return await call_in(conn, _HELD, _HELD_MOST)


async def tokens(conn: AsyncConnection, seconds: float) -> Sequence[Any]:
    """Tokens that were made to last and expire soon."""
    return await call_in(conn, _TOKENS, seconds)


async def moment(conn: AsyncConnection) -> datetime:
    """The database's clock."""
    return (await call_in(conn, _MOMENT))[0]["now"]
