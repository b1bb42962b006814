-- Whether an agent can be given tasks that ask for these capabilities: else those that prefer it go
-- to others.
create or replace function is_usable(agent uuid, wanted text[]) returns boolean language sql as $$
    select exists (select from agent a where a.id = is_usable.agent and a.enabled and a.healthy
                      and a.deleted_at is null and a.capabilities @> wanted)
$$;

-- Agents that could run something of these lanes now: what they run, how many more they can take
-- (free, at most what is asked for), and their load: the share of the limit, or of 1,000.
create or replace function free_agents(
    lanes int[], can_run text[], counted boolean, most int, processes int
) returns table (
    lane_id int, agent_id uuid, version int, isolated boolean, name text, slots int, busy int,
    free int, chosen boolean
) language plpgsql set enable_hashjoin = on as $$
#variable_conflict use_column
begin
    return query
    with busy as materialized (
        select r.agent_id, count(*)::int as n from running r where counted group by r.agent_id
    )
    select lane.id, a.id, a.version, a.isolated, a.name, a.max_concurrency, coalesce(b.n, 0),
           least(most, a.max_concurrency - coalesce(b.n, 0),
                 case when a.isolated then processes end),
           lane.agent_id is null
      from lane
      cross join lateral (
        select * from agent x where x.id = lane.agent_id
        union all
        select * from agent x where lane.agent_id is null and x.project_id = lane.project_id
           and x.capabilities @> lane.capabilities
           and (lane.prefers is null or x.id = lane.prefers
                or not is_usable(lane.prefers, lane.capabilities))) a
      left join busy b on b.agent_id = a.id
     where lane.id = any (lanes) and a.enabled and a.healthy and a.deleted_at is null
       and a.runtime = any (can_run)
       and (a.max_concurrency is null or a.max_concurrency > coalesce(b.n, 0))
       and (processes > 0 or not a.isolated);
end $$;

-- The first ready tasks of these lanes in the order in which they should start; rooms has how many
-- each lane could start at most. Projects that are level are told apart by luck, drawn anew for
-- each claim from the exponential distribution: so their chances are as their weights, and
-- nobody starves where one slot at a time becomes free. No project and no lane is looked at much
-- further than its share could reach: that bounds the work where there are many.
create or replace function fair_order(lanes int[], rooms int[], most int)
returns table (lane_id int, place bigint) language plpgsql rows 200 set enable_hashjoin = on as $$
#variable_conflict use_column
begin
    return query
    with open as materialized (
        select x.id, x.room, p.id as project_id, p.weight,
               count(*) over (partition by p.id) as lanes
          from unnest(lanes, rooms) as x (id, room)
          join lane on lane.id = x.id
          join project p on p.id = lane.project_id
    ), rival as materialized (
        select o.project_id, o.weight, o.lanes,
               least(most, greatest(2 * most * o.weight / sum(o.weight) over (), 20)) as most
          from open o group by o.project_id, o.weight, o.lanes
    ), load as materialized (
        select lane.project_id, count(*) as n
          from running r join lane on lane.id = r.lane_id
         where (select count(*) from rival) > 1
         group by lane.project_id
    ), contender as materialized (
        select r.project_id, r.weight, coalesce(l.n, 0) - 1 - ln(1 - random()) as n,
               greatest(2 * r.most / r.lanes, least(r.most, 20))::int as most
          from rival r left join load l on l.project_id = r.project_id
    ), candidate as (
        select c.*, o.id as lane_id,
               row_number() over (partition by c.project_id
                                  order by t.rank, t.task_id) as place
          from open o
          join contender c on c.project_id = o.project_id
          cross join lateral first_ready(o.id, least(o.room, c.most)) t
    )
    select lane_id, row_number() over (order by (n + place) / weight, project_id, place)
      from candidate;
end $$;

