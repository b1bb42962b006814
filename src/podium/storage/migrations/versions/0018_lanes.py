"""Lanes that are closed, and the ready tasks that hold something of gates: when a lane closes, its
tasks give that back. Those of lanes that are closed now do so when the clock looks at their gates.
"""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute("alter table lane add column closed boolean not null default false")
    op.execute("create index lane_closed on lane (id) where closed")
    op.execute("create index ready_gated on ready (lane_id) where gated")
    op.execute("create index blocked_held on blocked (task_id) where on_failure = 'hold'")
    op.execute("""
        update lane l set closed = true
         where exists (select from queue q where q.project_id = l.project_id
                                             and q.name = l.queue and q.state = 'paused')
            or not exists (select from agent a
                            where a.deleted_at is null and a.enabled and a.healthy
                              and case when l.agent_id is not null then a.id = l.agent_id
                                       else a.project_id = l.project_id
                                            and a.capabilities @> l.capabilities end)
    """)
    op.execute("""
        insert into gate (key, one_shot, wakes_at)
        select 'lane:' || id, true, now() from lane where closed
    """)
