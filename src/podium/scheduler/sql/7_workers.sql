-- Workers and their leases, on the database's clock.

-- Returns what the worker is believed to run: a claim whose answer was lost on the way shows here.
-- Renewals do not wait for the disk: a crash of the database may lose those of the last moment, and
-- each comes long before the one before it would have run out.
create or replace function renew_lease(by_worker uuid, seconds float8)
returns table (task_id uuid, attempt int, cancel jsonb) language plpgsql
set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
begin
    perform set_config('synchronous_commit', 'off', true);
    update worker set lease_until = clock_timestamp() + make_interval(secs => seconds),
                      blocked_by = null
     where id = by_worker and state in ('active', 'draining');
    if not found then
        raise exception 'worker % has no lease', by_worker using errcode = 'PD001';
    end if;
    return query select r.task_id, r.attempt, r.cancel from running r where r.worker_id = by_worker;
end $$;

-- Declares workers dead whose lease ran out and takes their tasks back: ready again, cancelled if
-- that was asked, dead after max_losses losses. Returns the workers and how many tasks each lost.
-- Those of a copied database, whose leases are set to the epoch, did not die: they are stopped.
create or replace function reap_workers(max_losses int, most int)
returns table (worker_id uuid, tasks int) language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    moment timestamptz := clock_timestamp();
    corpses uuid[];
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
    update worker set state = case lease_until when 'epoch' then 'stopped' else 'dead' end
     where id = any (corpses);
    insert into event (type, subject, data)
    select 'worker.lost', w.id, jsonb_build_object('name', w.name, 'host', w.host)
      from worker w where w.id = any (corpses) and w.state = 'dead';
    return query select c.id, take_back(c.id, max_losses) from unnest(corpses) as c (id);
end $$;

-- Ends the attempts of a dead worker; those to be stopped anyway are cancelled. When one of them
-- blocked the worker, it is the only one whose loss is counted. Returns how many there were.
create or replace function take_back(corpse uuid, max_losses int) returns int
language plpgsql as $$
#variable_conflict use_column
declare
    culprit jsonb := (select blocked_by from worker where id = corpse);
    ids uuid[]; attempts int[]; hows text[]; errors text[]; nothing text[];
begin
    with mine as (
        select r.*, (culprit ->> 'task_id')::uuid is not distinct from r.task_id
                    and (culprit ->> 'attempt')::int is not distinct from r.attempt as guilty
          from running r where worker_id = corpse order by task_id for update
    ), judged as (
        select *, exists (select from mine where guilty) and not guilty as innocent from mine
    )
    select array_agg(task_id), array_agg(attempt),
           array_agg(case when innocent then 'released'
                          when cancel is null and losses + 1 >= max_losses then 'dead'
                          else 'lost' end),
           array_agg(lost_error(guilty, innocent, culprit ->> 'at')::text),
           array_agg(null::text)
      into ids, attempts, hows, errors, nothing from judged;
    if ids is null then return 0; end if;
    insert into event (type, project_id, subject, data)
    select 'task.lost', lane.project_id, r.task_id,
           jsonb_build_object('attempt', r.attempt, 'worker_id', corpse)
      from running r join lane on lane.id = any (array[r.lane_id]) where r.worker_id = corpse;
    perform from end_attempts(
        corpse, ids, attempts, hows, nothing, errors, nothing::float8[], nothing, nothing,
        was_lost => true);
    return cardinality(ids);
end $$;

create or replace function lost_error(guilty boolean, innocent boolean, at text) returns jsonb
language sql immutable as $$
    select case
        when guilty then jsonb_build_object(
            'class', 'agent', 'code', 'worker_blocked',
            'message', 'The function blocked its worker until the lease ended: ' || at || '.',
            'hint', 'Await what takes long, or give the agent the isolation ''process''.')
        when innocent then jsonb_build_object(
            'class', 'resource', 'code', 'worker_lost',
            'message', 'Another task blocked the worker that ran this attempt until its lease '
                       'ended. The loss is not counted.')
        else jsonb_build_object(
            'class', 'resource', 'code', 'worker_lost',
            'message', 'The worker that ran this attempt stopped renewing its lease.',
            'hint', '''podium logs'' on its machine says how it ended.')
        end
$$;

-- Makes a process the only one of its role until its lease runs out. Says whether it is, and the
-- time.
create or replace function stand(
    for_role text, who uuid, seconds float8, out leads boolean, out now timestamptz
) language plpgsql as $$
begin
    leads := not exists (
        select from leader where role = for_role and holder <> who and until > clock_timestamp());
    if leads then
        perform set_config('synchronous_commit', 'off', true);
        insert into leader as l (role, holder, until)
        values (for_role, who, clock_timestamp() + make_interval(secs => seconds))
        on conflict (role) do update set holder = excluded.holder, until = excluded.until
         where l.holder = excluded.holder or l.until < clock_timestamp();
        leads := found;
    end if;
    now := clock_timestamp();
end $$;
