-- Queues with ready tasks that live workers are bound to. Workers that serve all queues are woken
-- in any case.
create or replace function bound_queues() returns setof text language plpgsql stable rows 10
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    bound text[];
begin
    select array_agg(distinct q.name) into bound
      from worker w cross join lateral unnest(w.queues) as q (name)
     where w.state in ('active', 'draining');
    if bound is null then return; end if;
    return query
    select distinct lane.queue from lane where id = any (ready_lanes(bound));
end $$;
