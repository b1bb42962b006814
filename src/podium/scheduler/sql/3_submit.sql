-- Accepts tasks: record, event, and the one hot row that says what each waits for.
-- Arrays of one length describe the tasks; dep_* and need_* are their flattened edges and needs.
-- dep_places say whose an edge is: the task's place in ids.
create or replace function submit_tasks(
    ids uuid[], projects uuid[], lanes int[], priorities smallint[], titles text[], labels text[],
    inputs text[], specs text[], starts timestamptz[], expiries float8[],
    deadlines timestamptz[], policies text[], actors text[],
    dep_places int[], dep_ons uuid[], dep_names text[],
    need_tasks uuid[], need_gates text[], need_units bigint[]
) returns void language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    held int[] := '{}'; failed uuid[];
begin
    perform lock_events();
    perform require_projects(projects);
    perform require_open_queues(lanes);
    if cardinality(need_tasks) > 0 then
        perform require_limits(need_gates);
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
    select x.id, least(clock_timestamp() + make_interval(secs => x.secs), x.deadline)
      from unnest(ids, expiries, deadlines) as x (id, secs, deadline)
     where x.secs is not null or x.deadline is not null;
    if cardinality(dep_ons) > 0 then
        select b.held, b.failed into held, failed
          from block_tasks(ids, projects, lanes, priorities, starts, policies, need_tasks,
                           dep_places, dep_ons, dep_names) b;
    end if;
    insert into event (type, project_id, subject, actor, data)
    select 'task.created', x.project_id, x.id, x.actor,
           jsonb_build_object(
               'title', x.title, 'priority', x.priority,
               'state', case when x.place = any (held) or x.id = any (need_tasks) or x.start > now()
                             then 'pending' else 'queued' end)
      from unnest(ids, projects, titles, priorities, starts, actors) with ordinality
           as x (id, project_id, title, priority, start, actor, place);
    perform admit(array_agg(place_of(x.id, x.lane_id, x.priority, 0, 0, 0,
                                     x.id = any (need_tasks))),
                  array_agg(x.start))
       from unnest(ids, lanes, priorities, starts) with ordinality
            as x (id, lane_id, priority, start, place)
      where not x.place = any (held)
     having count(*) > 0;
    perform release_dependents(failed) where failed is not null;
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

-- Records dependencies and holds back the tasks that must wait for some. Returns the places of
-- these in ids, and the dependencies that failed before and now must cancel some of them, or null.
create or replace function block_tasks(
    ids uuid[], projects uuid[], lanes int[], priorities smallint[], starts timestamptz[],
    policies text[], need_tasks uuid[], dep_places int[], dep_ons uuid[], dep_names text[],
    out held int[], out failed uuid[]
) language plpgsql as $$
#variable_conflict use_column
declare
    missing uuid;
begin
    -- Shared locks, in id order, before counting: a dependency that ends meanwhile would otherwise
    -- strand its dependent for ever.
    perform from task where id = any (dep_ons) order by id for share;
    with edge as (
        select e.*, coalesce(t.project_id = projects[e.place], false) as known,
               t.outcome is not null
               and (t.outcome = 'succeeded' or policies[e.place] = 'run') as satisfied,
               t.outcome <> 'succeeded' and policies[e.place] = 'cancel' as dooms
          from unnest(dep_places, dep_ons, dep_names) as e (place, depends_on, name)
          left join task t on t.id = any (array[e.depends_on])
    ), recorded as (
        insert into dependency (task_id, depends_on, name, released)
        select ids[place], depends_on, name, satisfied from edge
    ), open as (
        select place, count(*) as n from edge where not satisfied group by place
    ), blocking as (
        insert into blocked (task_id, pending, on_failure, not_before, lane_id, priority, gated)
        select ids[place], n, policies[place], starts[place], lanes[place], priorities[place],
               ids[place] = any (need_tasks)
          from open
    )
    select (select array_agg(place) from open),
           (select array_agg(distinct depends_on) from edge where dooms),
           (select depends_on from edge where not known limit 1)
      into held, failed, missing;
    if missing is not null then
        raise exception 'task % does not exist in this project', missing
            using errcode = 'PD404', detail = missing::text;
    end if;
    held := coalesce(held, '{}');
end $$;

-- Remembers which call made which tasks (each element of made is an array literal of ids). Returns
-- what is on record for the calls that were made before; the others may go on to submit.
create or replace function remember_calls(
    projects uuid[], keys text[], hashes bytea[], made text[], hours float8
) returns table (project_id uuid, key text, request_hash bytea, task_ids uuid[]) language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
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
      join idempotency i
        on i.project_id = any (array[c.project_id]) and i.key = any (array[c.key])
     where not (c.project_id || ' ' || c.key = any (fresh));
end $$;
