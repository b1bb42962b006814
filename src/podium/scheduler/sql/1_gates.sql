-- One counter for everything limited: concurrency keys, locks, budgets, pools, one-shot signals.
-- A task with needs queues in wait until all of them fit at once, in order of priority, then age.
--
-- The hot tables hand tasks on as "places": rows of the type of ready, which say where a task
-- stands in line and what it has behind it.
--
-- Functions that clients call fix the plans of all that they call in turn: a million ready rows, or
-- statistics of a moment when a table was empty, must not turn an index scan into anything else.
-- They forbid the compiler, too: what they forbid the planner counts as dear, and before PostgreSQL 18
-- it then compiled for a second at each claim wherever no session had turned that off.
-- A join from rows at hand to a table is written key = any (array[row.key]): with "=" alone, such
-- statistics may have it turned round, and all of the table read for each row. No other condition
-- on that table may be one that an index serves: so it is coalesce(outcome, '') <> '' for tasks that
-- ended, lest the index of these is read through.

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
      from unnest(places) as p join lane on lane.id = any (array[p.lane_id]);
    return coalesce(cardinality(places), 0);
end $$;

-- What a gate can hand out: units that nobody holds and, where it has a rate, starts that are left.
create or replace function room_of(g gate) returns bigint language sql immutable as $$
    select least(g.capacity - g.used, g.burst - g.taken)
$$;

-- Puts tasks into the queue of a gate that they need and do not hold, or of their lane's while that
-- is closed, and returns these gates; they must be served next. A task that holds all it needs is
-- ready at once. Gates that tasks park at are one-shot.
create or replace function queue_at_gates(places ready[], park boolean) returns text[]
language plpgsql as $$
#variable_conflict use_column
declare
    shut int[]; keys text[]; content ready[];
begin
    if places is null then return '{}'; end if;
    perform open_limits(array(
        select distinct n.gate from unnest(places) as p
          join need n on n.task_id = any (array[p.task_id]) where not n.held));
    if not park then
        shut := closed_lanes(array(select distinct lane_id from unnest(places)));
    end if;
    with place as (
        select p.*, rank_of(p.priority, p.task_id, project.ageing_seconds) as rank,
               (select min(n.gate) from need n
                 where n.task_id = p.task_id and not n.held) as first_need
          from unnest(places) as p join lane on lane.id = any (array[p.lane_id])
          join project on project.id = any (array[lane.project_id])
    ), entering as (
        select p.*, case when first_need is not null and p.lane_id = any (shut)
                         then lane_gate(p.lane_id) else first_need end as gate
          from place p
    ), asked as (
        insert into need (task_id, gate, units)
        select task_id, gate, 1 from entering where is_lane_gate(gate)
    ), queued as (
        insert into wait (gate, priority, rank, task_id, lane_id, attempt, failures, losses, parked)
        select gate, priority, rank, task_id, lane_id, attempt, failures, losses, park
          from entering where gate is not null
        returning gate
    ), counted as (
        insert into gate (key, waiting, one_shot)
        select gate, count(*), park or is_lane_gate(gate) from queued group by gate order by gate
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
        select gate, sum(units) as units,
               coalesce(sum(units) filter (where not started), 0) as unspent
          from need where task_id = any (holders) and held group by gate
    ), counted as (
        update gate g
           set used = g.used - freed.units, taken = greatest(0, g.taken - freed.unspent)
          from freed where g.key = any (array[freed.gate])
        returning g.key
    )
    select array_agg(key) into keys from counted;
    delete from need where task_id = any (ended);
    update need set held = false, started = false where task_id = any (holders) and held;
    return coalesce(keys, '{}');
end $$;

-- Serves the queues of these gates while their heads fit, and returns how many tasks became ready.
-- A head that does not fit keeps its place: nobody behind it overtakes. Where very many fit, a
-- thousand or two are served now and the clock goes on with the others (serve_refilled).
create or replace function serve_gates(keys text[]) returns int language plpgsql as $$
#variable_conflict use_column
declare
    most constant int := 1000;
    n int := 0; looked int := 0; far boolean := false;
    simple uuid[]; composed uuid[]; ranks float8[]; idle uuid[]; moved text[];
