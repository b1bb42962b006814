-- One counter for everything limited: concurrency keys, locks, budgets, pools, one-shot signals.
-- A task with needs queues in wait until all of them fit at once, in order of priority, then age.
--
-- The hot tables hand tasks on as "places": rows of the type of ready, which say where a task
-- stands in line and what it has behind it.
--
-- Functions that clients call fix the plans of all that they call in turn: a million ready rows, or
-- statistics of a moment when a table was empty, must not turn an index scan into anything else.

-- Every transaction that changes gates holds this lock until its end: waiters are served in one
-- order, nobody deadlocks and no wake-up is lost. It is taken before any row is locked. Where the
-- need for it shows late (a dependent with needs that came a moment ago) two transactions may wait
-- for each other; PostgreSQL then ends one of them, which is run again.
create or replace function lock_gates() returns void language sql as $$
    select pg_advisory_xact_lock(1886348393, 2)
$$;

create or replace function place_of(
    task_id uuid, lane_id int, priority smallint, attempt int, failures int, losses int,
    gated boolean
) returns ready language sql immutable as $$
    select row(lane_id, priority, task_id, attempt, failures::smallint, losses::smallint, gated,
               null::timestamptz)::ready
$$;

-- Makes tasks ready, with the event that tells why. Returns how many there were.
create or replace function make_ready(places ready[], because jsonb) returns int
language plpgsql as $$
#variable_conflict use_column
begin
    insert into ready (lane_id, priority, task_id, attempt, failures, losses, gated)
    select lane_id, priority, task_id, attempt, failures, losses, gated from unnest(places);
    insert into event (type, project_id, subject, data)
    select 'task.queued', lane.project_id, p.task_id, because
      from unnest(places) as p join lane on lane.id = p.lane_id;
    return coalesce(cardinality(places), 0);
end $$;

-- Puts tasks into the queue of a gate that they need and do not hold, and returns these gates; they
-- must be served next. A task that holds all it needs is ready at once. Gates that tasks park at
-- are one-shot.
create or replace function queue_at_gates(places ready[], park boolean) returns text[]
language plpgsql as $$
#variable_conflict use_column
declare
    keys text[]; content ready[];
begin
    if places is null then return '{}'; end if;
    with entering as (
        select p.*, (select min(n.gate) from need n
                      where n.task_id = p.task_id and not n.held) as gate
          from unnest(places) as p
    ), queued as (
        insert into wait (gate, priority, task_id, lane_id, attempt, failures, losses, parked)
        select gate, priority, task_id, lane_id, attempt, failures, losses, park
          from entering where gate is not null
        returning gate
    ), counted as (
        insert into gate (key, waiting, one_shot)
        select gate, count(*), park from queued group by gate order by gate
        on conflict (key) do update set waiting = gate.waiting + excluded.waiting
        returning key
    )
    select (select array_agg(key) from counted),
           (select array_agg(place_of(task_id, lane_id, priority, attempt, failures, losses, true))
              from entering where gate is null)
      into keys, content;
    perform make_ready(content, '{}') where content is not null;
    return coalesce(keys, '{}');
end $$;

-- Takes back what these tasks hold and returns the gates; they must be served next. Tasks that
-- ended need nothing any more; those that will be tried again queue for all of it anew.
create or replace function give_back(holders uuid[], ended uuid[]) returns text[]
language plpgsql as $$
#variable_conflict use_column
declare
    keys text[];
begin
    with freed as (
        select gate, sum(units) as units from need
         where task_id = any (holders) and held group by gate
    ), counted as (
        update gate g set used = g.used - freed.units from freed where g.key = freed.gate
        returning g.key
    )
    select array_agg(key) into keys from counted;
    delete from need where task_id = any (ended);
    update need set held = false where task_id = any (holders) and held;
    return coalesce(keys, '{}');
end $$;

-- Serves the queues of these gates while their heads fit, and returns how many tasks became ready.
-- A head that does not fit keeps its place: nobody behind it overtakes.
create or replace function serve_gates(keys text[]) returns int language plpgsql as $$
#variable_conflict use_column
declare
    n int := 0; simple uuid[]; composed uuid[]; waiter uuid;
begin
    if cardinality(keys) = 0 then return 0; end if;
    loop
        select array_agg(f.task_id) filter (where not f.composed),
               array_agg(f.task_id order by f.priority desc, f.task_id) filter (where f.composed)
          into simple, composed from fitting_waiters(keys) f;
        exit when simple is null and composed is null;
        if simple is not null then
            n := n + grant_gates(simple);
        end if;
        -- Each is granted, or moves to the queue of the gate that it does not get.
        foreach waiter in array coalesce(composed, '{}') loop
            n := n + grant_or_move(waiter);
        end loop;
    end loop;
    -- No row means the same as a row of zeros.
    delete from gate where key = any (keys) and capacity = 0 and used = 0 and waiting = 0;
    return n;
