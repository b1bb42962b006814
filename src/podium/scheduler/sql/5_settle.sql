-- Ends attempts. Everything is fenced by (task, attempt, worker): a stale attempt changes nothing,
-- and the first committed end of a task wins. Returns the tasks for which the report counted, and
-- on each row how many other tasks became ready by it all; at least one where a ready one may have
-- waited for the room that is left.
--
-- how: succeeded, failed, cancelled, dead (the task ends); retry (again after delays seconds);
-- released (handed back by a draining worker: again, nothing counted); parked (waits for the
-- gate in park_keys, keeping what it holds). A task that is to be cancelled is not tried again.
create or replace function settle_attempts(
    by_worker uuid, ids uuid[], attempts int[], hows text[], outputs text[], errors text[],
    delays float8[], park_keys text[], usages text[]
) returns table (task_id uuid, outcome text, readied int) language plpgsql rows 200
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
    perform lock_events();
    perform lock_gates() where touches_gates(ids, hows);
    perform lock_endings_shared();
    return query
    select x.task_id, x.outcome, e.readied
      from end_attempts(by_worker, ids, attempts, hows, outputs, errors, delays, park_keys,
                        usages) e
      cross join lateral unnest(e.settled, e.outcomes) as x (task_id, outcome);
end $$;

-- Ends attempts and gives their worker, which has room for more, what it may start now, all in one
-- transaction: so each step of a chain costs one. Rows with an outcome are as settle_attempts gives
-- them, the others as claim_tasks does; there may be none of these though something can start.
create or replace function settle_and_claim(
    by_worker uuid, ids uuid[], attempts int[], hows text[], outputs text[], errors text[],
    delays float8[], park_keys text[], usages text[], max_tasks int, max_processes int
) returns table (
    outcome text, readied int,
    task_id uuid, attempt int, failures smallint, losses smallint, project_id uuid, title text,
    labels jsonb, input jsonb, spec jsonb, agent_id uuid, agent_version int, isolated boolean,
    queued_at timestamptz, leaves boolean, rated boolean
) language plpgsql rows 200
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
    return query
    select s.outcome, s.readied, s.task_id, null::int, null::smallint, null::smallint, null::uuid,
           null::text, null::jsonb, null::jsonb, null::jsonb, null::uuid, null::int, null::boolean,
           null::timestamptz, null::boolean, null::boolean
      from settle_attempts(by_worker, ids, attempts, hows, outputs, errors, delays, park_keys,
                           usages) s;
    -- Nothing in the claim may undo the settlement: it needs a lease that outlasts it, and that no
    -- reaper looks at.
    perform from worker w
      where w.id = by_worker and w.state = 'active'
        and w.lease_until > clock_timestamp() + interval '1 s' for key share skip locked;
    if found then
        return query
        select null::text, 0, c.* from claim_tasks(by_worker, max_tasks, max_processes) c;
    end if;
end $$;

-- Moves attempts of this worker out of running: to their records, and to where the tasks go next.
-- Returns the tasks whose attempt was there, what became of each, and how many others were readied.
-- Beside the ends that workers report there is lost: again, counted as a loss. Attempts that were
-- lost are recorded as such, also where their task ends by that or the loss is not counted
-- (released), and the caller tells of the loss.
-- The caller holds the locks.
create or replace function end_attempts(
    by_worker uuid, ids uuid[], attempts int[], hows text[], outputs text[], errors text[],
    delays float8[], park_keys text[], usages text[], was_lost boolean default false,
    out settled uuid[], out outcomes text[], out readied int
) language plpgsql as $$
#variable_conflict use_column
declare
    ended uuid[]; freed uuid[]; back ready[]; keys text[] := '{}';
    pauses float8[]; parks text[]; agents uuid[]; lanes int[];
begin
    with report as (
        select * from unnest(ids, attempts, hows, outputs, errors, delays, park_keys, usages)
                   as x (task_id, attempt, how, output, error, delay, park_key, usage)
         order by task_id   -- rows are locked in this order everywhere
    ), live as (
        delete from running r using report x
         where r.task_id = any (array[x.task_id]) and r.attempt = x.attempt
           and r.worker_id is not distinct from by_worker   -- "=" invites a scan of all its tasks
        returning r.task_id, r.attempt, r.lane_id, r.priority, r.failures, r.losses, r.gated,
                  r.agent_id, r.agent_version, r.choice, r.confinement, r.queued_at, r.started_at,
                  r.cancel, x.output, x.error, x.delay, x.park_key, x.usage,
                  case when r.cancel is null or x.how in ('succeeded', 'failed', 'dead')
                       then x.how else 'cancelled' end as how
    ), history as (
        insert into attempt (task_id, attempt, outcome, agent_id, agent_version, worker_id, choice,
                             confinement, queued_at, started_at, error, usage)
        select task_id, attempt,
               case when was_lost then 'lost' when how in ('retry', 'dead') then 'failed'
                    else how end,
               agent_id, agent_version, by_worker, choice,
               -- Told of attempts in processes when they begin; others run inside the worker.
               case when was_lost or how = 'released' then confinement
                    else coalesce(confinement, 'none') end,
               queued_at, started_at,
               error::jsonb, usage::jsonb
          from live
    ), closed as (
        update task t
           set outcome = l.how, output = l.output::jsonb,
               error = coalesce(cancelled_error(l.how, l.cancel), l.error::jsonb),
               attempt = l.attempt, started_at = l.started_at, finished_at = clock_timestamp()
          from live l
         where t.id = any (array[l.task_id]) and is_end(l.how)
    ), told as (
        insert into event (type, project_id, subject, actor, data)
        select case l.how when 'succeeded' then 'task.completed' when 'retry' then 'task.retrying'
                          when 'parked' then 'task.waiting' else 'task.' || l.how end,
               lane.project_id, l.task_id, l.cancel ->> 'by',
               case when l.how = 'succeeded' then jsonb_build_object('attempt', l.attempt)
                    else jsonb_strip_nulls(jsonb_build_object(
                        'attempt', l.attempt, 'retry_in', l.delay, 'waits_for', l.park_key,
                        'error', coalesce(cancelled_error(l.how, l.cancel), l.error::jsonb)))
                    end
          from live l join lane on lane.id = any (array[l.lane_id])
         where not was_lost or is_end(l.how)
    )
    -- Beside the report that counts there may be stale ones of the same task.
    select array_agg(task_id), array_agg(how), array_agg(delay), array_agg(park_key),
           array_agg(task_id) filter (where is_end(how)),
           array_agg(task_id) filter (where gated and how <> 'parked'),
           array_agg(place_of(task_id, lane_id, priority, attempt,
                              failures + (how = 'retry')::int, losses + (how = 'lost')::int, gated))
               filter (where not is_end(how)),
           array_agg(distinct agent_id), array_agg(distinct lane_id)
      into settled, outcomes, pauses, parks, ended, freed, back, agents, lanes from live;
    readied := 0;
    if ended is not null then
        readied := release_dependents(ended);
        if exists (select from expiry) then
            delete from expiry where task_id = any (ended);
        end if;
    end if;
    if freed is not null then
        keys := give_back(freed, coalesce(ended, '{}'));
    end if;
    if back is not null then
        keys := keys || put_back(back, settled, outcomes, pauses, parks);
    end if;
    readied := readied + serve_gates(keys);
    if readied = 0 and exists (select from ready) and makes_room(agents, lanes) then
        readied := 1;
    end if;
