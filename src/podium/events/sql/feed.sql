-- The event feed. A plain serial cursor loses rows of slower transactions, and a cursor below
-- pg_snapshot_xmin stalls on any open writer of the server. Here only event writers hold it back:
-- each takes the shared event lock as its first statement, before it has a transaction id.

create or replace function lock_events() returns void language sql as $$
    select pg_advisory_xact_lock_shared(1886348393, 1)
$$;

-- Events before (epoch, xid) are complete: no writer can add to them any more. ``held`` says that
-- an open writer holds this edge back, so that it is worth looking again soon.
-- The reader takes the edge in one statement and selects the rows in the next.
-- A transaction in progress is passed over only when its holder is known not to hold the lock;
-- one that is not in pg_locks yet, or not any more, counts as a writer.
create or replace function feed_edge(out epoch smallint, out xid bigint, out held boolean)
language sql volatile as $$
    with snapshot as materialized (
        select pg_current_snapshot() as s
    ), open as materialized (
        select pg_snapshot_xip(s) as xid from snapshot
    ), held as materialized (
        select virtualtransaction as holder, locktype, transactionid::text::bigint as short_xid
          from pg_locks
         where exists (select from open) and granted
           and (locktype = 'transactionid' and mode = 'ExclusiveLock'
                or locktype = 'advisory' and classid = 1886348393 and objid = 1
                   and database = (select oid from pg_database
                                    where datname = current_database()))
    ), writer as (
        select open.xid from open
         where not exists (
            select from held
             where held.locktype = 'transactionid'
               and held.short_xid = open.xid::text::bigint & 4294967295
               and not exists (select from held l
                                where l.holder = held.holder and l.locktype = 'advisory'))
    ), first as (
        select min(xid::text::bigint) as xid from writer
    )
    select (select value::text::smallint from meta where key = 'epoch'),
           coalesce(first.xid, (select pg_snapshot_xmax(s)::text::bigint from snapshot)),
           first.xid is not null
      from first
$$;

-- The edge (first row, without an event) and the complete events after a place, in one round trip.
-- Each statement of a volatile function sees what was committed before it began, so the events
-- are selected after the edge was taken, as they must be.
create or replace function feed_page(
    after_epoch smallint, after_xid bigint, after_id bigint, most int
) returns table (
    held boolean, epoch smallint, xid bigint, id bigint, at timestamptz, project_id uuid, type text,
    version smallint, subject uuid, actor text, data jsonb
) language plpgsql volatile as $$
#variable_conflict use_column
declare
    edge record;
begin
    select * into edge from feed_edge();
    held := edge.held;
    epoch := edge.epoch;
    xid := edge.xid;
    return next;
    return query
    select null::boolean, e.epoch, e.xid, e.id, e.at, e.project_id, e.type, e.version, e.subject,
           e.actor, e.data
      from event e
     where (e.epoch, e.xid, e.id) > (after_epoch, after_xid, after_id)
       and (e.epoch, e.xid, e.id) < (edge.epoch, edge.xid, 0::bigint)
     order by e.epoch, e.xid, e.id limit most;
end $$;
