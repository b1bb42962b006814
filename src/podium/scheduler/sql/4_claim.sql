-- Gives a worker up to max_tasks tasks that may start now, with the agent that each will run on;
-- of those whose attempts are processes of their own, up to max_processes. It may give fewer than
-- could start, and says on each row whether it leaves any ready task, and whether starts were used
-- that come back with time; it gives none only when none can start.
--
-- 1. the lanes with ready rows, by a loose index scan;
-- 2. what free slots the agents that match them have, and what their queues let through. Claims
--    that count what limited agents and queues run go one after the other, so that two never share
--    a slot;
-- 3. who is next: projects by running attempts over weight, inside a project by priority, then
--    age; where one lane is ready that names its agent, its tasks are;
-- 4. as many rows of each lane as it got slots are locked and moved to running.
create or replace function claim_tasks(by_worker uuid, max_tasks int, max_processes int)
returns table (
    task_id uuid, attempt int, failures smallint, losses smallint, project_id uuid, title text,
    labels jsonb, input jsonb, spec jsonb, agent_id uuid, agent_version int, isolated boolean,
    queued_at timestamptz, leaves boolean, rated boolean
) language plpgsql rows 200
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    w worker; wanted int[]; counted boolean;
    lanes int[]; agents uuid[]; versions int[]; isolations boolean[]; choices jsonb[];
begin
    select * into w from worker where id = by_worker;
    perform require_lease(w);
    if w.state = 'draining' then return; end if;
    wanted := ready_lanes(w.queues);
    if wanted is null then return; end if;
    -- As part of a settlement: what others end meanwhile would be seen, and come later among events.
    if pg_current_xact_id_if_assigned() is not null and counts_slots(wanted) then return; end if;

    perform lock_events();
    counted := lock_slots(wanted);
    select array_agg(s.lane_id), array_agg(s.agent_id), array_agg(s.version), array_agg(s.isolated),
           array_agg(s.choice)
      into lanes, agents, versions, isolations, choices
      from deal_slots(wanted, w.runtimes, counted, max_tasks, max_processes) s;
    if lanes is null then return; end if;
    if counted and queues_take_turns(lanes) then
        select d.lanes, d.agents, d.versions, d.isolations, d.choices
          into lanes, agents, versions, isolations, choices
          from deal_in_turn(lanes, agents, versions, isolations, choices, w.runtimes, counted,
                            max_tasks, max_processes) d;
    end if;
    return query
    select * from start_attempts(by_worker, lanes, agents, versions, isolations, choices, counted);
end $$;

create or replace function require_lease(w worker) returns void language plpgsql as $$
begin
    if w.id is null or w.state not in ('active', 'draining') or w.lease_until <= clock_timestamp()
    then
        raise exception 'worker % holds no lease', w.id using errcode = 'PD001';
    end if;
end $$;

-- Lanes that have ready rows in these queues, but for paused ones; no queues mean all.
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
      from l join lane on lane.id = any (array[l.id])
     where (cardinality(queues) = 0 or lane.queue = any (queues))
       and not exists (select from queue q where q.project_id = any (array[lane.project_id])
                                             and q.name = any (array[lane.queue])
                                             and q.state = 'paused');
    return found;
end $$;

-- Whether running attempts must be counted for these lanes: an agent or a queue has a limit, or an
-- agent must be chosen.
create or replace function counts_slots(lanes int[]) returns boolean language plpgsql as $$
begin
    return exists (select from lane where id = any (lanes) and agent_id is null)
        or names_limited(lanes) or queues_limited(lanes);
end $$;

create or replace function names_limited(lanes int[]) returns boolean language plpgsql as $$
begin
    return exists (
        select from lane join agent a on a.id = any (array[lane.agent_id])
         where lane.id = any (lanes) and a.max_concurrency is not null);
end $$;

-- Whether running attempts must be counted; whoever counts those of limited agents or queues is
-- alone until its transaction ends.
create or replace function lock_slots(lanes int[]) returns boolean language plpgsql as $$
begin
    if not counts_slots(lanes) then
        return false;
    end if;
    if names_limited(lanes) or queues_limited(lanes) or exists (
        select from lane join agent a on a.project_id = lane.project_id
         where lane.id = any (lanes) and lane.agent_id is null
           and a.deleted_at is null and a.max_concurrency is not null)
    then
        perform pg_advisory_xact_lock(1886348393, 5);
    end if;
    return true;
end $$;

-- As many ready tasks of each lane as it is named in these, locked, where priorities may age. Of
-- those that others lock at this moment 500 are looked past in each lane.
create or replace function pick_aged(lanes int[]) returns tid[] language plpgsql as $$
declare
    picked tid[]; candidates tid[]; wanted record;
begin
    for wanted in select id, count(*) as n from unnest(lanes) as x (id) group by id order by id loop
        candidates := array(select f.place from first_ready(wanted.id, wanted.n::int + 500) f);
        picked := picked || array(
            select r.ctid from ready r
             where r.ctid = any (candidates) and r.lane_id = wanted.id
               and age(r.xmin) not between -1000000 and -1
             order by array_position(candidates, r.ctid)
             limit wanted.n for update skip locked);
    end loop;
    return picked;
end $$;

