-- What people and clocks do to tasks.

-- Takes tasks out of whichever hot table they wait in; returns those that waited in one.
-- The caller has locked the gates.
create or replace function withdraw(ids uuid[]) returns uuid[] language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    taken uuid[]; waiting_at text[]; holding uuid[];
begin
    -- In the order in which tasks move, so that one on the move is met in its next place.
    with b as (delete from blocked where task_id = any (ids) returning task_id),
         t as (delete from timer where task_id = any (ids) returning task_id)
    select coalesce(array_agg(task_id), '{}') into taken
      from (select task_id from b union all select task_id from t) x;
    with w as (delete from wait where task_id = any (ids) returning task_id, gate),
         r as (
            delete from ready using task
             where task.id = any (ids) and ready.lane_id = task.lane_id
               and ready.priority = task.priority and ready.task_id = task.id
            returning ready.task_id)
    select taken || coalesce(array_agg(task_id), '{}'),
           array_agg(gate) filter (where gate is not null)
      into taken, waiting_at
      from (select task_id, gate from w union all select task_id, null from r) x;
    update gate g set waiting = g.waiting - x.n
      from (select key, count(*) as n from unnest(waiting_at) as k (key) group by key) x
     where g.key = x.key;
    select array_agg(distinct task_id) into holding from need where task_id = any (taken);
    if holding is not null then
        perform leave_gates(holding, holding);
    end if;
    if waiting_at is not null then
        delete from gate where key = any (waiting_at) and one_shot and used = 0 and waiting = 0;
        perform serve_gates(waiting_at);
    end if;
    return taken;
end $$;

-- Cancels tasks. Those that wait end at once; running ones are asked to stop and end when their
-- worker says so. Returns what happened to each: cancelled, cancelling, or ended (it had ended).
create or replace function cancel_tasks(ids uuid[], who text, reason text)
returns table (task_id uuid, result text, worker_id uuid) language plpgsql as $$
#variable_conflict use_column
declare
    rest uuid[] := ids; taken uuid[]; asked uuid[];
begin
    perform lock_events();
    perform lock_gates_if_used();
    for round in 1..20 loop
        taken := withdraw(rest);
        perform end_open_tasks(taken, 'cancelled', 'cancelled', reason, who);
        perform release_dependents(taken);
        return query select x, 'cancelled', null::uuid from unnest(taken) as x;
        with mark as (
            update running r set cancel = jsonb_build_object('by', who, 'reason', reason)
             where r.task_id = any (rest) and not r.task_id = any (taken) and r.cancel is null
            returning r.task_id, r.lane_id, r.attempt
        ), told as (
            insert into event (type, project_id, subject, actor, data)
            select 'task.cancelling', lane.project_id, m.task_id, who,
                   jsonb_build_object('attempt', m.attempt, 'reason', reason)
              from mark m join lane on lane.id = m.lane_id
        )
        select array_agg(r.task_id) into asked from running r
         where r.task_id = any (rest) and not r.task_id = any (taken);
        return query select r.task_id, 'cancelling', r.worker_id
                       from running r where r.task_id = any (asked);
        return query select t.id, 'ended', null::uuid from task t
                      where t.id = any (rest) and t.outcome is not null
                        and not t.id = any (taken) and not t.id = any (coalesce(asked, '{}'));
        rest := array(select x from unnest(rest) as x join task t on t.id = x
                       where t.outcome is null and not x = any (coalesce(asked, '{}')));
        exit when cardinality(rest) = 0;   -- else they moved between two looks: look again
    end loop;
end $$;

