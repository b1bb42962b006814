-- Gives a worker up to max_tasks tasks that may start now, with the agent that each will run on.
--
-- 1. lanes with ready rows, by a loose index scan;
-- 2. room of each lane: free slots of the agents that match it. Rows of limited agents are locked
--    before their running attempts are counted, so that two claims never share a slot; the slots
--    of an agent that several lanes want are dealt in turn;
-- 3. shares: projects by running attempts over weight, inside a project by priority, then age;
-- 4. exactly the quota of each lane is locked and moved to running.
create or replace function claim_tasks(by_worker uuid, max_tasks int)
returns table (
    task_id uuid, attempt int, failures smallint, losses smallint, project_id uuid, title text,
    labels jsonb, input jsonb, spec jsonb, agent_id uuid, agent_version int, queued_at timestamptz
) language plpgsql rows 200
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    w worker;
    wanted int[];
    offers jsonb;
    quota_lanes int[]; quotas int[];
    picked tid[];
    taken uuid[];
begin
    select * into w from worker where id = by_worker;
    with recursive l (id) as (
        (select r.lane_id from ready r order by r.lane_id limit 1)
        union all
        select (select r.lane_id from ready r where r.lane_id > l.id order by r.lane_id limit 1)
          from l where l.id is not null
    )
    select array_agg(l.id) into wanted
      from l join lane on lane.id = l.id
     where cardinality(w.queues) = 0 or lane.queue = any (w.queues);
    if wanted is null then return; end if;

    perform lock_events();
    -- A reaper waits for this lock before it declares the worker dead, so a claim that began
    -- before cannot hide tasks from it.
    perform from worker where id = by_worker and state = 'active'
                          and lease_until > clock_timestamp() for key share;
    if not found then
        raise exception 'worker % has no lease', by_worker using errcode = 'PD001';
    end if;
    perform from agent a where a.max_concurrency is not null and a.enabled and exists (
        select from lane where lane.id = any (wanted) and lane.project_id = a.project_id
           and (lane.agent_id = a.id
                or lane.agent_id is null and a.capabilities @> lane.capabilities))
      order by a.id for no key update;

    with busy as materialized (
        select r.agent_id, count(*)::int as n from running r group by r.agent_id
    ), load as materialized (
        select lane.project_id, count(*)::int as n
          from running r join lane on lane.id = r.lane_id group by lane.project_id
    ), offer as materialized (
        select lane.id as lane_id, a.id as agent_id, a.version, a.name, a.max_concurrency as cap,
               coalesce((select b.n from busy b where b.agent_id = a.id), 0) as n,
               lane.agent_id is null as chosen,
               row_number() over (
                   partition by a.id
                   order by coalesce((select l.n from load l
                                       where l.project_id = lane.project_id), 0), lane.id) - 1 as turn,
               count(*) over (partition by a.id) as lanes
          from lane cross join lateral (
            select * from agent x where x.id = lane.agent_id
            union all
            select * from agent x where lane.agent_id is null and x.project_id = lane.project_id
               and x.capabilities @> lane.capabilities) a
         where lane.id = any (wanted) and a.enabled and a.healthy and a.deleted_at is null
           and a.runtime = any (w.runtimes)
    ), slot as materialized (
        select o.*, case when o.cap is null then max_tasks
                         else greatest(0, ceil((o.cap - o.n - o.turn)::real / o.lanes))::int
                    end as slots
          from offer o
    ), room as materialized (
        select s.lane_id, least(sum(s.slots), max_tasks)::int as n
          from slot s group by s.lane_id having sum(s.slots) > 0
    ), per_lane as materialized (
        select greatest(ceil(2.0 * max_tasks / count(*)), least(max_tasks, 20))::int as n from room
    ), candidate as materialized (
        select c.lane_id, lane.project_id, project.weight,
               row_number() over (partition by lane.project_id
                                  order by c.priority desc, c.task_id) as place
          from room
          join lane on lane.id = room.lane_id
          join project on project.id = lane.project_id
          cross join lateral (
            select r.lane_id, r.priority, r.task_id from ready r where r.lane_id = room.lane_id
             order by r.priority desc, r.task_id
             limit least(room.n, (select per_lane.n from per_lane))) c
    ), share as (
        select c.lane_id from candidate c
         order by (coalesce((select l.n from load l where l.project_id = c.project_id), 0)
                   + c.place) / c.weight, c.project_id, c.place
         limit max_tasks
    ), quota as (
        select s.lane_id, count(*)::int as n from share s group by s.lane_id
    )
    select (select array_agg(q.lane_id order by q.lane_id) from quota q),
           (select array_agg(q.n order by q.lane_id) from quota q),
           (select jsonb_agg(to_jsonb(s)) from slot s where s.slots > 0)
      into quota_lanes, quotas, offers;
    if quota_lanes is null then return; end if;

    select array_agg(r.row) into picked
      from unnest(quota_lanes, quotas) as q (lane_id, n)
      cross join lateral (
        select x.ctid as row from ready x where x.lane_id = q.lane_id
         order by x.priority desc, x.task_id limit q.n for update skip locked) r;
    if picked is null then return; end if;

    with taken_row as (
        delete from ready r where r.ctid = any (picked) returning r.*
    ), numbered as (
        select t.*, row_number() over (partition by t.lane_id
                                       order by t.priority desc, t.task_id) as place
          from taken_row t
    ), seat as (
        -- The least loaded agent first: by share of its limit, or of 1,000 where it has none.
        select s.lane_id, s.agent_id, s.version, s.chosen,
               row_number() over (partition by s.lane_id
                                  order by (s.n + k)::real / coalesce(s.cap, 1000), s.agent_id
                                 ) as place
          from unnest(quota_lanes, quotas) as q (lane_id, n)
          join jsonb_to_recordset(offers) as s (
            lane_id int, agent_id uuid, version int, n int, cap int, slots int, chosen boolean)
            on s.lane_id = q.lane_id
          cross join lateral generate_series(1, least(s.slots, q.n)) as k
    ), started as (
        insert into running (task_id, lane_id, priority, attempt, failures, losses, gated,
                             worker_id, agent_id, agent_version, choice, queued_at)
        select n.task_id, n.lane_id, n.priority, n.attempt + 1, n.failures, n.losses, n.gated,
               by_worker, s.agent_id, s.version,
               case when s.chosen then (
                   select jsonb_agg(jsonb_build_object('agent', o.name, 'running', o.n,
                                                       'limit', o.cap))
                     from jsonb_to_recordset(offers) as o (lane_id int, name text, n int, cap int)
                    where o.lane_id = n.lane_id) end,
               n.queued_at
          from numbered n join seat s on s.lane_id = n.lane_id and s.place = n.place
        returning running.task_id, running.attempt, running.lane_id, running.agent_id,
                  running.worker_id
    ), told as (
        insert into event (type, project_id, subject, data)
        select 'task.started', lane.project_id, s.task_id,
               jsonb_build_object('attempt', s.attempt, 'agent_id', s.agent_id,
                                  'worker_id', s.worker_id)
          from started s join lane on lane.id = s.lane_id
    )
    select array_agg(s.task_id) into taken from started s;

    return query
    select r.task_id, r.attempt, r.failures, r.losses, t.project_id, t.title, t.labels, t.input,
           t.spec, r.agent_id, r.agent_version, r.queued_at
      from unnest(taken) as x (id)
      join running r on r.task_id = x.id
      join task t on t.id = x.id;
end $$;
