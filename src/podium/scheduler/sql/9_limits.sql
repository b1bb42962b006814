-- Limits that tasks name: gates of the key limit:<project>:<name>. A rule lays down how many tasks
-- that name one run at once, and how fast they start; the rule of a family, which ends in *, does so
-- for each name that begins like it. Such a gate is made of its rule when a task comes to it.
--
-- A start that was taken comes back with time, the first when the task begins: until then a ready
-- task keeps it. So starts never come faster than the rate, whenever workers get to them.

-- The rule for the gate of a limit: its own, else that of the closest family; no row when there is
-- none.
create or replace function limit_of(key text) returns setof task_limit language sql stable rows 1
as $$
    select * from (
        select l.* from task_limit l
         where l.project_id = substr(key, 7, 36)::uuid and l.name = substr(key, 44)
        union all (
        select l.* from task_limit l
         where l.project_id = substr(key, 7, 36)::uuid and right(l.name, 1) = '*'
           and starts_with(substr(key, 44), left(l.name, -1))
         order by length(l.name) desc)) rule
     limit 1
$$;

-- Raises when one of these gates is of a limit that nothing was laid down for.
create or replace function require_limits(keys text[]) returns void language plpgsql as $$
declare
    missing text;
begin
    select substr(key, 44) into missing
      from (select distinct key from unnest(keys) as x (key) where starts_with(key, 'limit:')) k
     where not exists (select from limit_of(key)) limit 1;
    if found then
        raise exception 'there is no limit %', quote_literal(missing)
            using errcode = 'PD404', detail = missing;
    end if;
end $$;

-- Makes the gates of limits that are on record only as rules. One whose rule was deleted lets
-- everybody through.
create or replace function open_limits(keys text[]) returns void language plpgsql as $$
#variable_conflict use_column
declare
    missing text[];
begin
    missing := array(
        select distinct key from unnest(keys) as x (key)
         where starts_with(key, 'limit:')
           and not exists (select from gate g where g.key = any (array[x.key])));
    insert into gate (key, capacity, burst, refill)
    select k.key, capacity_of(l), l.rate_burst, l.rate_seconds / l.rate_count
      from unnest(missing) as k (key) left join lateral limit_of(k.key) l on true
     order by k.key;
end $$;

create or replace function capacity_of(l task_limit) returns bigint language sql immutable as $$
    select coalesce(l.concurrency, 4611686018427387904)
$$;

-- The gates of a limit, or of all whose names begin as those of a family do.
create or replace function gates_of(project uuid, name text) returns setof text
language plpgsql stable rows 10 as $$
#variable_conflict use_variable
declare
    prefix text := 'limit:' || project || ':' || rtrim(name, '*');
begin
    if right(name, 1) = '*' then
        return query
        select g.key from gate g
         where g.key collate "C" >= prefix and g.key collate "C" < prefix || chr(1114111);
    else
        return query select g.key from gate g where g.key = prefix;
    end if;
end $$;

-- Has the gates of a limit, or of a family, follow what is laid down for them now, and serves who
-- waits there. A rate that changed begins anew: of its starts those are out that ready tasks hold.
-- The caller holds the lock of gates.
create or replace function follow_limit(project uuid, name text) returns void language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    keys text[] := array(select * from gates_of(project, name));
    changed text[];
begin
    with rule as (
        select k.key, capacity_of(l) as capacity, l.rate_burst as burst,
               l.rate_seconds / l.rate_count as refill
          from unnest(keys) as k (key) left join lateral limit_of(k.key) l on true
    ), before as (
        select g.key, g.burst, g.refill from gate g where g.key = any (keys)
    ), following as (
        update gate g set capacity = r.capacity, burst = r.burst, refill = r.refill
          from rule r where g.key = any (array[r.key])
    )
    select array_agg(b.key) into changed
      from before b join rule r on r.key = b.key
     where b.burst is distinct from r.burst or b.refill is distinct from r.refill;
    perform restart_rates(changed) where changed is not null;
    perform serve_gates(keys);
end $$;

-- What tasks need of these gates. All needs are read for it, once: it is asked seldom, and an index
-- would cost each task.
create or replace function needs_of(keys text[]) returns setof need language plpgsql stable rows 1000
set enable_hashjoin = on set enable_nestloop = off as $$
begin
    return query select n.* from unnest(keys) as k (key) join need n on n.gate = k.key;
end $$;

