-- Ends attempts. Everything is fenced by (task, attempt, worker): a stale attempt changes nothing,
-- and the first committed end of a task wins. Returns the tasks for which the report counted, and on
-- each row how many other tasks became ready by it all.
--
-- how: succeeded, failed, cancelled, dead (the task ends); retry (again after delays seconds);
-- released (handed back by a draining worker: again, nothing counted); parked (waits for the
-- gate in park_keys, keeping what it holds).
create or replace function settle_attempts(
    by_worker uuid, ids uuid[], attempts int[], hows text[], outputs text[], errors text[],
    delays float8[], park_keys text[], usages text[]
) returns table (task_id uuid, outcome text, readied int) language plpgsql rows 200
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    n int := 0; settled uuid[]; outcomes text[]; ended uuid[]; ungated uuid[]; again running[];
begin
    perform lock_events();
    if 'parked' = any (hows) or exists (select from need) and (
        exists (select from running r where r.task_id = any (ids) and r.gated)
        or exists (select from dependency d join blocked b on b.task_id = d.task_id
                    where d.depends_on = any (ids) and b.gated))
    then
        perform lock_gates();
    end if;
    with report as (
        select * from unnest(ids, attempts, hows, outputs, errors, delays, park_keys, usages)
                   as x (task_id, attempt, how, output, error, delay, park_key, usage)
    ), live as (
        delete from running r using report x
         where r.task_id = x.task_id and r.attempt = x.attempt and r.worker_id = by_worker
        returning r.*, r as record, x.output, x.error, x.delay, x.park_key, x.usage,
                  case when r.cancel is not null and x.how in ('retry', 'released', 'parked')
                       then 'cancelled' else x.how end as how
    ), history as (
        insert into attempt (task_id, attempt, outcome, agent_id, agent_version, worker_id, choice,
                             confinement, queued_at, started_at, error, usage)
        select l.task_id, l.attempt,
               case when l.how in ('retry', 'dead') then 'failed' else l.how end,
               l.agent_id, l.agent_version, l.worker_id, l.choice, l.confinement, l.queued_at,
               l.started_at, l.error::jsonb, l.usage::jsonb
          from live l
    ), closed as (
        update task t
           set outcome = l.how, output = l.output::jsonb,
               error = coalesce(l.error::jsonb, case when l.how = 'cancelled' then
                           jsonb_build_object('code', 'cancelled', 'message',
                               coalesce(l.cancel ->> 'reason', 'The task was cancelled.')) end),
               attempt = l.attempt, started_at = l.started_at, finished_at = clock_timestamp()
          from live l
         where t.id = l.task_id and l.how in ('succeeded', 'failed', 'cancelled', 'dead')
    ), later as (
        insert into timer (task_id, fires_at, reason, lane_id, priority, attempt, failures, losses,
                           gated)
        select l.task_id, clock_timestamp() + make_interval(secs => l.delay), 'retry', l.lane_id,
               l.priority, l.attempt, l.failures + 1, l.losses, l.gated
          from live l where l.how = 'retry'
    ), handed_back as (
        insert into ready (lane_id, priority, task_id, attempt, failures, losses)
        select l.lane_id, l.priority, l.task_id, l.attempt, l.failures, l.losses
          from live l where l.how = 'released' and not l.gated
    ), asked as (
        insert into need (task_id, gate, units)
        select l.task_id, l.park_key, 1 from live l where l.how = 'parked'
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
           array_agg(l.record) filter (where l.how = 'parked' or l.how = 'released' and l.gated)
      into settled, outcomes, ended, ungated, again from live l;

    if ended is not null then
        n := release_dependents(ended);
    end if;
    if ungated is not null then
        n := n + leave_gates(ungated, coalesce(ended, '{}'));
    end if;
    if again is not null then
        perform enter_gates(array_agg(a.task_id), array_agg(a.lane_id), array_agg(a.priority),
                            array_agg(a.attempt), array_agg(a.failures), array_agg(a.losses))
           from unnest(again) as a;
        update wait w set parked = true
          from unnest(settled, outcomes) as x (task_id, how)
         where w.task_id = x.task_id and x.how = 'parked';
    end if;
    return query select *, n from unnest(settled, outcomes);
end $$;

-- What live attempts say of themselves; a stale one says nothing. Events are throttled by callers.
create or replace function report_progress(
    by_worker uuid, ids uuid[], attempts int[], fractions real[], notes text[]
) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
begin
    perform lock_events();
    with said as (
        update running r set progress = x.fraction, note = x.note
          from unnest(ids, attempts, fractions, notes) as x (task_id, attempt, fraction, note)
         where r.task_id = x.task_id and r.attempt = x.attempt and r.worker_id = by_worker
        returning r.task_id, r.lane_id, r.attempt, r.progress, r.note
    )
    insert into event (type, project_id, subject, data)
    select 'task.progress', lane.project_id, s.task_id,
           jsonb_build_object('attempt', s.attempt, 'fraction', s.progress, 'note', s.note)
      from said s join lane on lane.id = s.lane_id;
end $$;