begin
    if cardinality(keys) = 0 then return 0; end if;
    if cardinality(keys) > most then
        update gate set wakes_at = clock_timestamp()
         where key = any (keys[most + 1:]) and (waiting > 0 or is_lane_gate(key));
        keys := keys[:most];
    end if;
    perform refill_gates(keys);
    loop
        select array_agg(f.task_id) filter (where not f.composed and not f.idle),
               array_agg(f.task_id) filter (where f.composed and not f.idle),
               array_agg(f.rank) filter (where f.composed and not f.idle),
               array_agg(f.task_id) filter (where f.idle)
          into simple, composed, ranks, idle
          from fitting_waiters(keys, most, far) f;
        exit when simple is null and composed is null and idle is null;
        if idle is not null then
            perform move_to_lanes(idle);
            far := true;
        end if;
        if simple is not null then
            n := n + grant_gates(simple);
        end if;
        -- Each is granted, or moves to the queue of the gate that it does not get. That one is
        -- served, too: starts may have come back to it since somebody looked.
        if composed is not null then
            select n + g.granted, array(select unnest(g.gates) except select unnest(keys))
              into n, moved from grant_or_move(composed, ranks) g;
            if cardinality(moved) > 0 then
                perform refill_gates(moved);
                keys := keys || moved;
            end if;
        end if;
        looked := looked + coalesce(cardinality(simple), 0) + coalesce(cardinality(composed), 0)
                  + coalesce(cardinality(idle), 0);
        exit when looked >= most;
    end loop;
    perform wake_later(keys, looked >= most);
    -- No row means the same as a row of zeros.
    delete from gate where key = any (keys) and used = 0 and waiting = 0 and wakes_at is null
                       and (capacity = 0 or is_lane_gate(key));
    return n;
end $$;

-- The first waiters of each gate for which there is room at that gate, about so many in all. Composed
-- ones need other gates too. Idle ones are of closed lanes, and would only take what others can use;
-- where there are many, it is worth to look far, beyond those for whom there is room.
create or replace function fitting_waiters(keys text[], most int, far boolean)
returns table (task_id uuid, rank float8, composed boolean, idle boolean) language plpgsql as $$
#variable_conflict use_column
declare
    any_shut boolean := exists (select from lane where closed);
begin
    return query
    with open as materialized (
        select g.key, room_of(g) as free, most / count(*) over () + 1 as share
          from gate g where g.key = any (keys) and g.waiting > 0 and room_of(g) > 0
    ), line as (
        select o.key, o.free, w.task_id, w.rank, w.idle,
               sum(n.units) filter (where not w.idle)
                   over (partition by o.key order by w.rank, w.task_id) as upto
          from open o
          cross join lateral (
            select f.task_id, f.rank,
                   any_shut and not f.parked
                   and exists (select from lane l where l.id = f.lane_id and l.closed) as idle
              from wait f where f.gate = o.key
             order by f.rank, f.task_id
             limit case when far then o.share else least(o.free, o.share) end) w
          cross join lateral (   -- not to be joined before the waiters are known
            select x.units from need x where x.task_id = w.task_id and x.gate = o.key offset 0) n
    )
    select line.task_id, line.rank,
           exists (select from need n where n.task_id = line.task_id and not n.held
                                        and n.gate <> line.key),
           line.idle
      from line where line.idle or line.upto <= line.free;
end $$;

-- Gives waiting tasks all that they need and makes them ready; the caller knows that it fits. What
-- a one-shot gate gives is used up, everything else is given back when the attempt ends.
create or replace function grant_gates(waiters uuid[]) returns int language plpgsql as $$
#variable_conflict use_column
begin
    with given as (
        select gate, sum(units) as units from need
         where task_id = any (waiters) and not held group by gate
    )
    update gate g
       set used = g.used + case when g.one_shot then 0 else given.units end,
           capacity = g.capacity - case when g.one_shot then given.units else 0 end,
           taken = g.taken + case when g.burst is null then 0 else given.units end
      from given where g.key = any (array[given.gate]);
    delete from need n using gate g
     where n.task_id = any (waiters) and not n.held and g.key = any (array[n.gate])
       and g.one_shot;
    update need set held = true where task_id = any (waiters) and not held;

    with granted as (
        delete from wait where task_id = any (waiters) returning *
    ), counted as (
        update gate g set waiting = g.waiting - left_it.n
          from (select gate, count(*) as n from granted group by gate) left_it
         where g.key = any (array[left_it.gate])
    ), queued as (
        insert into ready (lane_id, priority, task_id, attempt, failures, losses, gated)
        select lane_id, priority, task_id, attempt, failures, losses,
               exists (select from need n where n.task_id = granted.task_id)
          from granted
    )
    insert into event (type, project_id, subject, data)
    select 'task.queued', lane.project_id, g.task_id, jsonb_build_object('gate', g.gate)
      from granted g join lane on lane.id = any (array[g.lane_id]);
    return cardinality(waiters);
