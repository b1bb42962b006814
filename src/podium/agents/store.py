"""The agent tables."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from podium.storage.database import metadata

agent = sa.Table(
    "agent",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("project_id", sa.Uuid, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("runtime", sa.Text, nullable=False),
    sa.Column("capabilities", ARRAY(sa.Text), nullable=False, server_default=sa.FetchedValue()),
    sa.Column("labels", JSONB, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("max_concurrency", sa.Integer),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("healthy", sa.Boolean, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("health_detail", sa.Text),
    sa.Column("health_checked_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.FetchedValue()),
    sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.FetchedValue()),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
)
agent_version = sa.Table(
    "agent_version",
    metadata,
    sa.Column("agent_id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("runtime", sa.Text, nullable=False),
    sa.Column("config", JSONB, nullable=False),
    sa.Column("description", sa.Text, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.FetchedValue()),
    sa.Column("created_by", sa.Text, nullable=False),
)
