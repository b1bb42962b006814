-- Gives a worker up to max_tasks tasks that may start now, with the agent that each will run on;
-- of those whose attempts are processes of their own, up to max_processes. It may give fewer than
-- could start; it gives none only when none can.
--
-- 1. the lanes with ready rows, by a loose index scan;
-- 2. what free slots the agents that match them have. Claims that count the slots of limited agents
--    go one after the other, so that two never share a slot;
-- 3. who is next: projects by running attempts over weight, inside a project by priority, then
--    age; where one lane is ready that names its agent, its tasks are;
-- 4. as many rows of each lane as it got slots are locked and moved to running.
create or replace function claim_tasks(by_worker uuid, max_tasks int, max_processes int)
returns table (
    task_id uuid, attempt int, failures smallint, losses smallint, project_id uuid, title text,
    labels jsonb, input jsonb, spec jsonb, agent_id uuid, agent_version int, isolated boolean,
    queued_at timestamptz
) language plpgsql rows 200
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    w worker; wanted int[];
    lanes int[]; agents uuid[]; versions int[]; isolations boolean[]; choices jsonb[];
begin
    select * into w from worker where id = by_worker;
    perform require_lease(w);
    if w.state = 'draining' then return; end if;
    wanted := ready_lanes(w.queues);
    if wanted is null then return; end if;

    perform lock_events();
    select array_agg(s.lane_id), array_agg(s.agent_id), array_agg(s.version), array_agg(s.isolated),
           array_agg(s.choice)
      into lanes, agents, versions, isolations, choices
      from deal_slots(wanted, w.runtimes, lock_slots(wanted), max_tasks, max_processes) s;
    if lanes is null then return; end if;
    return query
    select * from start_attempts(by_worker, lanes, agents, versions, isolations, choices);
end $$;

create or replace function require_lease(w worker) returns void language plpgsql as $$
begin
    if w.id is null or w.state not in ('active', 'draining') or w.lease_until <= clock_timestamp()
    then
        raise exception 'worker % holds no lease', w.id using errcode = 'PD001';
    end if;
end $$;

-- Lanes that have ready rows in these queues; no queues mean all.
create or replace function ready_lanes(queues text[]) returns int[] language plpgsql as $$
declare
    found int[];
begin
    with recursive l (id) as (
        (select r.lane_id from ready r order by r.lane_id limit 1)
        union all
        select (select r.lane_id from ready r where r.lane_id > l.id order by r.lane_id limit 1)
          from l where l.id is not null
    )
    select array_agg(l.id) into found
      from l join lane on lane.id = l.id
     where cardinality(queues) = 0 or lane.queue = any (queues);
    return found;
end $$;

-- Whether running attempts must be counted for these lanes: an agent has a limit, or one must be
-- chosen. Whoever counts the slots of limited agents is alone until its transaction ends.
create or replace function lock_slots(lanes int[]) returns boolean language plpgsql as $$
declare
    choosing boolean; limited boolean;
begin
    choosing := exists (select from lane where id = any (lanes) and agent_id is null);
    limited := exists (
        select from lane join agent a on a.id = lane.agent_id
         where lane.id = any (lanes) and a.max_concurrency is not null);
    if choosing and not limited then
        limited := exists (
            select from lane join agent a on a.project_id = lane.project_id
             where lane.id = any (lanes) and lane.agent_id is null
               and a.deleted_at is null and a.max_concurrency is not null);
    end if;
    if limited then
        perform pg_advisory_xact_lock(1886348393, 5);
    end if;
    return choosing or limited;
end $$;

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
           and x.capabilities @> lane.capabilities) a
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
                                  order by t.priority desc, t.task_id) as place
          from open o
          join contender c on c.project_id = o.project_id
          cross join lateral (
            select x.priority, x.task_id from ready x where x.lane_id = o.id
             order by x.priority desc, x.task_id limit least(o.room, c.most)) t
    )
    select lane_id, row_number() over (order by (n + place) / weight, project_id, place)
      from candidate;
end $$;

