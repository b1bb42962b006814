-- Who comes first among tasks that are ready in a lane or wait at a gate: by priority, then age.
-- Where the project says after how many seconds of waiting a task gains a step of priority, it is
-- as if a task had come earlier by so much for each step: who is before whom never changes while
-- they wait. So waiters have their rank on record; of the ready tasks of a lane, which are many, it
-- is enough to look at the first of each priority, which an index has by age.

-- When the task was made, in seconds: its id says so.
create or replace function made_at(task_id uuid) returns float8 language sql immutable as $$
    select ('x' || translate(left(task_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0
$$;

-- Where a task stands: the least is first, and of equals the lesser id. Without ageing a step of
-- priority counts for three centuries.
create or replace function rank_of(priority smallint, task_id uuid, ageing float8) returns float8
language sql immutable as $$
    select made_at(task_id) - priority * coalesce(ageing, 1e10)
$$;

-- Of a priority those tasks come before a task whose id is less than this.
create or replace function bound_of(level smallint, priority smallint, task_id uuid, ageing float8)
returns uuid language sql immutable as $$
    select case when level = priority then task_id
                when ageing is not null then (rpad(lpad(to_hex(greatest(0, (made_at(task_id)
                    + (level - priority) * ageing) * 1000)::bigint), 12, '0'), 32, '0'))::uuid
                when level > priority then 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                else '00000000-0000-0000-0000-000000000000' end
$$;

-- The ageing of a lane's project; null when its priorities do not age.
create or replace function ageing_of(lane int) returns float8 language plpgsql stable as $$
begin
    if not exists (select from project where ageing_seconds is not null) then return null; end if;
    return (select p.ageing_seconds from lane l join project p on p.id = any (array[l.project_id])
             where l.id = lane);
end $$;

-- The priorities of the ready tasks of a lane, highest first, by a loose index scan.
create or replace function ready_levels(lane int) returns setof smallint language plpgsql rows 5
as $$
declare
    level smallint;
begin
    select max(r.priority) into level from ready r where r.lane_id = lane;
    while level is not null loop
        return next level;
        select max(r.priority) into level from ready r
         where r.lane_id = lane and r.priority < level;
    end loop;
end $$;

-- The first ready tasks of a lane.
create or replace function first_ready(lane int, most int)
returns table (place tid, task_id uuid, rank float8) language plpgsql rows 20 as $$
#variable_conflict use_column
declare
    ageing float8 := ageing_of(lane);
begin
    if ageing is null then
        return query
        select r.ctid, r.task_id, rank_of(r.priority, r.task_id, null)
          from ready r where r.lane_id = lane
         order by r.priority desc, r.task_id limit most;
        return;
    end if;
    return query
    select f.place, f.task_id, f.rank
      from ready_levels(lane) as l (priority)
      cross join lateral (
        select r.ctid as place, r.task_id, rank_of(r.priority, r.task_id, ageing) as rank
          from ready r where r.lane_id = lane and r.priority = l.priority
         order by r.task_id limit most) f
     order by f.rank, f.task_id limit most;
end $$;

-- Has those of a project who wait stand where its ageing puts them now, and serves their gates. The
-- caller holds the gate lock.
create or replace function follow_ageing(project uuid) returns void language plpgsql as $$
#variable_conflict use_column
declare
    keys text[];
begin
    with placed as (
        update wait w set rank = rank_of(w.priority, w.task_id, p.ageing_seconds)
          from lane l join project p on p.id = l.project_id
         where l.project_id = project and w.lane_id = l.id
        returning w.gate
    )
    select array_agg(distinct gate) into keys from placed;
    perform serve_gates(keys) where keys is not null;
end $$;

-- How many tasks come before this one in its lane, or at the gate where it waits; counted so far as
-- to ``most``.
create or replace function count_ahead(which uuid, most int) returns int language plpgsql stable
set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    t task; place wait; ageing float8;
begin
    select * into t from task where id = which;
    select * into place from wait w where w.task_id = which;
    if place.gate is null then
        ageing := ageing_of(t.lane_id);
        return (select count(*) from (
            select from ready_levels(t.lane_id) as l (priority)
             cross join lateral (
                select from ready r
                 where r.lane_id = t.lane_id and r.priority = l.priority
                   and r.task_id < bound_of(l.priority, t.priority, which, ageing)
                 limit most) f
             limit most) ahead);
    end if;
    return (select count(*) from (
        select from wait w
         where w.gate = place.gate and (w.rank, w.task_id) < (place.rank, which)
         limit most) ahead);
end $$;
