"""Which things came from files, and by which set of them, so that a set can be pruned."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("""
        create table applied (
            project_id uuid not null references project (id),
            kind text not null,
            name text not null,                            -- of kind Project: its own
            set_name text not null,
            fields jsonb not null,                         -- a digest of each, as it was applied
            applied_by text not null,
            applied_at timestamptz not null,
            primary key (project_id, kind, name)
        )
    """)
    op.execute("create index applied_set on applied (set_name)")
