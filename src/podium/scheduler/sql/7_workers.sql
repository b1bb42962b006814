-- Workers and their leases, on the database's clock.

-- Returns what the worker is believed to run: a claim whose answer was lost on the way shows here.
create or replace function renew_lease(by_worker uuid, seconds float8)
returns table (task_id uuid, attempt int, cancel jsonb, age float8) language plpgsql as $$
#variable_conflict use_column
begin
    update worker set lease_until = clock_timestamp() + make_interval(secs => seconds)
     where id = by_worker and state in ('active', 'draining');
    if not found then
        raise exception 'worker % has no lease', by_worker using errcode = 'PD001';
    end if;
    return query select r.task_id, r.attempt, r.cancel,
                        extract(epoch from clock_timestamp() - r.started_at)::float8
                   from running r where r.worker_id = by_worker;
end $$;

-- Declares workers dead whose lease ran out and takes their tasks back: ready again, cancelled if
-- that was asked, dead after max_losses losses. Returns the workers and how many tasks each lost.
create or replace function reap_workers(max_losses int, most int)
returns table (worker_id uuid, tasks int) language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    corpses uuid[]; ended uuid[]; ungated uuid[]; again running[];
begin
    perform lock_events();
    perform lock_gates_if_used();
    select array_agg(w.id) into corpses from (
        select id from worker
         where state in ('active', 'draining') and lease_until < clock_timestamp()
         order by id limit most for update skip locked) w;
    if corpses is null then return; end if;
    update worker set state = 'dead' where id = any (corpses);
    insert into event (type, subject, data)
    select 'worker.lost', w.id, jsonb_build_object('name', w.name, 'host', w.host)
      from worker w where w.id = any (corpses);
    return query select c.id, (select count(*)::int from running r where r.worker_id = c.id)
                   from unnest(corpses) as c (id);

    with lost as (
        delete from running r where r.worker_id = any (corpses)
        returning r.*, r as record,
                  case when r.cancel is not null then 'cancelled'
                       when r.losses + 1 >= max_losses then 'dead' else 'again' end as how
    ), history as (
        insert into attempt (task_id, attempt, outcome, agent_id, agent_version, worker_id, choice,
                             confinement, queued_at, started_at, error)
        select l.task_id, l.attempt, 'lost', l.agent_id, l.agent_version, l.worker_id, l.choice,
               l.confinement, l.queued_at, l.started_at, lost_error() from lost l
    ), closed as (
        update task t
           set outcome = l.how, attempt = l.attempt, started_at = l.started_at,
               finished_at = clock_timestamp(),
               error = case l.how when 'dead' then lost_error() else
                   jsonb_build_object('code', 'cancelled', 'message',
                       coalesce(l.cancel ->> 'reason', 'The task was cancelled.')) end
          from lost l where t.id = l.task_id and l.how <> 'again'
    ), requeued as (
        insert into ready (lane_id, priority, task_id, attempt, failures, losses)
        select l.lane_id, l.priority, l.task_id, l.attempt, l.failures, l.losses + 1
          from lost l where l.how = 'again' and not l.gated
    ), told as (
        insert into event (type, project_id, subject, actor, data)
        select x.type, lane.project_id, l.task_id, l.cancel ->> 'by',
               jsonb_build_object('attempt', l.attempt, 'worker_id', l.worker_id)
          from lost l join lane on lane.id = l.lane_id
          cross join lateral (
            select 'task.lost' as type union all
            select 'task.' || l.how where l.how <> 'again') x
    )
    select array_agg(l.task_id) filter (where l.how <> 'again'),
           array_agg(l.task_id) filter (where l.gated),
           array_agg(l.record) filter (where l.gated and l.how = 'again')
      into ended, ungated, again from lost l;
    if ended is not null then
        perform release_dependents(ended);
    end if;
    if ungated is not null then
        perform leave_gates(ungated, coalesce(ended, '{}'));
    end if;
    if again is not null then
        perform enter_gates(array_agg(a.task_id), array_agg(a.lane_id), array_agg(a.priority),
                            array_agg(a.attempt), array_agg(a.failures),
                            array_agg((a.losses + 1)::smallint))
           from unnest(again) as a;
    end if;
end $$;

create or replace function lost_error() returns jsonb language sql immutable as $$
    select '{"class": "resource", "code": "worker_lost", "message":
             "The worker that ran this attempt stopped renewing its lease."}'::jsonb
$$;

-- Makes a process the only one of its role until its lease runs out.
create or replace function take_lead(which text, who uuid, seconds float8) returns boolean
language sql as $$
    with mine as (
        insert into leader as l (role, holder, until)
        values (which, who, clock_timestamp() + make_interval(secs => seconds))
        on conflict (role) do update set holder = excluded.holder, until = excluded.until
         where l.holder = excluded.holder or l.until < clock_timestamp()
        returning 1)
    select exists (select from mine)
$$;
