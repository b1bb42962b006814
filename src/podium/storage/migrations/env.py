"""Alembic's entry point; ``podium.storage.migrate`` hands it an open connection."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    on_version_apply=context.config.attributes["on_version_apply"],
)
context.run_migrations()