-- Deals free slots to ready tasks: one row for each task that may start, with its lane and agent.
--
-- Agents that the same lanes want are one pool, or two when some are processes. A pool offers its
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
          cross join lateral (select from ready r where r.lane_id = o.lane_id limit o.free) t;
        return;
    end if;
    return query
    with offer as materialized (
        select * from free_agents(lanes, can_run, counted, most, processes)
    ), room as materialized (
        select o.lane_id, least(sum(o.free), most)::int as n from offer o group by o.lane_id
    ), member as materialized (
        select o.agent_id, min(o.version) as version, bool_or(o.isolated) as isolated,
               min(o.busy) as busy, min(o.free) as free,
               coalesce(min(o.slots), 1000)::float8 as slots,
               array_agg(o.lane_id order by o.lane_id) as pool
          from offer o group by o.agent_id
    ), choice as materialized (
        select o.lane_id, jsonb_agg(jsonb_build_object(
                              'agent', o.name, 'running', o.busy, 'limit', o.slots)
                              order by o.rank) as choice
          from (select *, row_number() over (partition by f.lane_id
                                             order by f.busy / coalesce(f.slots, 1000.0),
                                                      f.agent_id) as rank
                  from offer f where f.chosen) o
         where o.rank <= 10
         group by o.lane_id
    ), pool as materialized (
        select m.pool, m.isolated, sum(m.free) as free, count(*) as agents,
               sum(m.busy) / sum(m.slots) as load
          from member m group by m.pool, m.isolated
    ), offered as (
        select f.lane_id, f.place, p.pool, p.isolated, p.free, p.load,
               row_number() over (partition by p.pool, p.isolated order by f.place) as n
          from fair_order((select array_agg(r.lane_id) from room r),
                          (select array_agg(r.n) from room r), most) f
          join pool p on f.lane_id = any (p.pool)
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

-- Moves as many ready tasks of each lane to running as agents are given for it. The arrays are of
-- one length and sorted by lane. Returns the tasks as ``claim_tasks`` does.
create or replace function start_attempts(
    by_worker uuid, lanes int[], agents uuid[], versions int[], isolations boolean[],
    choices jsonb[]
) returns table (
    task_id uuid, attempt int, failures smallint, losses smallint, project_id uuid, title text,
    labels jsonb, input jsonb, spec jsonb, agent_id uuid, agent_version int, isolated boolean,
    queued_at timestamptz
) language plpgsql rows 200 as $$
#variable_conflict use_column
declare
    picked tid[]; w worker;
begin
    -- The first to write, and so to give this transaction its place among events: after those of
    -- the transactions that made these tasks ready.
    -- Row sets travel between statements as arrays: a join on ctid may be planned as a scan.
    select array_agg(r.row) into picked
      from (select id, count(*) as n from unnest(lanes) as x (id) group by id order by id) q
      cross join lateral (
        select x.ctid as row from ready x where x.lane_id = q.id
         order by x.priority desc, x.task_id limit q.n for update skip locked) r;
    if picked is null then return; end if;
    -- A reaper passes over a worker whose row is locked, so a claim that began before the lease
    -- ran out cannot hide tasks from it.
    select * into w from worker where id = by_worker for key share;
    perform require_lease(w);

    return query
    with gone as (
        delete from ready r where r.ctid = any (picked) returning r.*
    ), seated as (
        select g.*, array_position(lanes, g.lane_id) - 1
                    + row_number() over (partition by g.lane_id
                                         order by g.priority desc, g.task_id) as seat
          from gone g
    ), live as (
        insert into running (task_id, lane_id, priority, attempt, failures, losses, gated,
                             worker_id, agent_id, agent_version, isolated, choice, queued_at)
        select task_id, lane_id, priority, attempt + 1, failures, losses, gated,
               by_worker, agents[seat], versions[seat], isolations[seat], choices[seat], queued_at
          from seated
        returning *
    ), told as (
        insert into event (type, project_id, subject, data)
        select 'task.started', lane.project_id, l.task_id,
               jsonb_build_object('attempt', l.attempt, 'agent_id', l.agent_id,
                                  'worker_id', by_worker)
          from live l join lane on lane.id = l.lane_id
    )
    select l.task_id, l.attempt, l.failures, l.losses, t.project_id, t.title, t.labels, t.input,
           t.spec, l.agent_id, l.agent_version, l.isolated, l.queued_at
      from live l join task t on t.id = l.task_id;
end $$;
