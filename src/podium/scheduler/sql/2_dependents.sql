-- What happens to others when tasks end.

-- Ending attempts share this lock; whoever takes tasks out of their places by force (cancels,
-- expires) holds it alone. He locks rows in the order in which tasks move and looks again for those
-- that moved meanwhile, which would cross the order in which an ending attempt locks them. Taken
-- after the gate lock.
create or replace function lock_endings_shared() returns void language sql as $$
    select pg_advisory_xact_lock_shared(1886348393, 6)
$$;

create or replace function lock_endings() returns void language sql as $$
    select pg_advisory_xact_lock(1886348393, 6)
$$;

-- Ready, or first to a timer or to the gates: the one place where a task that nothing else holds
-- back is admitted. starts has the earliest start of each place, or null. Returns how many became
-- ready.
create or replace function admit(places ready[], starts timestamptz[]) returns int
language plpgsql as $$
#variable_conflict use_column
declare
    n int; waiters ready[];
begin
    with place as (
        select * from unnest(places, starts)
            as p (lane_id, priority, task_id, attempt, failures, losses, gated, queued_at, start)
    ), later as (
        insert into timer (task_id, fires_at, reason, lane_id, priority, attempt, gated)
        select task_id, start, 'delay', lane_id, priority, attempt, gated
          from place where start > now()
    ), queued as (
        insert into ready (lane_id, priority, task_id, attempt)
        select lane_id, priority, task_id, attempt
          from place where not gated and (start is null or start <= now())
        returning task_id
    )
    select (select count(*) from queued),
           array_agg(place_of(task_id, lane_id, priority, attempt, failures, losses, true))
               filter (where gated and (start is null or start <= now()))
      into n, waiters from place;
    if waiters is not null then
        perform lock_gates();
        n := n + serve_gates(queue_at_gates(waiters, false));
    end if;
    return n;
end $$;

-- Tasks that ended release their dependents: the last dependency admits them; a failed one cancels,
-- releases or holds them, as each dependent chose. What is cancelled ends too, hence the loop.
-- Returns how many tasks became ready.
create or replace function release_dependents(ended uuid[]) returns int language plpgsql as $$
#variable_conflict use_column
declare
    n int := 0; doomed uuid[];
begin
    while exists (select from dependency where depends_on = any (ended) and not released) loop
        if doomed is null then
            perform lock_cascade(ended);
        end if;
        doomed := cancel_dependents(ended);
        n := n + count_down(ended);
        ended := doomed;
    end loop;
    return n;
end $$;

-- Locks the blocked rows that the end of these tasks changes: those of their dependents, and on
-- through the ones that will be cancelled. In one order, so that cascades which meet go one after
-- the other.
create or replace function lock_cascade(ended uuid[]) returns void language plpgsql as $$
declare
    touched uuid[];
begin
    with recursive step (id, ends, fails) as (
        select id, true, outcome <> 'succeeded' from task where id = any (ended)
        union
        select b.task_id, s.fails and b.on_failure = 'cancel', s.fails and b.on_failure = 'cancel'
          from step s
          join dependency d on d.depends_on = s.id and not d.released
          join blocked b on b.task_id = d.task_id
         where s.ends
    )
    select array_agg(id) into touched from step;
    perform from blocked where task_id = any (touched) order by task_id for update;
end $$;

-- Ends the dependents that wanted these tasks to succeed. Returns them.
create or replace function cancel_dependents(ended uuid[]) returns uuid[] language plpgsql as $$
#variable_conflict use_column
declare
    doomed uuid[]; whys jsonb[];
begin
    with gone as (
        delete from blocked b
         where b.on_failure = 'cancel' and b.task_id in (
            select d.task_id from dependency d join task t on t.id = d.depends_on
             where d.depends_on = any (ended) and not d.released and t.outcome <> 'succeeded')
        returning b.task_id, b.gated
    ), unneeded as (
        delete from need where task_id in (select task_id from gone where gated)
    )
    select array_agg(task_id) into doomed from gone;
    if doomed is not null then
        whys := array(
            select jsonb_build_object(
                       'class', 'unknown', 'code', 'dependency_failed',
                       'message', format(
                           'Task %s (%s), which this one depends on, did not succeed.',
                           t.id, t.title))
              from unnest(doomed) with ordinality as g (id, place)
              cross join lateral (
                    select t.id, t.title from dependency d join task t on t.id = d.depends_on
                     where d.task_id = g.id and d.depends_on = any (ended) and not d.released
                       and t.outcome <> 'succeeded'
                     order by t.id limit 1) t
             order by g.place);
        perform end_tasks(doomed, 'cancelled', null, whys);
    end if;
    return coalesce(doomed, '{}');
end $$;

-- Counts dependencies down that are satisfied now, and admits the tasks that have none left.
create or replace function count_down(ended uuid[]) returns int language plpgsql as $$
#variable_conflict use_column
declare
    free ready[]; starts timestamptz[];
begin
    with satisfied as (
        update dependency d set released = true
          from task t, blocked b
         where d.depends_on = any (ended) and not d.released
           and t.id = d.depends_on and b.task_id = d.task_id
           and (t.outcome = 'succeeded' or b.on_failure = 'run')
        returning d.task_id
    )
    update blocked b set pending = b.pending - s.n
      from (select task_id, count(*) as n from satisfied group by task_id) s
     where b.task_id = s.task_id;

    with freed as (
        delete from blocked
         where pending = 0
           and task_id in (select task_id from dependency where depends_on = any (ended))
        returning *
    ), told as (
        insert into event (type, project_id, subject, data)
        select 'task.queued', lane.project_id, f.task_id, '{"after": "dependencies"}'
          from freed f join lane on lane.id = f.lane_id
         where not f.gated and (f.not_before is null or f.not_before <= now())
    )
    select array_agg(place_of(task_id, lane_id, priority, attempt, 0, 0, gated)),
           array_agg(not_before)
      into free, starts from freed;
    if free is null then return 0; end if;
    return admit(free, starts);
end $$;

-- Writes the end of tasks that are in no hot table any more, with its event. whys has the error of
-- each.
create or replace function end_tasks(ids uuid[], how text, who text, whys jsonb[]) returns void
language plpgsql as $$
#variable_conflict use_column
begin
    if cardinality(ids) = 0 then return; end if;
    perform from task where id = any (ids) order by id for no key update;
    delete from expiry where task_id = any (ids);
    with done as (
        update task t
           set outcome = how, error = e.why, finished_at = clock_timestamp(),
               -- Attempts that came before: another life goes on counting from here.
               attempt = greatest(t.attempt, (select max(a.attempt) from attempt a
                                               where a.task_id = t.id))
          from unnest(ids, whys) as e (id, why)
         where t.id = e.id and t.outcome is null
        returning t.id, t.project_id, t.error
    )
    insert into event (type, project_id, subject, actor, data)
    select 'task.' || how, project_id, id, who, jsonb_build_object('error', error) from done;
end $$;
