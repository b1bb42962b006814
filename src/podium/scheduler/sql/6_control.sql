-- What people and clocks do to tasks.

-- Takes tasks out of whichever hot table they wait in, and returns those that waited in one. The
-- tables are looked at in the order in which tasks move, so that one on the move is met in its next
-- place. The caller holds the locks of endings and gates.
create or replace function withdraw(ids uuid[]) returns uuid[] language plpgsql as $$
#variable_conflict use_column
declare
    taken uuid[]; gates text[];
begin
    with b as (delete from blocked where task_id = any (ids) returning task_id),
         t as (delete from timer where task_id = any (ids) returning task_id)
    select array_agg(task_id) into taken
      from (select task_id from b union all select task_id from t) x;

    with w as (delete from wait where task_id = any (ids) returning task_id, gate),
         counted as (
            update gate g set waiting = g.waiting - x.n
              from (select gate, count(*) as n from w group by gate) x
             where g.key = any (array[x.gate]))
    select taken || array_agg(task_id), array_agg(distinct gate) into taken, gates from w;

    with r as (
        delete from ready r using task t
         where t.id = any (ids) and r.lane_id = any (array[t.lane_id])
           and r.priority = any (array[t.priority]) and r.task_id = any (array[t.id])
        returning r.task_id)
    select taken || array_agg(task_id) into taken from r;
    perform serve_gates(give_back(taken, taken) || coalesce(gates, '{}'))
      where exists (select from need where task_id = any (taken));
    return coalesce(taken, '{}');
end $$;

-- Holds tasks still until the transaction ends: whoever judges them then and changes them changes
-- what was judged. The locks keep them from ending, from being edited or given another life, and
-- from what gates and dependencies do; those on the rows, in the order in which tasks move, from
-- being readied by the clock and from being claimed.
create or replace function hold_still(ids uuid[]) returns void language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
    perform lock_events();
    perform lock_gates();
    perform lock_endings();
    perform from timer where task_id = any (ids) for update;
    perform from ready r, task t
      where t.id = any (ids) and r.lane_id = any (array[t.lane_id])
        and r.priority = any (array[t.priority]) and r.task_id = any (array[t.id])
        for update of r;
end $$;

-- Cancels tasks. Those that wait end at once; running ones are asked to stop and end when their
-- worker says so. Returns what happened to each: cancelled, cancelling, or ended (it had ended).
create or replace function cancel_tasks(ids uuid[], who text, reason text)
returns table (task_id uuid, result text, worker_id uuid) language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    rest uuid[] := ids; taken uuid[]; asked uuid[];
begin
    perform lock_events();
    perform lock_gates();
    perform lock_endings();
    for round in 1..20 loop
        asked := ask_to_stop(rest, who, reason);
        taken := withdraw(rest);
        perform end_tasks(taken, 'cancelled', who, array_fill(
            jsonb_build_object('code', 'cancelled', 'message', reason),
            array[cardinality(taken)]));
        perform release_dependents(taken);
        return query
        select r.task_id, 'cancelling', r.worker_id from running r where r.task_id = any (asked)
        union all
        select t.id, case when t.id = any (taken) then 'cancelled' else 'ended' end, null::uuid
          from task t where t.id = any (rest) and coalesce(t.outcome, '') <> '';
        rest := array(select id from task where id = any (rest) and outcome is null
                                            and not id = any (asked));
        exit when cardinality(rest) = 0;   -- else they moved between two looks: look again
    end loop;
end $$;

-- Marks running attempts as to be stopped, once. Returns all of these tasks that run.
create or replace function ask_to_stop(ids uuid[], who text, reason text) returns uuid[]
language plpgsql as $$
#variable_conflict use_column
begin
    with marked as (
        update running set cancel = jsonb_build_object('by', who, 'reason', reason)
         where task_id = any (ids) and cancel is null
        returning task_id, lane_id, attempt
    )
    insert into event (type, project_id, subject, actor, data)
    select 'task.cancelling', lane.project_id, m.task_id, who,
           jsonb_build_object('attempt', m.attempt, 'reason', reason)
      from marked m join lane on lane.id = any (array[m.lane_id]);
    return array(select task_id from running where task_id = any (ids));
end $$;