-- Begins the rates of these gates anew.
create or replace function restart_rates(keys text[]) returns void language plpgsql
set enable_hashjoin = on as $$
#variable_conflict use_column
declare
    holders uuid[]; gates text[];
begin
    delete from spent where gate = any (keys);
    select array_agg(task_id), array_agg(gate) into holders, gates from needs_of(keys) where held;
    with holding as (
        update need n
           set started = not exists (
                select from task t join ready r on r.lane_id = any (array[t.lane_id])
                                               and r.priority = any (array[t.priority])
                                               and r.task_id = any (array[t.id])
                 where t.id = any (array[n.task_id]))
          from unnest(holders, gates) as h (task_id, gate)
         where n.task_id = any (array[h.task_id]) and n.gate = h.gate
        returning n.gate, n.units, n.started
    ), out as (
        select gate, sum(units) as units from holding where not started group by gate
    )
    update gate g
       set spent = 0, wakes_at = null,
           taken = case when g.burst is null then 0 else coalesce(o.units, 0) end
      from unnest(keys) as k (key) left join out o on o.gate = k.key
     where g.key = any (array[k.key]);
end $$;

-- Counts the attempts that began, and gives back the starts that came back since.
create or replace function refill_gates(keys text[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
    with begun as (
        delete from spent where gate = any (keys) returning gate, units, at
    )
    update gate g
       set spent = g.spent + b.units, taken = greatest(g.taken, g.spent + b.units),
           filled_at = case when g.spent = 0 then b.at else g.filled_at end
      from (select gate, sum(units) as units, min(at) as at from begun group by gate) b
     where g.key = any (array[b.gate]) and g.burst is not null;
    update gate g
       set taken = g.taken - r.n, spent = g.spent - r.n,
           filled_at = g.filled_at + make_interval(secs => r.n * g.refill)
      from (select key, least(spent, floor(extract(epoch from clock_timestamp() - filled_at)
                                           / refill))::bigint as n
              from gate where key = any (keys) and burst is not null and spent > 0) r
     where g.key = any (array[r.key]) and r.n > 0;
end $$;

-- Notes when the clock is to serve these gates: at once where others could still be served, else
-- when the next start comes back that somebody waits for. That of a closed lane has a time of its own.
create or replace function wake_later(keys text[], unfinished boolean) returns void
language plpgsql as $$
begin
    update gate g set wakes_at = x.moment
      from (select key, case when waiting > 0 and unfinished and room_of(gate) > 0
                             then clock_timestamp()
                             when waiting > 0 and taken >= burst and spent > 0
                             then filled_at + make_interval(secs => refill) end as moment
              from gate
             where key = any (keys) and (unfinished or burst is not null or wakes_at is not null)
               and not (capacity = 0 and is_lane_gate(key))) x
     where g.key = any (array[x.key]) and g.wakes_at is distinct from x.moment;
end $$;

-- Serves gates to which starts came back, and goes on with those where more fitted than were served,
-- and with what closed lanes hold. Returns how many tasks became ready.
create or replace function serve_refilled(most int) returns int language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    moment timestamptz := clock_timestamp();
    keys text[]; shut int[]; n int := 0;
begin
    keys := array(
        select key from gate where wakes_at <= moment order by wakes_at limit most)
        || array(select distinct gate from (
            select gate from spent where due_at <= moment order by due_at limit most) due);
    if cardinality(keys) = 0 then return 0; end if;
    perform lock_events();
    perform lock_gates();
    shut := closed_lanes(array(
        select substr(key, 6)::int from unnest(keys) as k (key) where is_lane_gate(key)));
    if shut is not null then
        n := hand_back(shut);
    end if;
    return n + serve_gates(keys);
end $$;

-- Forgets gates of limits that nobody holds, needs or has used so lately that it counts; they are
-- made again when a task comes. Looks at so many, those that come after this one, and returns the
-- last of them, or null when there were none.
create or replace function forget_limits(after text, most int) returns text language plpgsql
set enable_seqscan = off set jit = off as $$
declare
    keys text[];
begin
    perform lock_events();
    perform lock_gates();
    keys := array(select key from gate
                   where key collate "C" > after and key collate "C" < 'limit;'
                     and used = 0 and waiting = 0
                   order by key collate "C" limit most);
    perform refill_gates(keys);
    delete from gate g
     where g.key = any (array(select unnest(keys) except select gate from needs_of(keys)))
       and g.taken = 0;
    return keys[cardinality(keys)];
end $$;
