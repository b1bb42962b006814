"""Sessions: tasks that people talk to while they run, and what is said in them.

A session's row says what its agent does, so that the task's own hot rows stay as they are.
"""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute("""
        create table session (
            task_id uuid primary key references task (id) on delete cascade,
            project_id uuid not null,
            state text not null default 'initialising'
                check (state in ('initialising', 'idle', 'working', 'waiting')),
            paused boolean not null default false,
            closed boolean not null default false,         -- nothing more will be said to it
            entries int not null default 0,                -- number of the newest
            inputs int not null default 0,                 -- number of the newest input
            answered int not null default 0,               -- and of the last that was dealt with
            idle_seconds double precision,                 -- closed when it was idle for so long
            changed_at timestamptz not null default now()
        ) with (fillfactor = 70)
    """)
    op.execute("create index session_list on session (project_id, task_id desc)")
    op.execute("""
        create table session_entry (
            task_id uuid not null references session (task_id) on delete cascade,
            n int not null,                                -- from 1, without gaps
            kind text not null check (kind in ('input', 'say', 'ask', 'note')),
            author text,                                   -- of an input
            attempt int,                                   -- of what its agent said
            text text not null,
            data jsonb,
            at timestamptz not null default clock_timestamp(),
            primary key (task_id, n)
        )
    """)
