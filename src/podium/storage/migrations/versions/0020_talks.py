"""Agents that can be talked to have that among their capabilities, where sessions ask for it."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute("""
        update agent a set capabilities = a.capabilities || array['session:']
          from agent_version v
         where v.agent_id = a.id and v.version = a.version
           and (a.runtime = 'function' or jsonb_typeof(v.config -> 'session') = 'object')
    """)