-- Whether there are ready tasks beside these that some worker could take: those of closed lanes wait
-- for something else.
create or replace function others_ready(picked tid[]) returns boolean language plpgsql as $$
begin
    if not exists (select from ready offset cardinality(picked)) then return false; end if;
    if not exists (select from lane where closed) then return true; end if;
    return exists (
        with recursive l (id) as (
            (select r.lane_id from ready r order by r.lane_id limit 1)
            union all
            select (select r.lane_id from ready r where r.lane_id > l.id order by r.lane_id limit 1)
              from l where l.id is not null
        )
        select from l join lane on lane.id = any (array[l.id])
         where not lane.closed
           and exists (select from ready r where r.lane_id = l.id and not r.ctid = any (picked)));
end $$;

-- Moves as many ready tasks of each lane to running as agents are given for it. The arrays are of
-- one length and sorted by lane. Returns the tasks as ``claim_tasks`` does.
create or replace function start_attempts(
    by_worker uuid, lanes int[], agents uuid[], versions int[], isolations boolean[],
    choices jsonb[], counted boolean
) returns table (
    task_id uuid, attempt int, failures smallint, losses smallint, project_id uuid, title text,
    labels jsonb, input jsonb, spec jsonb, agent_id uuid, agent_version int, isolated boolean,
    queued_at timestamptz, leaves boolean, rated boolean
) language plpgsql rows 200 as $$
#variable_conflict use_column
declare
    picked tid[]; w worker; leaving boolean;
begin
    -- The first to write, and so to give this transaction its place among events: after those of
    -- the transactions that made these tasks ready.
    -- As part of a settlement: what later transactions readied is left to the next claim, as the
    -- start would come before that among events. Ages are differences modulo 2^32: a row that lay
    -- there for long may seem to be younger, but hardly by so little.
    -- Row sets travel between statements as arrays: a join on ctid may be planned as a scan.
    if exists (select from project where ageing_seconds is not null) then
        picked := pick_aged(lanes);
    else
        select array_agg(r.row) into picked
          from (select id, count(*) as n from unnest(lanes) as x (id) group by id order by id) q
          cross join lateral (
            select x.ctid as row from ready x where x.lane_id = q.id
               and age(x.xmin) not between -1000000 and -1
             order by x.priority desc, x.task_id limit q.n for update skip locked) r;
    end if;
    if picked is null then return; end if;
    -- A reaper passes over a worker whose row is locked, so a claim that began before the lease
    -- ran out cannot hide tasks from it.
    select * into w from worker where id = by_worker for key share;
    perform require_lease(w);
    leaving := others_ready(picked);

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
    ), begun as (   -- of these, the starts that come back with time
        update need n set started = true from live l, gate g
         where l.gated and n.task_id = any (array[l.task_id]) and n.held and not n.started
           and g.key = any (array[n.gate]) and g.burst is not null
        returning n.gate, n.units, g.refill
    ), opened as (
        select lane.project_id, lane.queue, count(*) as n
          from live l join lane on lane.id = any (array[l.lane_id])
         where counted group by lane.project_id, lane.queue
    ), left_over as (
        select q.project_id, q.name, tokens_of(q) - o.n as tokens
          from opened o join queue q on q.project_id = any (array[o.project_id])
                                    and q.name = any (array[o.queue])
         where q.rate_count is not null
    ), paid as (   -- where no start is left the clock has workers look again when there is one
        update queue q
           set tokens = s.tokens, filled_at = clock_timestamp(),
               wakes_at = case when s.tokens < 1 then clock_timestamp() + make_interval(
                                   secs => (1 - s.tokens) * q.rate_seconds / q.rate_count) end
          from left_over s
         where q.project_id = any (array[s.project_id]) and q.name = any (array[s.name])
        returning q.name
    ), dealt as (
        select lane.project_id, lane.queue, l.agent_id, count(*) as n,
               case q.distribution when 'weighted' then 1 / a.weight else 1 end as step
          from live l join lane on lane.id = any (array[l.lane_id])
          join queue q on q.project_id = any (array[lane.project_id])
                      and q.name = any (array[lane.queue])
          join agent a on a.id = any (array[l.agent_id])
         where counted and lane.agent_id is null and lane.prefers is null
           and q.distribution <> 'least_loaded'
         group by lane.project_id, lane.queue, l.agent_id, q.distribution, a.weight
    ), moved_on as (
        insert into turn as t (project_id, queue, agent_id, passed)
        select d.project_id, d.queue, d.agent_id, p.passed + d.n * d.step
          from (select project_id, queue, array_agg(agent_id) as agents,
                       array_agg(step::float8) as steps
                  from dealt group by project_id, queue) g
          cross join lateral passed_of(g.project_id, g.queue, g.agents, g.steps) p
          join dealt d on d.project_id = g.project_id and d.queue = g.queue
                      and d.agent_id = p.agent_id
        on conflict (project_id, queue, agent_id) do update set passed = excluded.passed
    ), noted as (
        insert into spent (gate, units, due_at)
        select gate, sum(units), clock_timestamp() + make_interval(secs => min(refill))
          from begun group by gate
    ), told as (
        insert into event (type, project_id, subject, data)
        select 'task.started', lane.project_id, l.task_id,
               jsonb_build_object('attempt', l.attempt, 'agent_id', l.agent_id,
                                  'worker_id', by_worker)
          from live l join lane on lane.id = any (array[l.lane_id])
    )
    select l.task_id, l.attempt, l.failures, l.losses, t.project_id, t.title, t.labels, t.input,
           t.spec, l.agent_id, l.agent_version, l.isolated, l.queued_at, leaving,
           exists (select from begun) or exists (select from paid)
      from live l join task t on t.id = any (array[l.task_id]);
end $$;
