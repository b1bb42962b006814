"""The spine: projects, tokens, agents, tasks, the scheduler's tables, events, logs, artifacts."""

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None


def upgrade() -> None:
    script = Path(__file__).with_suffix(".sql").read_text()
    for statement in script.split(";\n"):
        if statement.strip():
            op.execute(text(statement))