end $$;

-- The first waiters of each gate for which there is room at that gate. Composed ones need other
-- gates too.
create or replace function fitting_waiters(keys text[])
returns table (task_id uuid, priority smallint, composed boolean) language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with line as (
        select g.capacity - g.used as free, g.key, w.task_id, w.priority,
               sum(n.units) over (partition by g.key order by w.priority desc, w.task_id) as upto
          from gate g
          cross join lateral (
            select x.task_id, x.priority from wait x where x.gate = g.key
             order by x.priority desc, x.task_id limit least(g.capacity - g.used, 500)) w
          join need n on n.task_id = w.task_id and n.gate = g.key
         where g.key = any (keys) and g.waiting > 0 and g.used < g.capacity
    )
    select line.task_id, line.priority,
           exists (select from need n where n.task_id = line.task_id and not n.held
                                        and n.gate <> line.key)
      from line where line.upto <= line.free;
end $$;

-- Gives waiting tasks all that they need and makes them ready; the caller knows that it fits. What
-- a one-shot gate gives is used up, everything else is given back when the attempt ends.
create or replace function grant_gates(waiters uuid[]) returns int language plpgsql as $$
#variable_conflict use_column
begin
    with taken as (
        select gate, sum(units) as units from need
         where task_id = any (waiters) and not held group by gate
    )
    update gate g
       set used = g.used + case when g.one_shot then 0 else taken.units end,
           capacity = g.capacity - case when g.one_shot then taken.units else 0 end
      from taken where g.key = taken.gate;
    delete from need n using gate g
     where n.task_id = any (waiters) and not n.held and g.key = n.gate and g.one_shot;
    update need set held = true where task_id = any (waiters) and not held;

    with granted as (
        delete from wait where task_id = any (waiters) returning *
    ), counted as (
        update gate g set waiting = g.waiting - left_it.n
          from (select gate, count(*) as n from granted group by gate) left_it
         where g.key = left_it.gate
    ), queued as (
        insert into ready (lane_id, priority, task_id, attempt, failures, losses, gated)
        select lane_id, priority, task_id, attempt, failures, losses,
               exists (select from need n where n.task_id = granted.task_id)
          from granted
    )
    insert into event (type, project_id, subject, data)
    select 'task.queued', lane.project_id, g.task_id, jsonb_build_object('gate', g.gate)
      from granted g join lane on lane.id = g.lane_id;
    return cardinality(waiters);
end $$;

-- Grants a task that needs several gates, all or nothing, or moves it to the queue of the first
-- that it cannot have: no room there, or others came before it. Returns how many became ready.
create or replace function grant_or_move(waiter uuid) returns int language plpgsql as $$
#variable_conflict use_column
declare
    w wait; blocker text;
begin
    select * into w from wait where task_id = waiter;
    select n.gate into blocker
      from need n left join gate g on g.key = n.gate
     where n.task_id = waiter and not n.held
       and (coalesce(g.used, 0) + n.units > coalesce(g.capacity, 0)
            or g.waiting > 0 and exists (
                select from wait x
                 where x.gate = n.gate and (x.priority > w.priority
                                            or x.priority = w.priority and x.task_id < waiter)))
     order by n.gate limit 1;
    if blocker is null then
        return grant_gates(array[waiter]);
    end if;
    update gate set waiting = waiting - 1 where key = w.gate;
    insert into gate (key, waiting) values (blocker, 1)
        on conflict (key) do update set waiting = gate.waiting + 1;
    update wait set gate = blocker where task_id = waiter;
    return 0;
end $$;

-- Sets how many units gates may hand out, and serves who waits for them.
create or replace function set_gate(keys text[], capacities bigint[]) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
    perform lock_events();
    perform lock_gates();
    insert into gate (key, capacity)
    select * from unnest(keys, capacities) as x (key, capacity) order by key
    on conflict (key) do update set capacity = excluded.capacity, one_shot = false;
    perform serve_gates(keys);
end $$;

-- A signal opens a gate for one who waits there or will: an approval that was given, an answer that
-- came. One that arrives before its waiter is remembered. A gate that nothing else has opened
-- becomes one-shot.
create or replace function signal_gates(keys text[]) returns void language plpgsql
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
    perform lock_events();
    perform lock_gates();
    insert into gate (key, capacity, one_shot)
    select key, count(*), true from unnest(keys) as x (key) group by key order by key
    on conflict (key) do update
       set capacity = gate.capacity + excluded.capacity,
           one_shot = gate.one_shot or gate.capacity = 0 and gate.used = 0;
    perform serve_gates(keys);
end $$;
