-- Lanes whose tasks cannot run now: their queue is paused, or no agent that could run them is
-- enabled and healthy. Claims judge that for themselves. Such a lane is marked as closed for the sake
-- of others: its tasks hold nothing of what they need while they could not use it. They wait at the
-- gate of their lane, lane:<id>, which opens with it. Those that wait elsewhere come there when it
-- would be their turn, those that are ready when the lane closes. One that goes on after it parked
-- keeps what it holds, as it is in the middle of its work.
--
-- The gate is one-shot: a task that it lets through does not need it any more. Whoever changes what
-- closes lanes holds the gate lock before he changes it.

create or replace function lane_gate(lane int) returns text language sql immutable as $$
    select 'lane:' || lane
$$;

create or replace function is_lane_gate(key text) returns boolean language sql immutable as $$
    select starts_with(key, 'lane:')
$$;

-- Those of these lanes that are closed, or null.
create or replace function closed_lanes(lanes int[]) returns int[] language plpgsql as $$
begin
    return (select array_agg(id) from lane where id = any (lanes) and closed);
end $$;

create or replace function must_close(l lane) returns boolean language plpgsql stable as $$
begin
    return exists (select from queue q where q.project_id = l.project_id and q.name = l.queue
                                         and q.state = 'paused')
        or case when l.agent_id is not null then not is_usable(l.agent_id, '{}')
                else not exists (select from agent a
                                  where a.project_id = l.project_id and a.deleted_at is null
                                    and a.enabled and a.healthy
                                    and a.capabilities @> l.capabilities) end;
end $$;

-- The lane of a demand; made when it is new.
create or replace function ensure_lane(
    of_project uuid, of_queue text, of_agent uuid, wanted text[], preferred uuid
) returns int language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    found int;
begin
    for look in 1..2 loop
        select id into found from lane
         where project_id = of_project and queue = of_queue and capabilities = wanted
           and agent_id is not distinct from of_agent and prefers is not distinct from preferred;
        exit when found is not null;
        perform lock_gates();
        insert into lane (project_id, queue, agent_id, capabilities, prefers)
        values (of_project, of_queue, of_agent, wanted, preferred) on conflict do nothing;
        update lane set closed = true
         where project_id = of_project and queue = of_queue and capabilities = wanted
           and agent_id is not distinct from of_agent and prefers is not distinct from preferred
           and not closed and must_close(lane);
    end loop;
    return found;
end $$;

-- Have the lanes of a queue follow what was laid down for it. The caller holds the gate lock.
create or replace function follow_queue(of_project uuid, name text) returns void language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_variable
begin
    perform follow_lanes(array(
        select l.id from lane l where l.project_id = of_project and l.queue = name));
end $$;

-- Have the lanes that an agent serves, or did, follow its state. The caller holds the gate lock.
create or replace function follow_agent(which uuid) returns void language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    perform follow_lanes(array(
        select l.id from agent a join lane l on l.project_id = any (array[a.project_id])
         where a.id = which and (l.agent_id = which or l.agent_id is null)));
end $$;

create or replace function follow_lanes(lanes int[]) returns void language plpgsql as $$
#variable_conflict use_column
declare
    shut int[]; opened text[];
begin
    with judged as materialized (
        select l.id, must_close(l) as shut from lane l where l.id = any (lanes)
    ), changed as (
        update lane l set closed = j.shut
          from judged j where l.id = any (array[j.id]) and l.closed <> j.shut
        returning l.id, l.closed
    )
    select array_agg(id) filter (where closed), array_agg(lane_gate(id)) filter (where not closed)
      into shut, opened from changed;
    if shut is not null then
        update gate set capacity = 0 where key = any (array(select lane_gate(unnest(shut))));
        perform hand_back(shut);
    end if;
    if opened is not null then
        update gate set capacity = capacity_of(null::task_limit), wakes_at = null
         where key = any (opened);
        perform serve_gates(opened);
    end if;
end $$;

-- Takes back what ready tasks of closed lanes hold, a thousand of them; the clock goes on with the
-- others, and comes again for those that a claim was about to take. Returns how many tasks became
-- ready by it.
create or replace function hand_back(shut int[]) returns int language plpgsql as $$
#variable_conflict use_column
declare
    holders uuid[]; keys text[] := '{}';
begin
    with free as (
        select r.ctid as place from ready r
         where r.lane_id = any (shut) and r.gated and not goes_on(r)
         limit 1000 for update skip locked
    ), taken as (
        delete from ready where ctid = any (array(select place from free)) returning *
    ), asked as (
        insert into need (task_id, gate, units) select task_id, lane_gate(lane_id), 1 from taken
    ), queued as (
        insert into wait (gate, priority, rank, task_id, lane_id, attempt, failures, losses)
        select lane_gate(t.lane_id), t.priority, rank_of(t.priority, t.task_id, p.ageing_seconds),
               t.task_id, t.lane_id, t.attempt, t.failures, t.losses
          from taken t join lane on lane.id = any (array[t.lane_id])
          join project p on p.id = any (array[lane.project_id])
    ), counted as (
        insert into gate (key, waiting, one_shot)
        select lane_gate(lane_id), count(*), true from taken group by lane_id order by 1
        on conflict (key) do update set waiting = gate.waiting + excluded.waiting
    ), told as (
        insert into event (type, project_id, subject, data)
        select 'task.held', lane.project_id, t.task_id,
               jsonb_build_object('gate', lane_gate(lane.id))
          from taken t join lane on lane.id = any (array[t.lane_id])
    )
    select array_agg(task_id) into holders from taken;
    if holders is not null then
        keys := give_back(holders, '{}');
    end if;
    insert into gate as g (key, one_shot, wakes_at)
    select lane_gate(s.id), true, clock_timestamp() + interval '50 ms' from unnest(shut) as s (id)
     where exists (select from ready r where r.lane_id = s.id and r.gated and not goes_on(r))
     order by 1
    on conflict (key) do update set wakes_at = excluded.wakes_at;
    update gate g set wakes_at = null
      from unnest(shut) as s (id)
     where g.key = any (array[lane_gate(s.id)]) and g.wakes_at is not null
       and not exists (select from ready r where r.lane_id = s.id and r.gated and not goes_on(r));
    return serve_gates(keys);
end $$;

-- Moves waiting tasks to the gates of their lanes.
create or replace function move_to_lanes(waiters uuid[]) returns void language plpgsql as $$
begin
    perform move_waiters(array_agg(task_id), array_agg(lane_gate(lane_id)))
       from wait where task_id = any (waiters);
end $$;

-- Whether a ready task goes on after it parked.
create or replace function goes_on(r ready) returns boolean language sql stable as $$
    select exists (select from attempt a where a.task_id = r.task_id and a.attempt = r.attempt
                                           and a.outcome = 'parked')
$$;
