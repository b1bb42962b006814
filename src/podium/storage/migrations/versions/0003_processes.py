"""How many attempts a worker runs in processes of their own, and which agents' run so.

Until a worker has found out otherwise, an agent's attempts are taken to run in processes.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("alter table agent add column isolated boolean not null default true")
    op.execute("alter table running add column isolated boolean not null default true")
    op.execute("alter table worker add column processes int not null default 16")
