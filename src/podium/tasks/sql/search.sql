-- Finding tasks by their words. What search knows follows the events in batches, so that nobody who
-- submits or settles tasks waits for it.
--
-- A document holds the words of a task and marks that no word can be, as they begin with '#': the
-- part it lies in (#p), its lane (#l) and its outcome (#o). A search goes through the newest part
-- first and through more and more of them until its page is full, so that neither a word of every
-- other task nor one of a single task among a million is slow.

-- The words of a text. All but letters and digits parts words, so that a file is found by its name
-- as well as by its path; beyond ASCII the usual punctuation does, and the parser judges the rest.
create or replace function words_of(value text) returns tsvector
language sql immutable parallel safe as $$
    select to_tsvector('simple', regexp_replace(
        value, '(\\[\\nrt"]|[\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f\u00a0-\u00bf\u2000-\u206f\u3000-\u303f])+', ' ', 'g'))
$$;

-- What is found of a task. Of long values the first characters count.
create or replace function document_of(t task, part int) returns tsvector
language sql immutable parallel safe as $$
    select words_of(concat_ws(' ', t.title, nullif(left(t.labels::text, 5000), '{}'),
                              left(t.input::text, 20000), left(t.output::text, 20000),
                              left(t.error ->> 'message', 5000), t.error ->> 'code'))
           || array_to_tsvector(array_remove(
                  array['#p' || part, '#l' || t.lane_id, '#o' || t.outcome], null))
$$;

-- Follows the events, so many at most, and beside them goes through the tasks of before, if search
-- has not seen them: it is new, or events up to the floor went before it came to them. Gives how
-- many tasks were looked at, and whether there is more to do. Nothing while another process does it.
create or replace function index_tasks(
    most int, part_size int, floor_epoch smallint, floor_xid bigint, floor_id bigint,
    out looked_at int, out more boolean
) language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    place search_place; ids uuid[]; older uuid[]; upto uuid;
begin
    looked_at := 0; more := false;
    select * into place from search_place for update skip locked;
    if not found then return; end if;
    if (place.epoch, place.xid, place.id) < (floor_epoch, floor_xid, floor_id) then
        select epoch, xid, 0, '00000000-0000-0000-0000-000000000000' into place from feed_edge();
    end if;
    if place.from_id is not null then
        older := array(select id from task where id > place.from_id order by id limit most);
        upto := older[cardinality(older)];
        delete from search s
         where s.task_id > place.from_id and (upto is null or s.task_id <= upto)
           and not exists (select from task t where t.id = any (array[s.task_id]));
        place.from_id := upto;
        more := upto is not null;
    end if;
    select i.ids, i.epoch, i.xid, i.id, more or i.full_page
      into ids, place.epoch, place.xid, place.id, more
      from changed_tasks(place.epoch, place.xid, place.id, most) i;
    -- Those that the way through the tasks of before will come to: parts are filled in order.
    ids := array(select i from unnest(ids) i where place.from_id is null or i <= place.from_id)
           || older;
    perform place_in_parts(ids, part_size) where cardinality(ids) > 0;
    update search_place
       set epoch = place.epoch, xid = place.xid, id = place.id, from_id = place.from_id
     where (epoch, xid, id, coalesce(from_id, '00000000-0000-0000-0000-000000000000'))
           is distinct from
           (place.epoch, place.xid, place.id,
            coalesce(place.from_id, '00000000-0000-0000-0000-000000000000'));
    looked_at := coalesce(cardinality(ids), 0);
end $$;

-- The tasks that the next events after a place are about, where to go on, and whether there are
-- more events than so many.
create or replace function changed_tasks(
    inout epoch smallint, inout xid bigint, inout id bigint, most int,
    out ids uuid[], out full_page boolean
) language plpgsql volatile as $$
#variable_conflict use_column
declare
    edge record;
begin
    select * into edge from feed_edge();
    with page as (
        select e.epoch, e.xid, e.id, e.subject, e.type from event e
         where (e.epoch, e.xid, e.id) > (changed_tasks.epoch, changed_tasks.xid, changed_tasks.id)
           and (e.epoch, e.xid, e.id) < (edge.epoch, edge.xid, 0::bigint)
         order by e.epoch, e.xid, e.id limit most
    ), last as (
        select p.epoch, p.xid, p.id from page p order by p.epoch desc, p.xid desc, p.id desc limit 1
    )
    select (select array_agg(distinct p.subject) from page p
             where p.type in ('task.created', 'task.updated', 'task.redriven', 'task.completed',
                              'task.failed', 'task.cancelled', 'task.dead', 'task.deleted')),
           (select count(*) = most from page),
           coalesce(last.epoch, changed_tasks.epoch), coalesce(last.xid, changed_tasks.xid),
           coalesce(last.id, changed_tasks.id)
      into ids, full_page, epoch, xid, id
      from (select) nothing left join last on true;
end $$;

-- Writes the documents of tasks that changed, each in the part where its id belongs, opens a new
-- part where the newest of a project is full, and forgets tasks that were deleted.
create or replace function place_in_parts(ids uuid[], part_size int) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    nobody constant uuid := '00000000-0000-0000-0000-000000000000';
begin
    insert into search_part (project_id, after_id, last_id)
    select distinct t.project_id, nobody, nobody from task t
     where t.id = any (ids)
       and not exists (select from search_part p where p.project_id = any (array[t.project_id]));
    with changed as (
        select t as record, t.id, t.lane_id, t.finished_at, s.part as had,
               case when t.outcome = 'succeeded'
                    then extract(epoch from t.finished_at - t.started_at) end as seconds,
               coalesce(s.part, (
                   select p.number from search_part p
                    where p.project_id = any (array[t.project_id]) and p.after_id < t.id
                    order by p.after_id desc limit 1)) as part
          from task t left join search s on s.task_id = any (array[t.id])
         where t.id = any (ids) and (t.finished_at is null or s.finished_at is null
                                     or s.finished_at <> t.finished_at)
    ), written as (
        insert into search (task_id, lane_id, part, finished_at, seconds, document)
        select id, lane_id, part, finished_at, seconds, document_of(record, part) from changed
        on conflict (task_id) do update
           set finished_at = excluded.finished_at, seconds = excluded.seconds,
               document = excluded.document
    )
    update search_part p
       set tasks = p.tasks + n.tasks, last_id = greatest(p.last_id, n.last_id)
      from (select part, count(*) as tasks, (array_agg(id order by id desc))[1] as last_id
              from changed where had is null group by part) n
     where p.number = any (array[n.part]);
    insert into search_part (project_id, after_id, last_id)
    select p.project_id, p.last_id, p.last_id from search_part p
     where p.tasks >= part_size
       and p.number in (select s.part from search s where s.task_id = any (ids))
       and not exists (select from search_part later
                        where later.project_id = any (array[p.project_id])
                          and later.after_id > p.after_id);
    with gone as (
        delete from search s
         where s.task_id = any (ids)
           and not exists (select from task t where t.id = any (array[s.task_id]))
        returning s.part
    )
    update search_part p set tasks = p.tasks - n.tasks
      from (select part, count(*) as tasks from gone group by part) n
     where p.number = any (array[n.part]);
    delete from search_part p
     where p.tasks <= 0 and p.after_id > nobody
       and exists (select from search_part later
                    where later.project_id = any (array[p.project_id])
                      and later.after_id > p.after_id);
end $$;
