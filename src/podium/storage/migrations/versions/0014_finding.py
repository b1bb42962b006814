"""Tasks by their words, filters that are kept under a name, and how long ended tasks are kept.

``search`` follows the events, so that no submission and no settlement waits for it. A part is a
run of some ten thousand tasks of one project in the order of their ids; ``place`` is how far the
events were followed, and ``from_id`` how far tasks of before were gone through, null at the end.
"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("""
        create table search (
            task_id uuid primary key,
            lane_id int not null,
            part int not null,
            finished_at timestamptz,                       -- as it was when it was looked at
            seconds real,                                  -- that it ran, if it succeeded
            document tsvector not null
        )
    """)
    op.execute("create index search_document on search using gin (document)")
    op.execute(
        "create index search_pace on search (lane_id, task_id desc) where seconds is not null"
    )
    op.execute("""
        create table search_part (
            number int generated always as identity primary key,
            project_id uuid not null,
            after_id uuid not null,                        -- its tasks have greater ids
            last_id uuid not null,                         -- the greatest of theirs
            tasks int not null default 0,
            unique (project_id, after_id)
        )
    """)
    op.execute("""
        create table search_place (
            epoch smallint not null,
            xid bigint not null,
            id bigint not null,
            from_id uuid
        )
    """)
    # What was written before the oldest open transaction is found by going through the tasks.
    op.execute("""
        insert into search_place
        select value::text::smallint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint, 0,
               '00000000-0000-0000-0000-000000000000'
          from meta where key = 'epoch'
    """)
    op.execute("""
        create table saved_filter (
            id uuid not null,
            project_id uuid not null references project (id),
            name text not null,
            description text not null,
            filter jsonb not null,
            sort text not null,
            created_by text not null,
            updated_at timestamptz not null,
            primary key (project_id, name)
        )
    """)
    op.execute(
        "alter table project add column keep_days float8 check (keep_days > 0),"
        " add column keep_tasks int check (keep_tasks >= 0)"
    )
