"""Sessions take event ids in lots: ids order the events of one transaction, never those of two."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("alter sequence event_id cache 100")
