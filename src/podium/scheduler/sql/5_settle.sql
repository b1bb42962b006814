-- Ends attempts. Everything is fenced by (task, attempt, worker): a stale attempt changes nothing,
-- and the first committed end of a task wins. Returns the tasks for which the report counted, and on
-- each row how many other tasks became ready by it all.
--
-- how: succeeded, failed, cancelled, dead (the task ends); retry (again after delays seconds);
-- released (handed back by a draining worker: again, nothing counted); parked (waits for the
-- gate in park_keys, keeping what it holds). A task that is to be cancelled is not tried again.
create or replace function settle_attempts(
    by_worker uuid, ids uuid[], attempts int[], hows text[], outputs text[], errors text[],
    delays float8[], park_keys text[], usages text[]
) returns table (task_id uuid, outcome text, readied int) language plpgsql rows 200
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    n int := 0; settled uuid[]; outcomes text[]; ended uuid[]; left_gates uuid[];
    parked ready[]; handed_back ready[]; keys text[];
begin
    perform lock_events();
    perform lock_gates() where touches_gates(ids, hows);
    perform lock_endings_shared();
    with report as (
        select * from unnest(ids, attempts, hows, outputs, errors, delays, park_keys, usages)
                   as x (task_id, attempt, how, output, error, delay, park_key, usage)
         order by task_id   -- rows are locked in this order everywhere
    ), live as (
        delete from running r using report x
         where r.task_id = x.task_id and r.attempt = x.attempt and r.worker_id = by_worker
        returning r.*, x.output, x.error, x.delay, x.park_key, x.usage,
                  case when r.cancel is not null and x.how in ('retry', 'released', 'parked')
                       then 'cancelled' else x.how end as how
    ), history as (
        insert into attempt (task_id, attempt, outcome, agent_id, agent_version, worker_id, choice,
                             confinement, queued_at, started_at, error, usage)
        select task_id, attempt, case when how in ('retry', 'dead') then 'failed' else how end,
               agent_id, agent_version, worker_id, choice, confinement, queued_at, started_at,
               error::jsonb, usage::jsonb
          from live
    ), closed as (
        update task t
           set outcome = l.how, output = l.output::jsonb,
               error = coalesce(l.error::jsonb, cancelled_error(l.how, l.cancel)),
               attempt = l.attempt, started_at = l.started_at, finished_at = clock_timestamp()
          from live l
         where t.id = l.task_id and l.how in ('succeeded', 'failed', 'cancelled', 'dead')
    ), later as (
        insert into timer (task_id, fires_at, reason, lane_id, priority, attempt, failures, losses,
                           gated)
        select task_id, clock_timestamp() + make_interval(secs => coalesce(delay, 0)), 'retry',
               lane_id, priority, attempt, failures + 1, losses, gated
          from live where how = 'retry'
    ), again as (
        insert into ready (lane_id, priority, task_id, attempt, failures, losses)
        select lane_id, priority, task_id, attempt, failures, losses
          from live where how = 'released' and not gated
    ), asked as (
        insert into need (task_id, gate, units)
        select task_id, park_key, 1 from live where how = 'parked'
        on conflict do nothing
    ), told as (
        insert into event (type, project_id, subject, actor, data)
        select case l.how when 'succeeded' then 'task.completed' when 'retry' then 'task.retrying'
                          when 'parked' then 'task.waiting' else 'task.' || l.how end,
               lane.project_id, l.task_id, l.cancel ->> 'by',
               jsonb_strip_nulls(jsonb_build_object(
                   'attempt', l.attempt, 'error', l.error::jsonb, 'retry_in', l.delay,
                   'waits_for', l.park_key))
          from live l join lane on lane.id = l.lane_id
    )
    select array_agg(l.task_id), array_agg(l.how),
           array_agg(l.task_id) filter (where l.how in ('succeeded', 'failed', 'cancelled', 'dead')),
           array_agg(l.task_id) filter (where l.gated and l.how <> 'parked'),
           array_agg(p.place) filter (where l.how = 'parked'),
           array_agg(p.place) filter (where l.how = 'released' and l.gated)
      into settled, outcomes, ended, left_gates, parked, handed_back
      from live l
      cross join lateral (
        select place_of(l.task_id, l.lane_id, l.priority, l.attempt, l.failures, l.losses, l.gated)
               as place) p;

    if ended is not null then
        n := release_dependents(ended);
        if exists (select from expiry) then
            delete from expiry where task_id = any (ended);
        end if;
    end if;
    if left_gates is not null or parked is not null then
        keys := give_back(left_gates, coalesce(ended, '{}'));
        keys := keys || queue_at_gates(handed_back, false) || queue_at_gates(parked, true);
        n := n + serve_gates(keys);
    end if;
    return query select *, n from unnest(settled, outcomes);
end $$;

-- Whether ending these attempts changes gates: they hold units, are about to park, or a task with
-- needs waits for them.
create or replace function touches_gates(ids uuid[], hows text[]) returns boolean
language plpgsql as $$
begin
    return 'parked' = any (hows)
        or exists (select from running where task_id = any (ids) and gated)
        or exists (select from dependency d join blocked b on b.task_id = d.task_id
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
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
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
         where r.task_id = x.task_id and r.attempt = x.attempt and r.worker_id = by_worker
        returning r.task_id, r.lane_id, r.attempt, r.progress, r.note
    )
    insert into event (type, project_id, subject, data)
    select 'task.progress', lane.project_id, s.task_id,
           jsonb_build_object('attempt', s.attempt, 'fraction', s.progress, 'note', s.note)
      from said s join lane on lane.id = s.lane_id;
end $$;
