-- Queues that share their tasks out in turn, or by the agents' weights, and not by load. Only tasks
-- that any agent with some capabilities may do are shared out; those that prefer one go to it.
--
-- Each agent has passed so much of a queue: 1 for each of its tasks, or 1 over its weight. Who
-- would have passed least after one more is next. One that is new, or was away, does not catch up
-- on what it missed: it counts as one that has passed as much as those who were there.

create or replace function queues_take_turns(lanes int[]) returns boolean language plpgsql as $$
begin
    return exists (
        select from lane join queue q on q.project_id = any (array[lane.project_id])
                                     and q.name = any (array[lane.queue])
         where lane.id = any (lanes) and lane.agent_id is null
           and lane.prefers is null and q.distribution <> 'least_loaded');
end $$;

-- What the agents that could take a task of a queue now have passed of it. Stable: it must not see
-- what the statement that it is called from has written already.
create or replace function passed_of(of_project uuid, of_queue text, agents uuid[], steps float8[])
returns table (agent_id uuid, passed float8) language plpgsql stable rows 100
set enable_hashjoin = on as $$
#variable_conflict use_column
begin
    return query
    with known as materialized (
        select t.agent_id, t.passed from turn t
         where t.project_id = of_project and t.queue = of_queue
    )
    select a.id, greatest(coalesce(k.passed, 0), (select max(passed) from known) - a.step, 0)
      from unnest(agents, steps) as a (id, step)
      left join known k on k.agent_id = a.id;
end $$;

-- Deals the slots anew that ``deal_slots`` gave to lanes of queues that take turns; the arrays are
-- as it gave them, sorted by lane. Lanes that few agents can serve come first, so that nobody takes
-- from them what others could do as well; what yet stays over, the next claim gets.
create or replace function deal_in_turn(
    inout lanes int[], inout agents uuid[], inout versions int[], inout isolations boolean[],
    inout choices jsonb[], can_run text[], counted boolean, most int, processes int
) language plpgsql set enable_hashjoin = on as $$
#variable_conflict use_column
declare
    turns int[]; offers uuid[]; offered int[]; members uuid[]; free bigint[]; room bigint;
    given record; seats record; n int;
    new_lanes int[]; new_agents uuid[]; new_versions int[];
    new_isolations boolean[]; new_choices jsonb[];
begin
    select array_agg(distinct l.id) into turns
      from unnest(lanes) as l (id)
     where queues_take_turns(array[l.id]);
    select array_agg(d.lane order by d.nth), array_agg(d.agent order by d.nth),
           array_agg(d.version order by d.nth), array_agg(d.isolated order by d.nth),
           array_agg(d.choice order by d.nth), processes - count(*) filter (where d.isolated)
      into new_lanes, new_agents, new_versions, new_isolations, new_choices, room
      from unnest(lanes, agents, versions, isolations, choices) with ordinality
           as d (lane, agent, version, isolated, choice, nth)
     where not d.lane = any (turns);
    select array_agg(o.agent_id), array_agg(o.lane_id), array_agg(o.free)
      into offers, offered, free
      from free_agents(turns, can_run, counted, most, processes) o;
    select array_agg(m.id), array_agg(m.n) into members, free
      from (select o.id, min(o.free) - (select count(*) from unnest(new_agents) as n (id)
                                         where n.id = o.id) as n
              from unnest(offers, free) as o (id, free) group by o.id) m;
    for given in
        select d.lane, count(*) as n, lane.project_id, lane.queue, q.distribution
          from unnest(lanes) as d (lane)
          join lane on lane.id = d.lane
          join queue q on q.project_id = lane.project_id and q.name = lane.queue
         where d.lane = any (turns)
         group by d.lane, lane.project_id, lane.queue, q.distribution
         order by (select count(*) from unnest(offered) as o (lane) where o.lane = d.lane), d.lane
    loop
        select * into seats from seats_in_turn(
            given.lane, given.n, room, given.project_id, given.queue,
            given.distribution = 'weighted', offers, offered, members, free,
            new_lanes, new_agents);
        n := cardinality(seats.agents);
        new_lanes := new_lanes || array_fill(given.lane, array[n]);
        new_agents := new_agents || seats.agents;
        new_versions := new_versions || seats.versions;
        new_isolations := new_isolations || seats.isolations;
        new_choices := new_choices || array_fill(
            jsonb_build_object('how', given.distribution, 'candidates', seats.candidates),
            array[n]);
        room := room - (select count(*) from unnest(seats.isolations) as s (isolated)
                         where s.isolated);
        select array_agg(f.n - (select count(*) from unnest(seats.agents) as s (id)
                                 where s.id = f.id) order by f.nth)
          into free from unnest(members, free) with ordinality as f (id, n, nth);
    end loop;
    select array_agg(d.lane order by d.lane, d.nth), array_agg(d.agent order by d.lane, d.nth),
           array_agg(d.version order by d.lane, d.nth),
           array_agg(d.isolated order by d.lane, d.nth),
           array_agg(d.choice order by d.lane, d.nth)
      into lanes, agents, versions, isolations, choices
      from unnest(new_lanes, new_agents, new_versions, new_isolations, new_choices)
           with ordinality as d (lane, agent, version, isolated, choice, nth);
