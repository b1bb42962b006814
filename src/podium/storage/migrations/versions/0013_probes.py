"""On which machine an agent was probed: only there does a later probe tell that it changed."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute("alter table agent add column health_host text")
