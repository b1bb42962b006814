"""Each search reads through what is not yet sorted into its index: so that is kept small."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute("alter index search_document set (gin_pending_list_limit = 128)")
