"""Inputs that are said once however often they are sent, and which attempt serves a session."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute("""
        alter table session
            add column attempt int,                        -- that serves it, or did last
            add column over int                            -- whose agent has ended for good
    """)
    op.execute("""
        update session s set attempt = r.attempt from running r where r.task_id = s.task_id
    """)
    op.execute("""
        alter table session_entry
            add column call_key text,                      -- the idempotency key of an input
            add column call_hash bytea                     -- what was sent with it
    """)
    op.execute("""
        create unique index session_entry_call on session_entry (task_id, call_key)
         where call_key is not null
    """)