-- Gives ended tasks (failed, dead, cancelled) another life: counts start anew, the attempt number
-- goes on, dependencies are judged again. Returns the tasks that live again.
create or replace function retry_tasks(ids uuid[], who text) returns setof uuid language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    again uuid[]; free uuid[];
begin
    perform lock_events();
    perform lock_gates_if_used();
    perform from task where id in (select depends_on from dependency where task_id = any (ids))
      order by id for share;
    with reopened as (
        update task set outcome = null, error = null, output = null, finished_at = null
         where id = any (ids) and outcome in ('failed', 'dead', 'cancelled')
        returning *
    ), edge as (
        update dependency d
           set released = coalesce(p.outcome = 'succeeded'
                                   or r.spec ->> 'on_dependency_failure' = 'run', false)
          from reopened r, task p
         where d.task_id = r.id and p.id = d.depends_on
        returning d.task_id, d.released
    ), open as (
        select task_id, count(*) as n from edge where not released group by task_id
    ), need_again as (
        insert into need (task_id, gate, units)
        select r.id, n ->> 'gate', (n ->> 'units')::bigint
          from reopened r cross join lateral jsonb_array_elements(r.spec -> 'needs') as n
        on conflict do nothing
    ), blocking as (
        insert into blocked (task_id, pending, on_failure, lane_id, priority, attempt, gated)
        select r.id, o.n, coalesce(r.spec ->> 'on_dependency_failure', 'cancel'), r.lane_id,
               r.priority, r.attempt, r.spec ? 'needs'
          from reopened r join open o on o.task_id = r.id
    ), told as (
        insert into event (type, project_id, subject, actor, data)
        select 'task.redriven', project_id, id, who, jsonb_build_object('attempt', attempt)
          from reopened
    )
    select array_agg(r.id),
           array_agg(r.id) filter (where not exists (select from open o where o.task_id = r.id))
      into again, free from reopened r;
    if free is not null then
        perform enter_or_ready(free);
    end if;
    return query select * from unnest(again);
end $$;

-- Admits reopened or edited tasks whose dependencies are done, keeping their attempt number.
create or replace function enter_or_ready(ids uuid[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
    insert into ready (lane_id, priority, task_id, attempt)
    select lane_id, priority, id, attempt from task
     where id = any (ids) and not exists (select from need where task_id = task.id);
    perform enter_gates(array_agg(id), array_agg(lane_id), array_agg(priority),
                        array_agg(attempt), array_agg(0::smallint), array_agg(0::smallint))
       from task where id = any (ids) and exists (select from need where task_id = task.id)
      having count(*) > 0;
end $$;

-- Changes the place of a waiting task among others.
create or replace function reprioritise(which uuid, value smallint) returns void
language plpgsql as $$
#variable_conflict use_column
begin
    update ready r set priority = value from task t
     where t.id = which and r.lane_id = t.lane_id and r.priority = t.priority
       and r.task_id = t.id;
    update blocked set priority = value where task_id = which;
    update timer set priority = value where task_id = which;
    update wait set priority = value where task_id = which;
    update task set priority = value where id = which;
end $$;

-- Readies tasks whose time has come. Any process may call it; returns how many there were.
create or replace function fire_timers(most int) returns int language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    n int; gates timer[];
begin
    perform lock_events();
    perform lock_gates_if_used();
    with due as (
        delete from timer where ctid = any (array(
            select ctid from timer where fires_at <= clock_timestamp()
             order by fires_at limit most for update skip locked))
        returning *, timer as record
    ), queued as (
        insert into ready (lane_id, priority, task_id, attempt, failures, losses)
        select lane_id, priority, task_id, attempt, failures, losses from due where not gated
    ), told as (
        insert into event (type, project_id, subject, data)
        select 'task.queued', lane.project_id, d.task_id, jsonb_build_object('after', d.reason)
          from due d join lane on lane.id = d.lane_id where not d.gated
    )
    select count(*), array_agg(record) filter (where gated) into n, gates from due;
    if gates is not null then
        perform enter_gates(array_agg(g.task_id), array_agg(g.lane_id), array_agg(g.priority),
                            array_agg(g.attempt), array_agg(g.failures), array_agg(g.losses))
           from unnest(gates) as g;
    end if;
    return n;
end $$;

-- Fails tasks that did not start in time. Returns how many rows were due.
create or replace function expire_tasks(most int) returns int language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    due uuid[]; taken uuid[];
begin
    perform lock_events();
    perform lock_gates_if_used();
    with gone as (
        delete from expiry where ctid = any (array(
            select ctid from expiry where expires_at <= clock_timestamp()
             order by expires_at limit most for update skip locked))
        returning task_id
    )
    select array_agg(task_id) into due from gone;
    if due is null then return 0; end if;
    due := array(select id from task where id = any (due) and outcome is null
                    and not exists (select from running where task_id = id)
                    and not exists (select from attempt where task_id = id));
    taken := withdraw(due);
    perform end_open_tasks(taken, 'failed', 'queue_timeout',
                           'The task did not start within its queue timeout.', null);
    perform release_dependents(taken);
    return cardinality(due);
end $$;
