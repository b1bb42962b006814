"""Templates of tasks and their versions, which never change.

The row of a deleted template stays, and one of the same name goes on counting: so a version that a
task tells of is never another one later.
"""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("""
        create table template (
            id uuid primary key,
            project_id uuid not null references project (id),
            name text collate "C" not null,                 -- sorted like built-in ones
            version int not null,                          -- the one in force
            based_on int,                                  -- version of the built-in one
            deleted_at timestamptz,
            unique (project_id, name)
        )
    """)
    op.execute("""
        create table template_version (
            template_id uuid not null references template (id),
            version int not null,
            based_on int,
            definition jsonb not null,
            created_by text not null,
            created_at timestamptz not null default now(),
            primary key (template_id, version)
        )
    """)
