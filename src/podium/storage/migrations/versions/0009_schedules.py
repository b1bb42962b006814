"""Schedules, and what came of each of their times.

``next_at`` is the next time of a schedule, ``fires_at`` the same with its jitter; both are null
when none is to come and while it is paused. A firing is what came of one time: that none of them
starts two tasks is what the unique index holds.
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    _schedules()
    _firings()


def _schedules() -> None:
    op.execute("""
        create table schedule (
            id uuid primary key,
            project_id uuid not null references project (id),
            name text not null,
            cron text,
            every float8 check (every >= 1),               -- seconds between two times
            timezone text not null,                        -- in which cron is read
            anchor timestamptz not null,                   -- from which every counts
            starts_at timestamptz,
            ends_at timestamptz,
            jitter float8 not null check (jitter >= 0),    -- seconds
            catch_up text not null check (catch_up in ('skip', 'latest', 'all')),
            catch_up_window float8,                        -- seconds; null: without end
            overlap text not null check (
                overlap in ('skip', 'buffer_one', 'buffer_all', 'cancel_other', 'allow_all')),
            paused boolean not null,
            note text,
            task jsonb not null,
            may_run_code boolean not null,                 -- whether who wrote the task may
            next_at timestamptz,
            fires_at timestamptz,
            open_tasks uuid[] not null default '{}',       -- that had not ended when last seen
            created_by text not null,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now(),
            unique (project_id, name),
            check ((cron is null) <> (every is null))
        )
    """)
    op.execute("create index schedule_fires_at on schedule (fires_at) where fires_at is not null")


def _firings() -> None:
    op.execute("""
        create table firing (
            id uuid primary key,
            schedule_id uuid not null references schedule (id) on delete cascade,
            at timestamptz not null,                       -- the time of the schedule
            cause text not null check (cause in ('time', 'backfill', 'trigger')),
            outcome text not null check (outcome in ('started', 'skipped', 'missed', 'failed')),
            task_id uuid,                                  -- may have been deleted since
            detail text,
            fired_at timestamptz not null default now(),
            check ((outcome = 'started') = (task_id is not null))
        )
    """)
    op.execute("create index firing_of_schedule on firing (schedule_id, at, id)")
    op.execute("create index firing_fired_at on firing (fired_at)")
    op.execute(
        "create unique index firing_once on firing (schedule_id, at)"
        " where outcome = 'started' and cause <> 'trigger'"
    )
