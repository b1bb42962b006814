"""What must hold at every moment, whatever happened before."""

from podium.storage.database import Database

_PLACES = """
    select 'ready' as place, task_id, lane_id, priority, attempt, gated from ready
    union all
    select 'running', task_id, lane_id, priority, attempt, gated from running
    union all
    select 'timer', task_id, lane_id, priority, attempt, gated from timer
    union all
    select 'blocked', task_id, lane_id, priority, attempt, gated from blocked
    union all
    select 'wait', task_id, lane_id, priority, attempt, true from wait
"""

FAULTS = {
    "open tasks that are nowhere, ended ones that are somewhere, tasks in two places": f"""
        select t.id, t.outcome, array_agg(p.place) from task t
          left join ({_PLACES}) p on p.task_id = t.id
         group by t.id having count(p.place) <> case when t.outcome is null then 1 else 0 end
    """,
    "places that say something else than the task": f"""
        select p.*, t.lane_id, t.priority, t.attempt from ({_PLACES}) p
          left join task t on t.id = p.task_id
         where t.id is null or p.lane_id <> t.lane_id or p.priority <> t.priority
            or p.attempt < t.attempt
            or p.gated <> exists (select from need n where n.task_id = p.task_id)
    """,
    "attempts whose number was given twice, or not given": f"""
        select p.* from ({_PLACES}) p
         where exists (select from attempt a where a.task_id = p.task_id
                          and a.attempt >= p.attempt + case when p.place = 'running' then 0
                                                            else 1 end)
    """,
    "ended tasks that do not know their last attempt": """
        select t.id, t.attempt from task t
         where t.outcome is not null
           and t.attempt <> coalesce((select max(a.attempt) from attempt a
                                       where a.task_id = t.id), 0)
    """,
    "gates that count wrong": """
        select g.key, g.used, g.waiting from gate g
         where g.used <> coalesce((select sum(units) from need where gate = g.key and held), 0)
            or g.waiting <> (select count(*) from wait where gate = g.key)
            or g.used < 0 or g.one_shot and g.used > 0
    """,
    "gates whose starts count wrong": """
        select g.key, g.taken, g.spent, g.burst from gate g
         where g.taken < 0 or g.spent < 0 or g.burst is null and g.taken > 0
            or g.burst is not null and g.taken < g.spent
    """,
    "waiters for starts of whom the clock does not know": """
        select g.* from gate g
         where g.waiting > 0 and g.burst is not null and g.taken >= g.burst
           and g.used < g.capacity and g.wakes_at is null
           and not exists (select from spent s where s.gate = g.key)
           and not exists (select from need n where n.gate = g.key and n.held and not n.started)
    """,
    "notes of starts that nobody counts": """
        select s.* from spent s left join gate g on g.key = s.gate where g.key is null
    """,
    "starts that are noted for needs that did not begin": """
        select n.* from need n
         where n.started and not n.held
    """,
    "needs of ended tasks, held ones of tasks that wait, unheld ones of tasks that run": """
        select n.*, t.outcome from need n join task t on t.id = n.task_id
         where t.outcome is not null
            or n.held and (exists (select from blocked b where b.task_id = n.task_id)
                           or exists (select from timer x where x.task_id = n.task_id)
                           or exists (select from wait w where w.task_id = n.task_id
                                                           and not w.parked))
            or not n.held and (exists (select from ready r where r.task_id = n.task_id)
                               or exists (select from running r where r.task_id = n.task_id))
    """,
    "waiters at a gate that they do not need, or that nobody has on record": """
        select w.* from wait w
          left join need n on n.task_id = w.task_id and n.gate = w.gate and not n.held
          left join gate g on g.key = w.gate
         where n.task_id is null or g.key is null
    """,
    "waiters that do not stand where their priority and age put them": """
        select w.*, p.ageing_seconds from wait w join lane l on l.id = w.lane_id
          join project p on p.id = l.project_id
         where w.rank <> rank_of(w.priority, w.task_id, p.ageing_seconds)
    """,
    "first waiters for which there is room": """
        select g.*, w.task_id from gate g
          cross join lateral (select * from wait x where x.gate = g.key
                               order by x.rank, x.task_id limit 1) w
          join need n on n.task_id = w.task_id and n.gate = g.key
         where g.used + n.units <= g.capacity
           and (g.burst is null or g.taken + n.units <= g.burst)
           and (g.wakes_at is null or g.wakes_at > clock_timestamp())
    """,
    "ready tasks of closed lanes that hold something, of which the clock does not know": """
        select r.* from ready r join lane l on l.id = r.lane_id
         where l.closed and r.gated
           and not exists (select from gate g where g.key = 'lane:' || l.id
                                                and g.wakes_at is not null)
           and not exists (select from attempt a where a.task_id = r.task_id
                              and a.attempt = r.attempt and a.outcome = 'parked')
    """,
    "gates of lanes that are open where these are closed, or the other way round": """
        select g.*, l.closed from gate g left join lane l on 'lane:' || l.id = g.key
         where starts_with(g.key, 'lane:')
           and (l.id is null or l.closed <> (g.capacity = 0) or not g.one_shot
                or g.waiting = 0 and g.wakes_at is null)
    """,
    "needs of the gates of lanes where nobody waits": """
        select n.* from need n
         where starts_with(n.gate, 'lane:')
           and not exists (select from wait w where w.task_id = n.task_id and w.gate = n.gate)
    """,
    "blocked tasks that count wrong": """
        select b.task_id, b.pending from blocked b
         where b.pending <= 0
            or b.pending <> (select count(*) from dependency d
                              where d.task_id = b.task_id and not d.released)
    """,
    "dependencies that hold back though they succeeded": """
        select d.* from dependency d join task t on t.id = d.depends_on
         where not d.released and t.outcome = 'succeeded'
           and exists (select from blocked b where b.task_id = d.task_id)
    """,
    "lives that did not end with exactly one event": """
        select t.id, t.outcome, array_agg(e.type order by e.xid, e.id) from task t
          left join event e on e.subject = t.id
         group by t.id
        having count(*) filter (where e.type = 'task.created') <> 1
            or count(*) filter (where e.type in ('task.completed', 'task.failed', 'task.dead',
                                                 'task.cancelled'))
               <> count(*) filter (where e.type = 'task.redriven')
                  + case when t.outcome is null then 0 else 1 end
    """,
    "attempts that did not begin with exactly one event": """
        select t.id, count(e.id) from task t
          left join event e on e.subject = t.id and e.type = 'task.started'
         group by t.id
        having count(e.id) <> (select count(*) from attempt a where a.task_id = t.id)
                              + (select count(*) from running r where r.task_id = t.id)
    """,
}


_LANES = """
    select l.* from lane l
     where l.closed <> (
        exists (select from queue q where q.project_id = l.project_id and q.name = l.queue
                                      and q.state = 'paused')
        or not exists (select from agent a
                        where a.deleted_at is null and a.enabled and a.healthy
                          and case when l.agent_id is not null then a.id = l.agent_id
                                   else a.project_id = l.project_id
                                        and a.capabilities @> l.capabilities end))
"""


async def assert_lanes_follow(database: Database) -> None:
    """Lanes are closed whose queue is paused or whose agents cannot run, and no others. Tests that
    change queues and agents behind the back of their slices do not see to that."""
    found = await database.call(_LANES)
    assert not found, [dict(row) for row in found]


async def assert_balanced(database: Database) -> None:
    """Every fault is a query that must find nothing."""
    for fault, query in FAULTS.items():
        found = await database.call(f"{query} limit 5")
        assert not found, f"{fault}: {[dict(row) for row in found]}"