end $$;

-- Agents in turn for n tasks of one lane, none for more than it is free for, and room of them as
-- processes; dealt_* are those that were dealt in this claim before. The candidates are the first
-- ten in line.
create or replace function seats_in_turn(
    of_lane int, n bigint, room bigint, of_project uuid, of_queue text, weighted boolean,
    offers uuid[], offered int[], members uuid[], free bigint[], dealt_lanes int[],
    dealt_agents uuid[],
    out agents uuid[], out versions int[], out isolations boolean[], out candidates jsonb
) language plpgsql as $$
#variable_conflict use_column
declare
    able uuid[]; steps float8[]; same int[];
begin
    select array_agg(a.id), array_agg(case when weighted then 1 / a.weight else 1 end)
      into able, steps
      from unnest(offers, offered) as o (id, lane) join agent a on a.id = any (array[o.id])
     where o.lane = of_lane;
    select array_agg(l.id) into same
      from lane l where l.id = any (dealt_lanes) and l.project_id = of_project
                    and l.queue = of_queue;
    with stand as materialized (
        select a.id, a.step, f.n as free, g.name, g.weight, g.version, g.isolated,
               p.passed + a.step * (select count(*) from unnest(dealt_lanes, dealt_agents)
                                           as d (lane, agent)
                                     where d.agent = a.id and d.lane = any (same)) as passed
          from unnest(able, steps) as a (id, step)
          join agent g on g.id = any (array[a.id])
          join passed_of(of_project, of_queue, able, steps) p on p.agent_id = a.id
          join unnest(members, free) as f (id, n) on f.id = a.id
         where f.n > 0
    ), seat as (
        -- Nobody takes much more than its share at once: a thousand agents make a short list.
        select s.*, s.passed + s.step * k as after,
               row_number() over (partition by s.isolated
                                  order by s.passed + s.step * k, s.id) as nth
          from (select *, 2 * n / step / sum(1 / step) over () as share from stand) s
          cross join lateral generate_series(1, least(s.free, n, s.share::bigint + 1)) as k
    ), taken as (
        select * from seat s where not s.isolated or s.nth <= room order by s.after, s.id limit n
    )
    select array_agg(t.id order by t.after, t.id), array_agg(t.version order by t.after, t.id),
           array_agg(t.isolated order by t.after, t.id),
           (select jsonb_agg(jsonb_build_object('agent', c.name, 'weight', c.weight,
                                                'passed', c.passed) order by c.nth)
              from (select o.name, o.weight, o.passed,
                           row_number() over (order by o.passed + o.step, o.id) as nth
                      from stand o) c
             where c.nth <= 10)
      into agents, versions, isolations, candidates
      from taken t;
    agents := coalesce(agents, '{}');
    versions := coalesce(versions, '{}');
    isolations := coalesce(isolations, '{}');
end $$;
