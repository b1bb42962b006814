"""With which token a token was made: revoking one revokes those that were made with it.

Of tokens that are older than this it is not known; they stay valid.
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("alter table token add column granted_by uuid references token (id)")
    op.execute("create index token_granted_by on token (granted_by) where granted_by is not null")