-- Deals free slots to ready tasks: one row for each task that may start, with its lane and agent.
--
-- A queue with a limit sends as many as it may begin: its first in line. Agents that the same lanes
-- want are one pool, or two when some are processes. A pool offers its
-- slots to the first tasks in line that it can serve; a task that several pools offer to takes the
-- least loaded. What stays over because of that, the next claim gets: no task is ever passed over
-- for one behind it. One lane that names its agent needs none of this, and is the usual case.
create or replace function deal_slots(
    lanes int[], can_run text[], counted boolean, most int, processes int
) returns table (lane_id int, agent_id uuid, version int, isolated boolean, choice jsonb)
language plpgsql rows 200 set enable_hashjoin = on as $$
#variable_conflict use_column
begin
    if cardinality(lanes) = 1
       and exists (select from lane where id = lanes[1] and lane.agent_id is not null)
    then  -- there is nothing to share out
        return query
        select o.lane_id, o.agent_id, o.version, o.isolated, null::jsonb
          from free_agents(lanes, can_run, counted, most, processes) o
          cross join lateral (
            select from ready r where r.lane_id = o.lane_id
             limit least(o.free, (select q.room from queue_rooms(lanes, most) q where counted))) t;
        return;
    end if;
    return query
    with offer as materialized (
        select * from free_agents(lanes, can_run, counted, most, processes)
    ), limited as materialized (
        select * from queue_rooms(lanes, most) where counted
    ), room as materialized (
        select o.lane_id, least(sum(o.free), most, min(q.room))::int as n
          from offer o left join limited q on q.lane_id = o.lane_id
         where q.room is distinct from 0
         group by o.lane_id
    ), member as materialized (
        select o.agent_id, min(o.version) as version, bool_or(o.isolated) as isolated,
               min(o.busy) as busy, min(o.free) as free,
               coalesce(min(o.slots), 1000)::float8 as slots,
               array_agg(o.lane_id order by o.lane_id) as pool
          from offer o group by o.agent_id
    ), choice as materialized (
        select o.lane_id,
               jsonb_build_object('how', case when bool_or(o.agent_id = o.prefers) then 'sticky'
                                              else 'least_loaded' end, 'candidates', jsonb_agg(
                   jsonb_build_object('agent', o.name, 'running', o.busy, 'limit', o.slots)
                   order by o.rank)) as choice
          from (select f.*, lane.prefers,
                       row_number() over (partition by f.lane_id
                                          order by f.busy / coalesce(f.slots, 1000.0),
                                                   f.agent_id) as rank
                  from offer f join lane on lane.id = f.lane_id where f.chosen) o
         where o.rank <= 10
         group by o.lane_id
    ), pool as materialized (
        select m.pool, m.isolated, sum(m.free) as free, count(*) as agents,
               sum(m.busy) / sum(m.slots) as load
          from member m group by m.pool, m.isolated
    ), line as (
        select f.lane_id, f.place, q.room,
               row_number() over (partition by q.project_id, q.queue order by f.place) as nth
          from fair_order((select array_agg(r.lane_id) from room r),
                          (select array_agg(r.n) from room r), most) f
          left join limited q on q.lane_id = f.lane_id
    ), offered as (
        select f.lane_id, f.place, p.pool, p.isolated, p.free, p.load,
               row_number() over (partition by p.pool, p.isolated order by f.place) as n
          from line f
          join (select x.*, u.lane_id from pool x, unnest(x.pool) as u (lane_id)) p
            on p.lane_id = f.lane_id
         where f.room is null or f.nth <= f.room
    ), taken as (
        select distinct on (o.place) o.lane_id, o.place, o.pool, o.isolated
          from offered o where o.n <= o.free
         order by o.place, o.load, o.pool, o.isolated
    ), fitting as (
        select *, row_number() over (partition by t.isolated order by t.place) as nth from taken t
    ), winner as materialized (
        select t.lane_id, t.pool, t.isolated,
               row_number() over (partition by t.pool, t.isolated order by t.place) as n
          from (select * from fitting f where not f.isolated or f.nth <= processes
                 order by place limit most) t
    ), share as (
        -- Nobody takes much more than an even share at once, unless the others are full: loads are
        -- level soon enough, and a thousand agents make a short list.
        select m.*, u.n as wanted, 2 * u.n / p.agents + 1 as even,
               sum(least(m.free, 2 * u.n / p.agents + 1))
                   over (partition by m.pool, m.isolated) as evenly
          from member m
          join pool p on p.pool = m.pool and p.isolated = m.isolated
          join (select w.pool, w.isolated, count(*) as n
                  from winner w group by w.pool, w.isolated) u
            on u.pool = m.pool and u.isolated = m.isolated
    ), seat as (
        select s.pool, s.isolated, s.agent_id, s.version,
               row_number() over (partition by s.pool, s.isolated
                                  order by (s.busy + k) / s.slots, s.agent_id) as n
          from share s
          cross join lateral generate_series(
            1, least(s.free, case when s.evenly < s.wanted then s.wanted else s.even end)) as k
    )
    select w.lane_id, s.agent_id, s.version, s.isolated, c.choice
      from winner w
      join seat s on s.pool = w.pool and s.isolated = w.isolated and s.n = w.n
      left join choice c on c.lane_id = w.lane_id
     order by w.lane_id, w.n;
end $$;
