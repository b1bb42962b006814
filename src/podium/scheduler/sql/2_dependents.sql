-- What happens to others when tasks end.

-- Ready, or first to a timer or to the gates: the one place where a task that nothing else holds
-- back is admitted. Takes hot rows as arrays of equal length.
create or replace function admit(
    ids uuid[], lanes int[], priorities smallint[], attempts int[], gated boolean[],
    not_before timestamptz[]
) returns void language plpgsql as $$
#variable_conflict use_column
declare
    waits uuid[]; wait_lanes int[]; wait_priorities smallint[]; wait_attempts int[];
begin
    with x as (
        select * from unnest(ids, lanes, priorities, attempts, gated, not_before)
                   as x (task_id, lane_id, priority, attempt, gated, not_before)
    ), later as (
        insert into timer (task_id, fires_at, reason, lane_id, priority, attempt, gated)
        select task_id, x.not_before, 'delay', lane_id, priority, attempt, x.gated
          from x where x.not_before > clock_timestamp()
        returning task_id
    ), now_ready as (
        insert into ready (lane_id, priority, task_id, attempt)
        select lane_id, priority, task_id, attempt from x
         where not x.gated and (x.not_before is null or x.not_before <= clock_timestamp())
    )
    select array_agg(task_id), array_agg(lane_id), array_agg(priority), array_agg(attempt)
      into waits, wait_lanes, wait_priorities, wait_attempts
      from x where x.gated and not exists (select from later where later.task_id = x.task_id);
    if waits is not null then
        perform enter_gates(waits, wait_lanes, wait_priorities, wait_attempts,
                            array_fill(0::smallint, array[cardinality(waits)]),
                            array_fill(0::smallint, array[cardinality(waits)]));
    end if;
end $$;

-- Tasks that ended release their dependents: the last dependency admits them; a failed one cancels,
-- releases or holds them, as each dependent chose. What is cancelled ends too, hence the loop.
-- Returns how many tasks were admitted.
create or replace function release_dependents(ended uuid[]) returns int language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    n int := 0; doomed uuid[]; held_gates uuid[];
    free uuid[]; lanes int[]; priorities smallint[]; tries int[]; gates boolean[];
    starts timestamptz[];
begin
    while cardinality(ended) > 0 loop
        if not exists (select from dependency where depends_on = any (ended) and not released) then
            return n;
        end if;
        perform from blocked
          where task_id in (select task_id from dependency where depends_on = any (ended))
          order by task_id for update;

        with gone as (
            delete from blocked b
             where b.on_failure = 'cancel'
               and b.task_id in (
                select d.task_id from dependency d join task t on t.id = d.depends_on
                 where d.depends_on = any (ended) and t.outcome <> 'succeeded')
            returning b.task_id, b.gated
        )
        select array_agg(task_id), array_agg(task_id) filter (where gated)
          into doomed, held_gates from gone;

        with edge as (
            update dependency d set released = true
              from task t, blocked b
             where d.depends_on = any (ended) and not d.released
               and t.id = d.depends_on and b.task_id = d.task_id
               and (t.outcome = 'succeeded' or b.on_failure = 'run')
            returning d.task_id
        ), step as (
            select task_id, count(*) as n from edge group by task_id
        ), counted as (
            update blocked b set pending = b.pending - step.n
              from step where b.task_id = step.task_id
            returning b.task_id, b.pending
        )
        select array_agg(task_id) into free from counted where pending = 0;

        if free is not null then
            with freed as (
                delete from blocked where task_id = any (free) returning *
            ), told as (
                insert into event (type, project_id, subject, data)
                select 'task.queued', t.project_id, t.id, '{"after": "dependencies"}'
                  from freed f join task t on t.id = f.task_id
                 where not f.gated and (f.not_before is null or f.not_before <= clock_timestamp())
            )
            select array_agg(task_id), array_agg(lane_id), array_agg(priority), array_agg(attempt),
                   array_agg(gated), array_agg(not_before)
              into free, lanes, priorities, tries, gates, starts from freed;
            perform admit(free, lanes, priorities, tries, gates, starts);
            n := n + cardinality(free);
        end if;

        exit when doomed is null;
        delete from need where task_id = any (held_gates);
        perform end_open_tasks(doomed, 'cancelled', 'dependency_failed',
                               'A task that this one depends on did not succeed.', null);
        ended := doomed;
    end loop;
    return n;
end $$;

-- Writes the end of tasks that are in no hot table any more, with its event.
create or replace function end_open_tasks(
    ids uuid[], how text, code text, message text, who text
) returns void language plpgsql as $$
#variable_conflict use_column
begin
    delete from expiry where task_id = any (ids);
    with done as (
        update task set outcome = how, finished_at = clock_timestamp(),
               attempt = coalesce((select max(a.attempt) from attempt a where a.task_id = task.id),
                                  task.attempt),
               error = jsonb_build_object('class', case when how = 'failed' then 'timeout'
                                                        else 'unknown' end,
                                          'code', code, 'message', message)
         where id = any (ids) and outcome is null
        returning id, project_id, error
    )
    insert into event (type, project_id, subject, actor, data)
    select 'task.' || how, project_id, id, who, jsonb_build_object('error', error) from done;
end $$;