-- Gives ended tasks (failed, dead, cancelled) another life: counts start anew, the attempt number
-- goes on, dependencies are judged again, a deadline that has passed counts no more. What a dependency that did not succeed does to a task is
-- what it chose, unless it is retried in the same call: run, be held until that one is retried, or
-- be cancelled anew. Returns the tasks that were given one.
create or replace function retry_tasks(ids uuid[], who text) returns setof uuid language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    again uuid[]; held uuid[]; failed uuid[];
begin
    perform lock_events();
    perform lock_gates();
    perform from task
      where id = any (ids || array(select depends_on from dependency where task_id = any (ids)))
      order by id for no key update;
    with reopened as (
        update task
           set outcome = null, error = null, output = null, finished_at = null,
               spec = case when (spec ->> 'deadline')::timestamptz <= clock_timestamp()
                           then spec - 'deadline' else spec end
         where id = any (ids) and coalesce(outcome, '') in ('failed', 'dead', 'cancelled')
        returning id
    )
    select array_agg(id) into again from reopened;
    insert into need (task_id, gate, units)
    select t.id, n ->> 'gate', (n ->> 'units')::bigint
      from task t cross join lateral jsonb_array_elements(t.spec -> 'needs') as n
     where t.id = any (again);
    perform renew_expiry(again);
    select b.held, b.failed into held, failed from block_again(again) b;
    insert into event (type, project_id, subject, actor, data)
    select 'task.redriven', project_id, id, who, jsonb_build_object(
               'attempt', attempt,
               'state', case when id = any (held) or spec ? 'needs' then 'pending'
                             else 'queued' end)
      from task where id = any (again);
    perform admit(array_agg(place_of(id, lane_id, priority, attempt, 0, 0, spec ? 'needs')),
                  array_agg(null::timestamptz))
       from task where id = any (again) and not id = any (held)
     having count(*) > 0;
    perform release_dependents(failed) where failed is not null;
    return query select * from unnest(again);
end $$;

-- Holds back reopened tasks that have open or failed dependencies. Returns them, and the failed
-- dependencies that must cancel some of them, or null.
create or replace function block_again(ids uuid[], out held uuid[], out failed uuid[])
language plpgsql as $$
#variable_conflict use_column
declare
    demanding uuid[];
begin
    update dependency d
       set released = coalesce(p.outcome = 'succeeded', false)
                      or p.outcome is not null and t.spec ->> 'on_dependency_failure' = 'run'
      from task t, task p
     where d.task_id = any (ids) and t.id = any (array[d.task_id])
       and p.id = any (array[d.depends_on]);
    with open as (
        select task_id, count(*) as n from dependency
         where task_id = any (ids) and not released group by task_id
    ), blocking as (
        insert into blocked (task_id, pending, on_failure, lane_id, priority, attempt, gated)
        select t.id, o.n, coalesce(t.spec ->> 'on_dependency_failure', 'cancel'), t.lane_id,
               t.priority, t.attempt, t.spec ? 'needs'
          from open o join task t on t.id = any (array[o.task_id])
        returning task_id, on_failure
    )
    select array_agg(task_id), array_agg(task_id) filter (where on_failure = 'cancel')
      into held, demanding from blocking;
    held := coalesce(held, '{}');
    select array_agg(id) into failed
      from task
     where coalesce(outcome, '') not in ('', 'succeeded') and id = any (array(
            select depends_on from dependency where task_id = any (demanding) and not released));
end $$;

-- Holds a task that waits to begin still until the transaction ends, so that it can be edited.
-- False when it is parked, runs or has ended. A ready row is written anew: a claim that has its
-- place among events already leaves what was edited since (start_attempts).
create or replace function hold_waiting(which uuid) returns boolean language plpgsql
set enable_hashjoin = off set enable_mergejoin = off
set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
    perform lock_gates();
    perform from blocked where task_id = which for update;
    if found then return true; end if;
    perform from timer where task_id = which for update;
    if found then return true; end if;
    perform from wait where task_id = which and not parked for update;
    if found then return true; end if;
    update ready r set priority = r.priority
      from task t
     where t.id = which and r.lane_id = any (array[t.lane_id])
       and r.priority = any (array[t.priority]) and r.task_id = any (array[t.id]);
    return found;
end $$;

-- Changes the places of tasks among others, wherever they wait; a running one keeps it for its next
-- attempts. Returns those that have not ended.
create or replace function reprioritise(ids uuid[], value smallint) returns setof uuid
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off
set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    rest uuid[] := ids; placed uuid[]; gates text[]; some_gates text[];
begin
    perform lock_events();
    perform lock_gates();
    for round in 1..20 loop
        with d as (update running set priority = value where task_id = any (rest)
                   returning task_id),
             b as (update blocked set priority = value where task_id = any (rest)
                   returning task_id),
             t as (update timer set priority = value where task_id = any (rest)
                   returning task_id),
             w as (update wait w set priority = value, rank = rank_of(value, w.task_id,
                                                                      p.ageing_seconds)
                     from lane l join project p on p.id = any (array[l.project_id])
                    where w.task_id = any (rest) and l.id = any (array[w.lane_id])
                   returning w.task_id, w.gate),
             r as (update ready r set priority = value from task t
                    where t.id = any (rest) and r.lane_id = any (array[t.lane_id])
                      and r.priority = any (array[t.priority])
                      and r.task_id = any (array[t.id])
                   returning r.task_id)
        select array(select task_id from d union all select task_id from b
                     union all select task_id from t union all select task_id from w
                     union all select task_id from r),
               array(select distinct gate from w)
          into placed, some_gates;
        update task set priority = value where id = any (placed);
        gates := gates || some_gates;
        return query select * from unnest(placed);
        rest := array(select id from task
                       where id = any (rest) and outcome is null and not id = any (placed));
        exit when cardinality(rest) = 0;   -- else they moved between two looks: look again
    end loop;
    perform serve_gates(gates) where cardinality(gates) > 0;
