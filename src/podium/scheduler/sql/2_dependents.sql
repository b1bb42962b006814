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
declare
    n int := 0; failed uuid[]; doomed uuid[];
begin
    while exists (select from dependency where depends_on = any (ended) and not released) loop
        failed := array(
            select id from task
             where id = any (ended) and coalesce(outcome, '') not in ('', 'succeeded'));
        if doomed is null then
            perform lock_cascade(ended, failed);
        else   -- some dependents may have come after lock_cascade looked
            perform lock_dependents(ended);
        end if;
        doomed := cancel_dependents(failed);
        n := n + count_down(ended);
        ended := doomed;
    end loop;
    return n;
end $$;

-- Locks the blocked rows that the end of these tasks, some of which failed, changes: those of their
-- dependents, and on through the ones that will be cancelled. In one order, so that cascades which
-- meet go one after the other.
create or replace function lock_cascade(ended uuid[], failed uuid[]) returns void
language plpgsql as $$
declare
    ending uuid[];
begin
    with recursive doomed (id) as (
        select b.task_id
          from dependency d join blocked b on b.task_id = any (array[d.task_id])
         where d.depends_on = any (failed) and not d.released and b.on_failure = 'cancel'
        union
        select b.task_id
          from doomed
          join dependency d on d.depends_on = any (array[doomed.id]) and not d.released
          join blocked b on b.task_id = any (array[d.task_id]) and b.on_failure = 'cancel'
    )
    select ended || array_agg(id) into ending from doomed;
    perform lock_dependents(ending);
end $$;

create or replace function lock_dependents(ended uuid[]) returns void language plpgsql as $$
begin
    perform from blocked
      where task_id = any (array(
            select task_id from dependency where depends_on = any (ended) and not released))
      order by task_id for update;
end $$;

-- Ends the dependents that wanted these tasks to succeed, which did not. Returns them.
create or replace function cancel_dependents(failed uuid[]) returns uuid[] language plpgsql as $$
#variable_conflict use_column
declare
    doomed uuid[]; needy uuid[]; whys jsonb[];
begin
    if cardinality(failed) = 0 then return '{}'; end if;
    with edge as (
        select task_id, (array_agg(depends_on order by depends_on))[1] as cause
          from dependency where depends_on = any (failed) and not released group by task_id
    ), gone as (
        delete from blocked b using edge e
         where b.task_id = any (array[e.task_id]) and b.on_failure = 'cancel'
        returning b.task_id, b.gated, e.cause
    )
    select array_agg(g.task_id), array_agg(g.task_id) filter (where g.gated),
           array_agg(jsonb_build_object(
               'class', 'unknown', 'code', 'dependency_failed',
               'message', format('Task %s (%s), which this one depends on, did not succeed.',
                                 t.id, t.title)))
      into doomed, needy, whys
      from gone g join task t on t.id = any (array[g.cause]);
    if doomed is not null then
        delete from need where task_id = any (needy);
        perform end_tasks(doomed, 'cancelled', null, whys);
    end if;
    return coalesce(doomed, '{}');
end $$;

-- Counts dependencies down that are satisfied now, and admits the tasks that have none left. The
-- caller has locked the blocked rows, so all that is said of one here is said of the same state.
create or replace function count_down(ended uuid[]) returns int language plpgsql as $$
#variable_conflict use_column
declare
    free ready[]; starts timestamptz[];
begin
    with satisfied as (
        update dependency d set released = true
          from task t, blocked b
         where d.depends_on = any (ended) and not d.released
           and t.id = any (array[d.depends_on]) and b.task_id = any (array[d.task_id])
           and (t.outcome = 'succeeded' or b.on_failure = 'run')
        returning d.task_id
    ), step as (
        select task_id, count(*) as n from satisfied group by task_id
    ), nearer as (
        update blocked b set pending = b.pending - s.n
          from step s where b.task_id = any (array[s.task_id]) and b.pending > s.n
    ), freed as (
        delete from blocked b
         using step s where b.task_id = any (array[s.task_id]) and b.pending = s.n
        returning b.*
    ), told as (
        insert into event (type, project_id, subject, data)
        select 'task.queued', lane.project_id, f.task_id, '{"after": "dependencies"}'
          from freed f join lane on lane.id = any (array[f.lane_id])
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
         where t.id = any (array[e.id]) and t.outcome is null
        returning t.id, t.project_id, t.error
    )
    insert into event (type, project_id, subject, actor, data)
    select 'task.' || how, project_id, id, who, jsonb_build_object('error', error) from done;
end $$;
