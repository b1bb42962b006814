"""What is laid down for a queue of a project. A queue without a row is open and has no limit.

``wakes_at`` is when a queue that used up its rate may start another task.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("""
        create table queue (
            id uuid not null,
            project_id uuid not null references project (id),
            name text not null,
            state text not null default 'open' check (state in ('open', 'paused', 'draining')),
            concurrency int check (concurrency > 0),       -- null: no limit
            rate_count int check (rate_count > 0),         -- null: no limit; so many starts
            rate_seconds float8 check (rate_seconds > 0),  -- in so many seconds
            rate_burst int check (rate_burst > 0),         -- and so many of them at once
            tokens float8 not null default 0,              -- starts that were left
            filled_at timestamptz not null default now(),  -- at this time
            wakes_at timestamptz,
            updated_at timestamptz not null default now(),
            primary key (project_id, name),
            check (num_nulls(rate_count, rate_seconds, rate_burst) in (0, 3))
        ) with (fillfactor = 50)
    """)
    op.execute("create index queue_wakes_at on queue (wakes_at) where wakes_at is not null")
    op.execute("create index queue_draining on queue (project_id) where state = 'draining'")
