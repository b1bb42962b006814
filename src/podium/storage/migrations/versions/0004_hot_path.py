"""Sessions take event ids in lots: ids order the events of one transaction, never those of two.

Needs and gates come and go like the tasks in the other hot tables: they are cleaned as often.
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("alter sequence event_id cache 100")
    for table in ("need", "gate"):
        op.execute(
            f"alter table {table} set (autovacuum_vacuum_scale_factor = 0,"
            " autovacuum_vacuum_threshold = 2000)"
        )
