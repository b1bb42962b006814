-- The event feed. A plain serial cursor loses rows of slower transactions, and a cursor below
-- pg_snapshot_xmin stalls on any open writer of the server. Here only event writers hold it back:
-- each takes the shared event lock as its first statement, before it has a transaction id.

create or replace function lock_events() returns void language sql as $$
    select pg_advisory_xact_lock_shared(1886348393, 1)
$$;

-- Events below the returned transaction id are complete: no writer can add to them any more.
-- The reader takes this bound in one statement and selects the rows in the next.
-- A transaction in progress is passed over only when its backend is known not to hold the lock;
-- one that is not in pg_locks yet counts as a writer.
create or replace function feed_bound() returns bigint language sql volatile as $$
    with snapshot as materialized (
        select pg_current_snapshot() as s
    ), open as materialized (
        select pg_snapshot_xip(s) as xid from snapshot
    ), held as materialized (
        select pid, locktype, transactionid::text::bigint as short_xid
          from pg_locks
         where exists (select from open) and granted
           and (locktype = 'transactionid' and mode = 'ExclusiveLock'
                or locktype = 'advisory' and classid = 1886348393 and objid = 1)
    ), writer as (
        select open.xid from open
         where not exists (
            select from held
             where held.locktype = 'transactionid'
               and held.short_xid = open.xid::text::bigint & 4294967295
               and not exists (select from held l
                                where l.pid = held.pid and l.locktype = 'advisory'))
    )
    select coalesce((select min(xid::text::bigint) from writer),
                    (select pg_snapshot_xmax(s)::text::bigint from snapshot))
$$;
