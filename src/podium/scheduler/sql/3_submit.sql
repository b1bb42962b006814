-- Accepts tasks: record, event, and the one hot row that says what each waits for.
-- Arrays of one length describe the tasks; dep_* and need_* are their flattened edges and needs.
create or replace function submit_tasks(
    ids uuid[], projects uuid[], lanes int[], priorities smallint[], titles text[], labels text[],
    inputs text[], specs text[], starts timestamptz[], expiries float8[], policies text[],
    actors text[],
    dep_tasks uuid[], dep_ons uuid[], dep_names text[],
    need_tasks uuid[], need_gates text[], need_units bigint[]
) returns void language plpgsql
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    held uuid[] := '{}';
begin
    perform lock_events();
    perform require_projects(projects);
    if cardinality(need_tasks) > 0 then
        perform lock_gates();
        insert into need (task_id, gate, units)
        select * from unnest(need_tasks, need_gates, need_units);
    end if;
    insert into task (id, project_id, lane_id, priority, title, labels, input, spec, created_by)
    select x.id, x.project_id, x.lane_id, x.priority, x.title, x.labels::jsonb, x.input::jsonb,
           x.spec::jsonb, x.actor
      from unnest(ids, projects, lanes, priorities, titles, labels, inputs, specs, actors)
           as x (id, project_id, lane_id, priority, title, labels, input, spec, actor);
    insert into expiry (task_id, expires_at)
    select x.id, clock_timestamp() + make_interval(secs => x.secs)
      from unnest(ids, expiries) as x (id, secs) where x.secs is not null;
    if cardinality(dep_tasks) > 0 then
        held := block_tasks(ids, lanes, priorities, starts, policies, need_tasks,
                            dep_tasks, dep_ons, dep_names);
    end if;
    insert into event (type, project_id, subject, actor, data)
    select 'task.created', x.project_id, x.id, x.actor,
           jsonb_build_object(
               'title', x.title, 'priority', x.priority,
               'state', case when x.id = any (held) or x.id = any (need_tasks) or x.start > now()
                             then 'pending' else 'queued' end)
      from unnest(ids, projects, titles, priorities, starts, actors)
           as x (id, project_id, title, priority, start, actor);
    perform admit(array_agg(place_of(x.id, x.lane_id, x.priority, 0, 0, 0,
                                     x.id = any (need_tasks))),
                  array_agg(x.start))
       from unnest(ids, lanes, priorities, starts) as x (id, lane_id, priority, start)
      where not x.id = any (held)
     having count(*) > 0;
    if cardinality(held) > 0 then
        perform cancel_doomed(held);
    end if;
end $$;

-- Raises unless all these projects live, and keeps them alive until the transaction ends: whoever
-- deletes a project holds this lock alone.
create or replace function require_projects(ids uuid[]) returns void language plpgsql as $$
declare
    gone text;
begin
    perform pg_advisory_xact_lock_shared(1886348393, 8);
    select name into gone from project where id = any (ids) and deleted_at is not null limit 1;
    if found then
        raise exception 'there is no project %', quote_literal(gone)
            using errcode = 'PD404', detail = gone;
    end if;
end $$;

-- Records dependencies and holds back the tasks that must wait for some. Returns these.
create or replace function block_tasks(
    ids uuid[], lanes int[], priorities smallint[], starts timestamptz[], policies text[],
    need_tasks uuid[], dep_tasks uuid[], dep_ons uuid[], dep_names text[]
) returns uuid[] language plpgsql as $$
#variable_conflict use_column
declare
    held uuid[];
begin
    -- Shared locks, in id order, before counting: a dependency that ends meanwhile would otherwise
    -- strand its dependent for ever.
    perform from task where id = any (dep_ons) order by id for share;
    perform require_tasks(dep_tasks, dep_ons);
    with edge as (
        select e.*,
               t.outcome is not null
               and (t.outcome = 'succeeded' or policies[array_position(ids, e.task_id)] = 'run')
               as satisfied
          from unnest(dep_tasks, dep_ons, dep_names) as e (task_id, depends_on, name)
          join task t on t.id = e.depends_on
    ), recorded as (
        insert into dependency (task_id, depends_on, name, released)
        select task_id, depends_on, name, satisfied from edge
    ), open as (
        select task_id, array_position(ids, task_id) as i, count(*) as n
          from edge where not satisfied group by task_id
    ), blocking as (
        insert into blocked (task_id, pending, on_failure, not_before, lane_id, priority, gated)
        select task_id, n, policies[i], starts[i], lanes[i], priorities[i],
               task_id = any (need_tasks)
          from open
        returning task_id
    )
    select array_agg(task_id) into held from blocking;
    return coalesce(held, '{}');
end $$;

create or replace function require_tasks(dep_tasks uuid[], dep_ons uuid[]) returns void
language plpgsql as $$
declare
    missing uuid;
begin
    -- A dependency is looked up by its id alone: a planner that also knew its project read the
    -- whole project for each, as long as it had no statistics.
    select e.depends_on into missing
      from unnest(dep_tasks, dep_ons) as e (task_id, depends_on)
      join task own on own.id = e.task_id
     where own.project_id is distinct from
           (select other.project_id from task other where other.id = e.depends_on)
     limit 1;
    if found then
        raise exception 'task % does not exist in this project', missing
            using errcode = 'PD404', detail = missing::text;
    end if;
end $$;

-- Ends those of these tasks that wanted a task to succeed which had failed before they came.
create or replace function cancel_doomed(held uuid[]) returns void language plpgsql as $$
declare
    failed uuid[];
begin
    select array_agg(distinct t.id) into failed
      from dependency d
      join task t on t.id = d.depends_on
      join blocked b on b.task_id = d.task_id
     where d.task_id = any (held) and b.on_failure = 'cancel' and t.outcome <> 'succeeded';
    if failed is not null then
        perform release_dependents(failed);
    end if;
end $$;

-- Remembers which call made which tasks (each element of made is an array literal of ids). Returns
-- what is on record for the calls that were made before; the others may go on to submit.
create or replace function remember_calls(
    projects uuid[], keys text[], hashes bytea[], made text[], hours float8
) returns table (project_id uuid, key text, request_hash bytea, task_ids uuid[]) language plpgsql
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
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
