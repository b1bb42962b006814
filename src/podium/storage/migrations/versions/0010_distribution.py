"""How a queue shares its tasks out among agents that could all do them, and what each had so far.

``passed`` grows with each task that an agent is given by 1, or by 1 over its weight; who has passed
least is next.
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("""
        alter table queue add column distribution text not null default 'least_loaded'
            check (distribution in ('least_loaded', 'round_robin', 'weighted'))
    """)
    op.execute("alter table agent add column weight float8 not null default 1 check (weight > 0)")
    op.execute("""
        create table turn (
            project_id uuid not null,
            queue text not null,
            agent_id uuid not null,
            passed float8 not null,
            primary key (project_id, queue, agent_id)
        ) with (fillfactor = 50)
    """)
    op.execute("create index turn_agent on turn (agent_id)")
    # Attempts of before tell of a choice by load, the only way that there was.
    made = "jsonb_build_object('how', 'least_loaded', 'candidates', choice)"
    was = "jsonb_typeof(choice) = 'array'"
    op.execute(f"update running set choice = {made} where {was}")  # noqa: S608 - ours alone
    op.execute(f"update attempt set choice = {made} where {was}")  # noqa: S608
