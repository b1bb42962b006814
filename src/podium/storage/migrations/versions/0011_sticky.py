"""Keys that keep their tasks with one agent, and lanes of tasks that prefer an agent."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("alter table lane add column prefers uuid references agent (id)")
    op.execute(
        "alter table lane drop constraint lane_project_id_queue_agent_id_capabilities_key,"
        " add constraint lane_of_demand"
        " unique nulls not distinct (project_id, queue, agent_id, capabilities, prefers)"
    )
    op.execute("""
        create table sticky (
            project_id uuid not null references project (id),
            key text not null,
            agent_id uuid not null references agent (id),
            used_at timestamptz not null default now(),    -- to the hour
            primary key (project_id, key)
        ) with (fillfactor = 80)
    """)
    op.execute("create index sticky_used_at on sticky (used_at)")