end $$;

-- Readies tasks whose time has come. Any process may call it; returns how many there were.
create or replace function fire_timers(most int) returns int language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    -- A variable, as the clock itself cannot be looked up in an index.
    moment timestamptz := clock_timestamp();
    n int; waiters ready[];
begin
    perform lock_events();
    perform lock_gates() where exists (
        select from (select gated from timer where fires_at <= moment
                      order by fires_at limit most) due where gated);
    with due as (
        delete from timer where ctid = any (array(
            select ctid from timer where fires_at <= moment
             order by fires_at limit most for update skip locked))
        returning *
    ), queued as (
        insert into ready (lane_id, priority, task_id, attempt, failures, losses)
        select lane_id, priority, task_id, attempt, failures, losses from due where not gated
    ), told as (
        insert into event (type, project_id, subject, data)
        select 'task.queued', lane.project_id, d.task_id, jsonb_build_object('after', d.reason)
          from due d join lane on lane.id = any (array[d.lane_id]) where not d.gated
    )
    select count(*), array_agg(place_of(task_id, lane_id, priority, attempt, failures, losses,
                                        true)) filter (where gated)
      into n, waiters from due;
    if waiters is not null then
        perform lock_gates();
        perform serve_gates(queue_at_gates(waiters, false));
    end if;
    return n;
end $$;

-- Has the queue timeout of tasks count from now, beside their deadlines.
create or replace function renew_expiry(ids uuid[]) returns void language plpgsql as $$
begin
    delete from expiry where task_id = any (ids);
    insert into expiry (task_id, expires_at)
    select id, least((spec ->> 'deadline')::timestamptz, clock_timestamp()
               + make_interval(secs => (spec -> 'timeouts' ->> 'queue')::float8))
      from task
     where id = any (ids) and (spec ? 'deadline' or spec -> 'timeouts' ? 'queue');
end $$;

-- Fails tasks that did not start in time, and those that wait although their deadline has passed. A
-- worker sees to the deadlines of those that run. Returns how many were due.
create or replace function expire_tasks(most int) returns int language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    moment timestamptz := clock_timestamp();
    due uuid[]; late uuid[]; whys jsonb[];
begin
    if not exists (select from expiry where expires_at <= moment) then return 0; end if;
    perform lock_events();
    perform lock_gates();
    perform lock_endings();
    with gone as (
        delete from expiry where ctid = any (array(
            select ctid from expiry where expires_at <= moment
             order by expires_at limit most for update skip locked))
        returning task_id
    )
    select array_agg(task_id) into due from gone;
    if due is null then return 0; end if;
    -- Those that began before their queue timeout have a deadline at most. One that runs at its
    -- deadline is looked at again: its worker may die before it has ended it.
    insert into expiry (task_id, expires_at)
    select t.id, greatest(x.deadline, moment + interval '5 s')
      from task t cross join lateral (select (t.spec ->> 'deadline')::timestamptz as deadline) x
     where t.id = any (due) and t.outcome is null
       and (x.deadline > moment or x.deadline is not null and exists (
            select from running r where r.task_id = any (array[t.id])));
    late := array(
        select t.id from task t
         where t.id = any (due) and t.outcome is null
           and not exists (select from running r where r.task_id = any (array[t.id]))
           and (coalesce((spec ->> 'deadline')::timestamptz <= moment, false)
                or not exists (select from attempt a where a.task_id = any (array[t.id])
                                                       and a.attempt > t.attempt)));
    late := withdraw(late);
    whys := array(
        select jsonb_build_object(
                   'class', 'timeout',
                   'code', case when d.passed then 'deadline_passed' else 'queue_timeout' end,
                   'message', case
                       when d.passed then 'The task had not ended at its deadline'
                       else 'The task did not start within its queue timeout' end || case
                       when a.deleted_at is not null then format('; agent %s was deleted.', a.name)
                       when not a.enabled then format('; agent %s is disabled.', a.name)
                       when not a.healthy then format('; agent %s is not healthy', a.name)
                            || coalesce(': ' || nullif(a.health_detail, ''), '.')
                       else '.' end)
          from unnest(late) with ordinality as l (id, place)
          join task t on t.id = any (array[l.id])
          join lane on lane.id = any (array[t.lane_id])
          left join agent a on a.id = any (array[lane.agent_id])
          cross join lateral (
            select coalesce((t.spec ->> 'deadline')::timestamptz <= moment, false) as passed) d
         order by l.place);
    perform end_tasks(late, 'failed', null, whys);
    perform release_dependents(late);
    return cardinality(due);
end $$;
