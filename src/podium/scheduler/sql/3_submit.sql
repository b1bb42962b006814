-- Accepts tasks: record, event, and the one hot row that says what each waits for.
-- Arrays of one length describe the tasks; dep_* and need_* are their flattened edges and needs.
create or replace function submit_tasks(
    ids uuid[], projects uuid[], lanes int[], priorities smallint[], titles text[], labels text[],
    inputs text[], specs text[], starts timestamptz[], expiries float8[], policies text[],
    actors text[],
    dep_tasks uuid[], dep_ons uuid[], dep_names text[],
    need_tasks uuid[], need_gates text[], need_units bigint[]
) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    missing uuid; doomed uuid[] := '{}'; held uuid[] := '{}';
begin
    perform lock_events();
    if cardinality(need_tasks) > 0 then perform lock_gates(); end if;
    insert into task (id, project_id, lane_id, priority, title, labels, input, spec, created_by)
    select x.id, x.project_id, x.lane_id, x.priority, x.title, x.labels::jsonb, x.input::jsonb,
           x.spec::jsonb, x.actor
      from unnest(ids, projects, lanes, priorities, titles, labels, inputs, specs, actors)
           as x (id, project_id, lane_id, priority, title, labels, input, spec, actor);
    insert into expiry (task_id, expires_at)
    select x.id, clock_timestamp() + make_interval(secs => x.secs)
      from unnest(ids, expiries) as x (id, secs) where x.secs is not null;
    if cardinality(need_tasks) > 0 then
        insert into need (task_id, gate, units)
        select * from unnest(need_tasks, need_gates, need_units);
    end if;

    if cardinality(dep_tasks) > 0 then
        -- Shared locks, in id order, before counting: a dependency that ends meanwhile would
        -- otherwise strand its dependent for ever.
        perform from task where id = any (dep_ons) order by id for share;
        select e.depends_on into missing
          from unnest(dep_tasks, dep_ons) as e (task_id, depends_on)
          join task own on own.id = e.task_id
          left join task other on other.id = e.depends_on and other.project_id = own.project_id
         where other.id is null limit 1;
        if found then
            raise exception 'task % does not exist in this project', missing
                using errcode = 'PD404', detail = missing::text;
        end if;
        with edge as (
            select e.*, p.policy, t.outcome,
                   t.outcome = 'succeeded' or t.outcome is not null and p.policy = 'run' as done
              from unnest(dep_tasks, dep_ons, dep_names) as e (task_id, depends_on, name)
              join unnest(ids, policies) as p (task_id, policy) on p.task_id = e.task_id
              join task t on t.id = e.depends_on
        ), recorded as (
            insert into dependency (task_id, depends_on, name, released)
            select task_id, depends_on, name, coalesce(done, false) from edge
        ), verdict as (
            select task_id, policy, count(*) filter (where done is not true) as pending,
                   bool_or(outcome <> 'succeeded' and policy = 'cancel') as doomed
              from edge group by task_id, policy
        ), blocking as (
            insert into blocked (task_id, pending, on_failure, not_before, lane_id, priority, gated)
            select v.task_id, v.pending, v.policy, x.start, x.lane_id, x.priority,
                   v.task_id = any (need_tasks)
              from verdict v
              join unnest(ids, lanes, priorities, starts) as x (id, lane_id, priority, start)
                on x.id = v.task_id
             where v.pending > 0 and v.doomed is not true
        )
        select coalesce(array_agg(task_id) filter (where doomed), '{}'),
               coalesce(array_agg(task_id) filter (where doomed or pending > 0), '{}')
          into doomed, held from verdict;
    end if;

    insert into event (type, project_id, subject, actor, data)
    select 'task.created', x.project_id, x.id, x.actor,
           jsonb_build_object(
               'title', x.title, 'priority', x.priority,
               'state', case when x.id = any (held) or x.id = any (need_tasks)
                               or x.start > clock_timestamp() then 'pending' else 'queued' end)
      from unnest(ids, projects, titles, priorities, starts, actors)
           as x (id, project_id, title, priority, start, actor);

    if cardinality(held) = 0 and cardinality(need_tasks) = 0
       and array_position(starts, null) is not null and cardinality(array_remove(starts, null)) = 0
    then
        insert into ready (lane_id, priority, task_id)
        select lane_id, priority, id from unnest(lanes, priorities, ids)
               as x (lane_id, priority, id);
    else
        perform admit(array_agg(id), array_agg(lane_id), array_agg(priority), array_agg(0),
                      array_agg(id = any (need_tasks)), array_agg(start))
           from unnest(ids, lanes, priorities, starts) as x (id, lane_id, priority, start)
          where not id = any (held)
         having count(*) > 0;
    end if;
    if cardinality(doomed) > 0 then
        delete from need where task_id = any (doomed);
        perform end_open_tasks(doomed, 'cancelled', 'dependency_failed',
                               'A task that this one depends on did not succeed.', null);
        perform release_dependents(doomed);
    end if;
end $$;

-- Remembers which call made which tasks (each element of made is an array literal of ids). Returns
-- what is on record for the calls that were made before; the others may go on to submit.
create or replace function remember_calls(
    projects uuid[], keys text[], hashes bytea[], made text[], hours float8
) returns table (project_id uuid, key text, request_hash bytea, task_ids uuid[]) language plpgsql
as $$
#variable_conflict use_column
declare
    fresh text[];
begin
    perform lock_events();
    with inserted as (
        insert into idempotency as i (project_id, key, request_hash, task_ids, expires_at)
        select c.project_id, c.key, c.hash, c.ids::uuid[],
               clock_timestamp() + make_interval(secs => hours * 3600)
          from unnest(projects, keys, hashes, made) as c (project_id, key, hash, ids)
         order by c.project_id, c.key
        on conflict on constraint idempotency_pkey do update
           set request_hash = excluded.request_hash, task_ids = excluded.task_ids,
               expires_at = excluded.expires_at
         where i.expires_at < clock_timestamp()
        returning i.project_id || ' ' || i.key as call
    )
    select coalesce(array_agg(call), '{}') into fresh from inserted;
    return query
    select i.project_id, i.key, i.request_hash, i.task_ids
      from unnest(projects, keys) as c (project_id, key)
      join idempotency i on i.project_id = c.project_id and i.key = c.key
     where not (c.project_id || ' ' || c.key = any (fresh));
end $$;
