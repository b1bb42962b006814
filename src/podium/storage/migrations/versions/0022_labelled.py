"""Tasks with labels in their order, among which common labels are found."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute("create index task_labelled on task (project_id, id) where labels <> '{}'")