end $$;

-- Whether the end of attempts by these agents, of these lanes, may let a ready task start, perhaps
-- at a worker that could not have begun it before.
create or replace function makes_room(agents uuid[], lanes int[]) returns boolean
language plpgsql as $$
begin
    return exists (select from agent where id = any (agents) and max_concurrency is not null)
        or queues_limited(lanes);
end $$;

create or replace function is_end(how text) returns boolean language sql immutable as $$
    select how in ('succeeded', 'failed', 'cancelled', 'dead')
$$;

-- Puts tasks whose attempt ended but that did not end to where they wait for the next one; the
-- other arrays say how it ended. Returns the gates at which they queue; these must be served next.
create or replace function put_back(
    places ready[], ids uuid[], hows text[], delays float8[], park_keys text[]
) returns text[] language plpgsql as $$
#variable_conflict use_column
declare
    again ready[]; parked ready[];
begin
    with back as (
        select p.*, hows[i] as how, delays[i] as delay, park_keys[i] as park_key
          from unnest(places) as p
          cross join lateral (select array_position(ids, p.task_id) as i) x
    ), later as (
        insert into timer (task_id, fires_at, reason, lane_id, priority, attempt, failures, losses,
                           gated)
        select task_id, clock_timestamp() + make_interval(secs => coalesce(delay, 0)), 'retry',
               lane_id, priority, attempt, failures, losses, gated
          from back where how = 'retry'
    ), requeued as (
        insert into ready (lane_id, priority, task_id, attempt, failures, losses)
        select lane_id, priority, task_id, attempt, failures, losses
          from back where how in ('released', 'lost') and not gated
    ), asked as (
        insert into need (task_id, gate, units)
        select task_id, park_key, 1 from back where how = 'parked'
        on conflict do nothing
    )
    select array_agg(place_of(task_id, lane_id, priority, attempt, failures, losses, gated))
               filter (where how in ('released', 'lost') and gated),
           array_agg(place_of(task_id, lane_id, priority, attempt, failures, losses, gated))
               filter (where how = 'parked')
      into again, parked from back;
    return queue_at_gates(again, false) || queue_at_gates(parked, true);
end $$;

-- Whether ending these attempts changes gates: they hold units, are about to park, or a task with
-- needs waits for them. A gated task has rows in need until it ends.
create or replace function touches_gates(ids uuid[], hows text[]) returns boolean
language plpgsql as $$
begin
    if not exists (select from need) then
        return 'parked' = any (hows);
    end if;
    return 'parked' = any (hows)
        or exists (select from running where task_id = any (ids) and gated)
        or exists (select from dependency d join blocked b on b.task_id = any (array[d.task_id])
                    where d.depends_on = any (ids) and not d.released and b.gated);
end $$;

create or replace function cancelled_error(how text, cancel jsonb) returns jsonb
language sql stable as $$
    select case when how = 'cancelled' then jsonb_build_object(
        'code', 'cancelled',
        'message', coalesce(cancel ->> 'reason', 'The task was cancelled.')) end
$$;

-- What live attempts say of themselves; a stale one says nothing. Events are throttled by callers.
create or replace function report_progress(
    by_worker uuid, ids uuid[], attempts int[], fractions real[], notes text[]
) returns void language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
    perform lock_events();
    with report as (
        select * from unnest(ids, attempts, fractions, notes)
                   as x (task_id, attempt, fraction, note)
         order by task_id
    ), said as (
        update running r set progress = x.fraction, note = x.note
          from report x
         where r.task_id = any (array[x.task_id]) and r.attempt = x.attempt
           and r.worker_id is not distinct from by_worker
        returning r.task_id, r.lane_id, r.attempt, r.progress, r.note
    )
    insert into event (type, project_id, subject, data)
    select 'task.progress', lane.project_id, s.task_id,
           jsonb_build_object('attempt', s.attempt, 'fraction', s.progress, 'note', s.note)
      from said s join lane on lane.id = any (array[s.lane_id]);
end $$;
