"""The scheduler's tables as SQLAlchemy sees them; the migrations create them."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from podium.storage.database import metadata

_Time = sa.DateTime(timezone=True)


def _column(name: str, kind: Any, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, primary_key=key, server_default=sa.FetchedValue())


def _place() -> list[sa.Column[Any]]:
    """A task's place in line and its counts, carried along by every hot table."""
    return [
        _column("lane_id", sa.Integer),
        _column("priority", sa.SmallInteger),
        _column("attempt", sa.Integer),
        _column("failures", sa.SmallInteger),
        _column("losses", sa.SmallInteger),
    ]


lane = sa.Table(
    "lane",
    metadata,
    _column("id", sa.Integer, key=True),
    _column("project_id", sa.Uuid),
    _column("queue", sa.Text),
    _column("agent_id", sa.Uuid, null=True),
    _column("capabilities", ARRAY(sa.Text)),
    _column("prefers", sa.Uuid, null=True),
    _column("closed", sa.Boolean),
)
task = sa.Table(
    "task",
    metadata,
    _column("id", sa.Uuid, key=True),
    _column("project_id", sa.Uuid),
    _column("lane_id", sa.Integer),
    _column("priority", sa.SmallInteger),
    _column("title", sa.Text),
    _column("labels", JSONB),
    _column("input", JSONB),
    _column("spec", JSONB),
    _column("created_at", _Time),
    _column("created_by", sa.Text),
    _column("outcome", sa.Text, null=True),
    _column("output", JSONB, null=True),
    _column("error", JSONB, null=True),
    _column("attempt", sa.Integer),
    _column("started_at", _Time, null=True),
    _column("finished_at", _Time, null=True),
)
dependency = sa.Table(
    "dependency",
    metadata,
    _column("task_id", sa.Uuid, key=True),
    _column("depends_on", sa.Uuid, key=True),
    _column("name", sa.Text),
    _column("released", sa.Boolean),
)
attempt = sa.Table(
    "attempt",
    metadata,
    _column("task_id", sa.Uuid, key=True),
    _column("attempt", sa.Integer, key=True),
    _column("outcome", sa.Text),
    _column("agent_id", sa.Uuid, null=True),
    _column("agent_version", sa.Integer, null=True),
    _column("worker_id", sa.Uuid, null=True),
    _column("choice", JSONB, null=True),
    _column("confinement", sa.Text, null=True),
    _column("queued_at", _Time),
    _column("started_at", _Time),
    _column("finished_at", _Time),
    _column("error", JSONB, null=True),
    _column("usage", JSONB, null=True),
)
ready = sa.Table(
    "ready",
    metadata,
    _column("task_id", sa.Uuid),
    *_place(),
    _column("gated", sa.Boolean),
    _column("queued_at", _Time),
)
running = sa.Table(
    "running",
    metadata,
    _column("task_id", sa.Uuid, key=True),
    *_place(),
    _column("gated", sa.Boolean),
    _column("worker_id", sa.Uuid),
    _column("agent_id", sa.Uuid),
    _column("agent_version", sa.Integer),
    _column("isolated", sa.Boolean),
    _column("choice", JSONB, null=True),
    _column("confinement", sa.Text, null=True),
    _column("queued_at", _Time),
    _column("started_at", _Time),
    _column("cancel", JSONB, null=True),
    _column("progress", sa.REAL, null=True),
    _column("note", sa.Text, null=True),
    _column("token_hash", sa.LargeBinary, null=True),
)
timer = sa.Table(
    "timer",
    metadata,
    _column("task_id", sa.Uuid, key=True),
    _column("fires_at", _Time),
    _column("reason", sa.Text),
    *_place(),
    _column("gated", sa.Boolean),
)
blocked = sa.Table(
    "blocked",
    metadata,
    _column("task_id", sa.Uuid, key=True),
    _column("pending", sa.Integer),
    _column("on_failure", sa.Text),
    _column("not_before", _Time, null=True),
    _column("lane_id", sa.Integer),
    _column("priority", sa.SmallInteger),
    _column("attempt", sa.Integer),
    _column("gated", sa.Boolean),
)
gate = sa.Table(
    "gate",
    metadata,
    _column("key", sa.Text, key=True),
    _column("capacity", sa.BigInteger),
    _column("used", sa.BigInteger),
    _column("waiting", sa.Integer),
    _column("one_shot", sa.Boolean),
    _column("burst", sa.BigInteger, null=True),
    _column("refill", sa.Double, null=True),
    _column("taken", sa.BigInteger),
    _column("spent", sa.BigInteger),
    _column("filled_at", _Time, null=True),
    _column("wakes_at", _Time, null=True),
)
need = sa.Table(
    "need",
    metadata,
    _column("task_id", sa.Uuid, key=True),
    _column("gate", sa.Text, key=True),
    _column("units", sa.BigInteger),
    _column("held", sa.Boolean),
    _column("started", sa.Boolean),
)
spent = sa.Table(
    "spent",
    metadata,
    _column("gate", sa.Text),
    _column("units", sa.BigInteger),
    _column("at", _Time),
    _column("due_at", _Time),
)
wait = sa.Table(
    "wait",
    metadata,
    _column("gate", sa.Text),
    _column("task_id", sa.Uuid),
    *_place(),
    _column("rank", sa.Double),
    _column("parked", sa.Boolean),
    _column("since", _Time),
)
worker = sa.Table(
    "worker",
    metadata,
    _column("id", sa.Uuid, key=True),
    _column("name", sa.Text),
    _column("host", sa.Text),
    _column("pid", sa.Integer),
    _column("version", sa.Text),
    _column("state", sa.Text),
    _column("concurrency", sa.Integer),
    _column("processes", sa.Integer),
    _column("queues", ARRAY(sa.Text)),
    _column("runtimes", ARRAY(sa.Text)),
    _column("confinement", sa.Text, null=True),
    _column("started_at", _Time),
    _column("lease_until", _Time),
    _column("blocked_by", JSONB, null=True),
)
