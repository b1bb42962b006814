"""The tables of this slice, and how the scheduler's tables say where a task is."""

import sqlalchemy as sa

from podium.agents.store import agent
from podium.scheduler.model import TaskState
from podium.scheduler.tables import attempt, lane, ready, running, task, wait
from podium.storage.database import metadata

log = sa.Table(
    "log",
    metadata,
    sa.Column("id", sa.BigInteger, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.FetchedValue()),
    sa.Column("task_id", sa.Uuid, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
artifact = sa.Table(
    "artifact",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("task_id", sa.Uuid, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column(
        "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.FetchedValue()
    ),
)

IN_READY = (
    ready,
    sa.and_(
        ready.c.lane_id == task.c.lane_id,
        ready.c.priority == task.c.priority,
        ready.c.task_id == task.c.id,
    ),
)
"""How the row in ``ready`` is found: its only index begins with lane and priority."""

STATE = sa.case(
    (task.c.outcome.is_not(None), task.c.outcome),
    (running.c.task_id.is_not(None), TaskState.RUNNING.value),
    (ready.c.task_id.is_not(None), TaskState.QUEUED.value),
    (wait.c.parked.is_(True), TaskState.WAITING.value),
    else_=TaskState.PENDING.value,
)
PLACES = (
    task.join(lane, lane.c.id == task.c.lane_id)
    .outerjoin(agent, agent.c.id == lane.c.agent_id)
    .outerjoin(running, running.c.task_id == task.c.id)
    .outerjoin(*IN_READY)
    .outerjoin(wait, wait.c.task_id == task.c.id)
)
LAST_ATTEMPT = (
    sa.select(sa.func.max(attempt.c.attempt))
    .where(attempt.c.task_id == task.c.id)
    .correlate(task)
    .scalar_subquery()
)
"""The number of the last attempt that ended; null before."""
SUMMARY = (
    task.c.id,
    task.c.project_id,
    task.c.title,
    STATE.label("state"),
    task.c.priority,
    task.c.labels,
    lane.c.queue,
    agent.c.name.label("agent"),
    sa.case(
        (task.c.outcome.is_not(None), task.c.attempt),
        else_=sa.func.coalesce(running.c.attempt, LAST_ATTEMPT, 0),
    ).label("attempt"),
    task.c.lane_id,
    sa.extract("epoch", sa.func.clock_timestamp() - running.c.started_at).label("elapsed"),
    running.c.progress.label("fraction"),
    running.c.note,
    task.c.error["code"].astext.label("error_code"),
    task.c.created_at,
    sa.case((task.c.outcome.is_not(None), task.c.started_at), else_=running.c.started_at).label(
        "started_at"
    ),
    task.c.finished_at,
)
