-- One counter for everything limited: concurrency keys, locks, budgets, pools, one-shot signals.
-- A task with needs queues in wait until all of them fit at once, in order of priority, then age.

-- Every transaction that changes gates holds this lock: waiters are then served in one order,
-- nobody deadlocks and no wake-up is lost.
create or replace function lock_gates() returns void language sql as $$
    select pg_advisory_xact_lock(1886348393, 2)
$$;

-- The gate lock comes before every row lock, or two transactions would wait for each other. What may
-- touch gates in a roundabout way (through dependents, say) takes it at once if gates are in use.
create or replace function lock_gates_if_used() returns void language plpgsql
set enable_seqscan = off as $$
begin
    if exists (select from need) then perform lock_gates(); end if;
end $$;

-- Moves one waiting task to ready if all its needs fit, else to the queue of a gate that blocks it.
-- A parked task still holds what it reserved; only what it does not hold yet is asked for.
create or replace function grant_waiter(waiter uuid) returns boolean language plpgsql as $$
#variable_conflict use_column
declare
    blocker text;
begin
    select n.gate into blocker
      from need n left join gate g on g.key = n.gate
     where n.task_id = waiter and not n.held and coalesce(g.used, 0) + n.units > coalesce(g.capacity, 0)
     order by n.gate limit 1;
    if blocker is not null then
        insert into gate (key, waiting, one_shot) values (blocker, 1, true)
            on conflict (key) do update set waiting = gate.waiting + 1;
        update wait set gate = blocker where task_id = waiter;
        return false;
    end if;
    update gate g set used = g.used + n.units
      from need n where n.task_id = waiter and not n.held and g.key = n.gate;
    update need set held = true where task_id = waiter and not held;
    with granted as (delete from wait where task_id = waiter returning *),
         queued as (
            insert into ready (lane_id, priority, task_id, attempt, failures, losses, gated)
            select lane_id, priority, task_id, attempt, failures, losses, true from granted
            returning task_id)
    insert into event (type, project_id, subject, data)
    select 'task.queued', t.project_id, t.id, jsonb_build_object('gate', w.gate)
      from queued q join task t on t.id = q.task_id join granted w on w.task_id = q.task_id;
    return true;
end $$;

-- Serves the queues of these gates while their heads fit. The caller holds the gate lock.
-- A head that does not fit keeps its place: nobody behind it may overtake.
-- Returns how many tasks became ready.
create or replace function serve_gates(keys text[]) returns int language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    head record; n int := 0;
begin
    loop
        select w.* into head
          from gate g
          cross join lateral (
            select x.gate, x.task_id, x.priority from wait x
             where x.gate = g.key order by x.priority desc, x.task_id limit 1) w
          join need n on n.task_id = w.task_id and n.gate = w.gate and not n.held
         where g.key = any (keys) and g.waiting > 0 and g.used + n.units <= g.capacity
         order by w.priority desc, w.task_id limit 1;
        exit when not found;
        update gate set waiting = waiting - 1 where key = head.gate;
        if grant_waiter(head.task_id) then n := n + 1; end if;
    end loop;
    return n;
end $$;

-- Queues tasks for their gates and grants what fits. Takes hot rows as arrays of equal length.
create or replace function enter_gates(
    ids uuid[], lanes int[], priorities smallint[], attempts int[], failed smallint[], lost smallint[]
) returns int language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    keys text[];
begin
    if cardinality(ids) = 0 then return 0; end if;
    perform lock_gates();
    with entering as (
        insert into wait (gate, task_id, lane_id, priority, attempt, failures, losses)
        select (select min(gate) from need where need.task_id = x.task_id and not held), x.*
          from unnest(ids, lanes, priorities, attempts, failed, lost)
               as x (task_id, lane_id, priority, attempt, failures, losses)
        returning gate
    ), counted as (
        insert into gate (key, waiting, one_shot)  -- a gate that nobody has set is a signal's
        select gate, count(*), true from entering group by gate order by gate
        on conflict (key) do update set waiting = gate.waiting + excluded.waiting
        returning key
    )
    select array_agg(key) into keys from counted;
    return serve_gates(keys);
end $$;

-- Gives back what these tasks hold and serves who waits for it. Needs of ended tasks are forgotten;
-- a task that will be tried again keeps its needs and queues for them anew.
create or replace function leave_gates(holders uuid[], ended uuid[]) returns int language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    keys text[];
begin
    if cardinality(holders) = 0 then return 0; end if;
    perform lock_gates();
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
    delete from gate where key = any (keys) and one_shot and used = 0 and waiting = 0;
    return serve_gates(keys);
end $$;

-- Raises (or lowers) what a gate may hand out, and serves who waits for it.
create or replace function set_gate(keys text[], capacities bigint[]) returns void
language plpgsql as $$
#variable_conflict use_column
begin
    perform lock_events();
    perform lock_gates();
    insert into gate (key, capacity)
    select * from unnest(keys, capacities) as x (key, capacity) order by key
    on conflict (key) do update set capacity = excluded.capacity, one_shot = false;
    perform serve_gates(keys);
end $$;

-- A one-shot gate opens by one unit for whoever waits or will wait: an approval that was given, an
-- answer that came. A signal that arrives before its waiter is remembered. Keys are used once.
create or replace function signal_gates(keys text[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
    perform lock_events();
    perform lock_gates();
    insert into gate (key, capacity, one_shot)
    select key, count(*), true from unnest(keys) as x (key) group by key order by key
    on conflict (key) do update
       set capacity = gate.capacity + excluded.capacity, one_shot = true;
    perform serve_gates(keys);
end $$;
