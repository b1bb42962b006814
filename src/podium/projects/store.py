"""The project table."""

import sqlalchemy as sa

from podium.storage.database import metadata

project = sa.Table(
    "project",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("weight", sa.REAL, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.FetchedValue()),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
)
