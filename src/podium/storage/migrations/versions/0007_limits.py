"""Limits that tasks name: how many of those that name one run, and how fast they start.

A gate of a limit has a bucket of starts beside its units: ``taken`` of its ``burst`` are out, and
of these ``spent`` come back with time since ``filled_at``. Attempts that began are noted in
``spent`` until somebody who holds the gate lock counts them.
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("""
        create table task_limit (
            id uuid not null,
            project_id uuid not null references project (id),
            name text not null,                            -- with * at its end: a family
            concurrency int check (concurrency > 0),       -- null: no limit
            rate_count int check (rate_count > 0),         -- null: no limit; so many starts
            rate_seconds float8 check (rate_seconds > 0),  -- in so many seconds
            rate_burst int check (rate_burst > 0),         -- and so many of them at once
            updated_at timestamptz not null default now(),
            primary key (project_id, name),
            check (num_nulls(rate_count, rate_seconds, rate_burst) in (0, 3))
        )
    """)
    op.execute("""
        alter table gate
            add column burst bigint,                       -- null: no rate
            add column refill float8,                      -- seconds until a start comes back
            add column taken bigint not null default 0,
            add column spent bigint not null default 0,
            add column filled_at timestamptz,
            add column wakes_at timestamptz
    """)
    op.execute(
        "create index task_limit_family on task_limit (project_id) where right(name, 1) = '*'"
    )
    op.execute('create index gate_family on gate (key collate "C")')
    op.execute("create index gate_wakes_at on gate (wakes_at) where wakes_at is not null")
    op.execute("alter table need add column started boolean not null default false")
    op.execute("""
        create table spent (
            gate text not null,
            units bigint not null,
            at timestamptz not null default clock_timestamp(),
            due_at timestamptz not null
        ) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)
    """)
    op.execute("create index spent_gate on spent (gate)")
    op.execute("create index spent_due_at on spent (due_at)")
