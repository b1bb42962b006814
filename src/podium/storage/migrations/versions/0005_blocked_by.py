"""Which attempt keeps a worker from everything else, as that worker itself found out."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("alter table worker add column blocked_by jsonb")
