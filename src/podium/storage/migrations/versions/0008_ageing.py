"""How long a task of a project must wait to gain one step of priority; null: it never does."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("alter table project add column ageing_seconds float8 check (ageing_seconds > 0)")
    op.execute("create index project_ageing on project (id) where ageing_seconds is not null")
