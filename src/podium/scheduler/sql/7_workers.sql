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
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    moment timestamptz := clock_timestamp();
    corpses uuid[]; losers uuid[];
begin
    if not exists (select from worker where state in ('active', 'draining')
                                        and lease_until < moment) then
        return;
    end if;
    perform lock_events();
    perform lock_gates();
    perform lock_endings_shared();
    -- One that claims or renews at this moment is passed over.
    corpses := array(
        select id from worker
         where state in ('active', 'draining') and lease_until < moment
         order by id limit most for update skip locked);
    update worker set state = 'dead' where id = any (corpses);
    insert into event (type, subject, data)
    select 'worker.lost', w.id, jsonb_build_object('name', w.name, 'host', w.host)
      from worker w where w.id = any (corpses);
    losers := take_back(corpses, max_losses);
    return query
    select c.id, (select count(*)::int from unnest(losers) as l (id) where l.id = c.id)
      from unnest(corpses) as c (id);
end $$;

-- Ends the attempts of dead workers. Returns the worker of each.
create or replace function take_back(corpses uuid[], max_losses int) returns uuid[]
language plpgsql as $$
#variable_conflict use_column
declare
    losers uuid[]; ended uuid[]; left_gates uuid[]; queueing ready[];
begin
    perform from running where worker_id = any (corpses) order by task_id for update;
    with lost as (
        delete from running where worker_id = any (corpses)
        returning *, case when cancel is not null then 'cancelled'
                          when losses + 1 >= max_losses then 'dead' else 'again' end as how
    ), history as (
        insert into attempt (task_id, attempt, outcome, agent_id, agent_version, worker_id, choice,
                             confinement, queued_at, started_at, error)
        select task_id, attempt, 'lost', agent_id, agent_version, worker_id, choice, confinement,
               queued_at, started_at, lost_error()
          from lost
    ), closed as (
        update task t
           set outcome = l.how, attempt = l.attempt, started_at = l.started_at,
               finished_at = clock_timestamp(),
               error = coalesce(cancelled_error(l.how, l.cancel), lost_error())
          from lost l where t.id = l.task_id and l.how <> 'again'
    ), requeued as (
        insert into ready (lane_id, priority, task_id, attempt, failures, losses)
        select lane_id, priority, task_id, attempt, failures, losses + 1
          from lost where how = 'again' and not gated
    ), told as (
        insert into event (type, project_id, subject, actor, data)
        select x.type, lane.project_id, l.task_id, l.cancel ->> 'by',
               jsonb_strip_nulls(jsonb_build_object(
                   'attempt', l.attempt, 'worker_id', l.worker_id, 'error', x.error))
          from lost l join lane on lane.id = l.lane_id
          cross join lateral (
            select 'task.lost' as type, null::jsonb as error
            union all
            select 'task.' || l.how, coalesce(cancelled_error(l.how, l.cancel), lost_error())
             where l.how <> 'again') x
    )
    select array_agg(worker_id), array_agg(task_id) filter (where how <> 'again'),
           array_agg(task_id) filter (where gated),
           array_agg(place_of(task_id, lane_id, priority, attempt, failures, losses + 1, true))
               filter (where gated and how = 'again')
      into losers, ended, left_gates, queueing from lost;
    if ended is not null then
        delete from expiry where task_id = any (ended);
        perform release_dependents(ended);
    end if;
    perform serve_gates(give_back(left_gates, coalesce(ended, '{}'))
                        || queue_at_gates(queueing, false));
    return losers;
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
