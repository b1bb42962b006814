"""Alembic's entry point; ``podium.storage.migrate`` hands it an open connection."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
