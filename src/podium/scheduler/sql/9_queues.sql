-- Queues that are limited, paused or draining. A queue without a row is none of that. What a queue
-- lets through is judged at the claim, of all its lanes together: its tasks stay ready meanwhile.

-- Raises when one of these lanes is of a queue that takes no new tasks.
create or replace function require_open_queues(lanes int[]) returns void language plpgsql as $$
declare
    closed text;
begin
    if not exists (select from queue where state = 'draining') then return; end if;
    select q.name into closed
      from lane join queue q on q.project_id = any (array[lane.project_id])
                            and q.name = any (array[lane.queue])
     where lane.id = any (lanes) and q.state = 'draining' limit 1;
    if found then
        raise exception 'queue % takes no new tasks', quote_literal(closed)
            using errcode = 'PD423', detail = closed;
    end if;
end $$;

-- Whether these lanes' queues let only one claim judge at a time: what they have begun is counted,
-- or their agents take turns.
create or replace function queues_limited(lanes int[]) returns boolean language plpgsql as $$
begin
    return exists (
        select from lane join queue q on q.project_id = any (array[lane.project_id])
                                     and q.name = any (array[lane.queue])
         where lane.id = any (lanes)
           and (q.concurrency is not null or q.rate_count is not null
                or q.distribution <> 'least_loaded'));
end $$;

-- The starts that a queue with a rate has left now: they come back evenly, up to its burst.
create or replace function tokens_of(q queue) returns float8 language sql as $$
    select least(q.rate_burst, q.tokens + q.rate_count / q.rate_seconds * greatest(
        0, extract(epoch from clock_timestamp() - q.filled_at)))
$$;

-- Those of these lanes whose queue has a limit, with how many tasks that queue may begin now.
create or replace function queue_rooms(lanes int[], most int)
returns table (lane_id int, project_id uuid, queue text, room int) language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with limited as materialized (
        select distinct q.* from lane
          join queue q on q.project_id = any (array[lane.project_id])
                      and q.name = any (array[lane.queue])
         where lane.id = any (lanes) and (q.concurrency is not null or q.rate_count is not null)
    ), busy as materialized (
        select lane.project_id, lane.queue, sum(r.n) as n
          from (select r.lane_id, count(*) as n from running r group by r.lane_id) r
          join lane on lane.id = r.lane_id
         where exists (select from limited l where l.concurrency is not null)
         group by lane.project_id, lane.queue
    ), open as materialized (
        select l.project_id, l.name,
               greatest(0, least(most, l.concurrency - coalesce(b.n, 0),
                                 floor(tokens_of(l))))::int as room
          from limited l left join busy b on b.project_id = l.project_id and b.queue = l.name
    )
    select lane.id, o.project_id, o.name, o.room
      from lane join open o on o.project_id = lane.project_id and o.name = lane.queue
     where lane.id = any (lanes);
end $$;

-- Returns how many queues have starts left again; workers must be woken for them.
create or replace function refill_queues() returns int language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    moment timestamptz := clock_timestamp();
    n int;
begin
    with due as (
        select project_id, name from queue where wakes_at <= moment
         order by project_id, name for update skip locked
    )
    update queue q set wakes_at = null
      from due d where q.project_id = any (array[d.project_id]) and q.name = any (array[d.name]);
    get diagnostics n = row_count;
    return n;
end $$;