end $$;

-- Grants tasks that need several gates, all or nothing, or moves each to the queue of the first that
-- it cannot have: no room there, or others came before it. Tells how many were granted, and to which
-- gates the others moved. Of tasks that want the same some may be left where they are, to be asked
-- about again when it has shown what became of those before them; never the first of all.
create or replace function grant_or_move(
    waiters uuid[], ranks float8[], out granted int, out gates text[]
) language plpgsql set enable_hashjoin = on as $$
#variable_conflict use_column
declare
    winners uuid[]; movers uuid[];
begin
    with wish as materialized (
        select c.task_id, c.rank, n.gate, n.units, n.gate = w.gate as waits_there
          from unnest(waiters, ranks) as c (task_id, rank)
          join wait w on w.task_id = any (array[c.task_id])
          join need n on n.task_id = any (array[c.task_id])
         where not n.held
    ), door as materialized (
        select d.gate, coalesce(room_of(g), 0) as room, f.task_id as head, f.rank as head_rank,
               f.task_id = any (waiters) as head_is_asked
          from (select gate, bool_and(waits_there) as is_own from wish group by gate) d
          left join gate g on g.key = any (array[d.gate])
          left join lateral (   -- of matter to those who wait elsewhere
            select f.task_id, f.rank from wait f
             where f.gate = d.gate and not d.is_own and g.waiting > 0
             order by f.rank, f.task_id limit 1) f on true
    ), judged as materialized (
        select w.task_id, w.rank, w.gate, w.units, d.room, d.head_is_asked,
               not w.waits_there and d.head is not null
               and (d.head_rank, d.head) < (w.rank, w.task_id) as is_behind
          from wish w join door d on d.gate = w.gate
    ), barred as materialized (
        select j.task_id, min(j.gate) as gate from judged j
         where j.units > j.room or j.is_behind and not j.head_is_asked group by j.task_id
    ), line as (
        select j.*, sum(j.units) over (partition by j.gate order by j.rank, j.task_id) as upto
          from judged j left join barred b on b.task_id = j.task_id where b.task_id is null
    ), winner as (
        select l.task_id from line l group by l.task_id
        having bool_and(l.upto <= l.room and not l.is_behind)
    )
    select (select array_agg(task_id) from winner), array_agg(b.task_id), array_agg(b.gate)
      into winners, movers, gates from barred b;
    granted := case when winners is null then 0 else grant_gates(winners) end;
    perform move_waiters(movers, gates) where movers is not null;
end $$;

-- Moves waiting tasks each to the queue of another gate.
create or replace function move_waiters(waiters uuid[], targets text[]) returns void
language plpgsql as $$
#variable_conflict use_column
begin
    with move as materialized (
        select m.task_id, w.gate as origin, m.target
          from unnest(waiters, targets) as m (task_id, target)
          join wait w on w.task_id = any (array[m.task_id])
    ), changed as (
        update wait w set gate = m.target from move m where w.task_id = any (array[m.task_id])
    ), left_behind as (
        delete from need n using move m
         where n.task_id = any (array[m.task_id]) and n.gate = m.origin and is_lane_gate(m.origin)
    ), asked as (
        insert into need (task_id, gate, units)
        select task_id, target, 1 from move where is_lane_gate(target)
    )
    insert into gate (key, waiting, one_shot)
    select key, sum(n), is_lane_gate(key)
      from (select origin as key, -1 as n from move union all select target, 1 from move) x
     group by key order by key
    on conflict (key) do update set waiting = gate.waiting + excluded.waiting;
end $$;

-- Sets how many units gates may hand out, and serves who waits for them.
create or replace function set_gate(keys text[], capacities bigint[]) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
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
set plan_cache_mode = force_generic_plan set jit = off
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
