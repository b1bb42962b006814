"""Waiters have their rank on record, by which they stand at their gate."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute("alter table wait add column rank float8")
    op.execute("""
        update wait w
           set rank = ('x' || translate(left(w.task_id::text, 13), '-', ''))::bit(48)::bigint
                      / 1000.0 - w.priority * coalesce(p.ageing_seconds, 1e10)
          from lane l join project p on p.id = l.project_id
         where l.id = w.lane_id
    """)
    op.execute("alter table wait alter column rank set not null")
    op.execute("drop index wait_order")
    op.execute("create unique index wait_order on wait (gate, rank, task_id)")
