"""The tables of templates and of their versions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.storage.database import call_in, metadata
from podium.templates.model import Definition, Made, Template

_Time = sa.DateTime(timezone=True)

template = sa.Table(
    "template",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("project_id", sa.Uuid, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("based_on", sa.Integer),
    sa.Column("deleted_at", _Time),
)
template_version = sa.Table(
    "template_version",
    metadata,
    sa.Column("template_id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("definition", JSONB, nullable=False),
    sa.Column("based_on", sa.Integer),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", _Time, nullable=False),
)
_SELECT = """
select t.id, t.name, v.version, v.based_on, v.definition, v.created_by, v.created_at
  from template t join template_version v on v.template_id = t.id
 where t.project_id = $1 and t.deleted_at is null {where}
"""
_IN_FORCE = _SELECT.format(where="and t.name = $2 and v.version = t.version")
_VERSION = _SELECT.format(where="and t.name = $2 and v.version = $3")
_VERSIONS = _SELECT.format(
    where="and t.name = $2 and ($3::int is null or v.version < $3) order by v.version desc limit $4"
)
_PAGE = _SELECT.format(where="and t.name > $2 and v.version = t.version order by t.name limit $3")
_LOCK = "select from template where project_id = $1 and name = $2 for no key update"
# A name that was used before goes on counting: a task tells its version, which stays the same. What
# was made of a built-in one counts on from that, so that a version tells which of them was read.
_INSERT = (
    "insert into template (id, project_id, name, version, based_on)"
    " values ($1, $2, $3, coalesce($4, 0) + 1, $4)"
    " on conflict (project_id, name) do update"
    "    set version = greatest(template.version, excluded.based_on) + 1,"
    "        based_on = excluded.based_on, deleted_at = null"
    "  where template.deleted_at is not null"
    " returning id, version"
)
_ADD_VERSION = (
    "insert into template_version (template_id, version, based_on, definition, created_by)"
    " select id, version, based_on, $2::jsonb, $3 from template where id = $1"
)
_NEXT = "update template set version = version + 1 where id = $1"
_DELETE = "update template set deleted_at = now() where id = $1"


async def insert(
    conn: AsyncConnection,
    template_id: UUID,
    project_id: UUID,
    name: str,
    based_on: int | None,
    definition: Definition,
    who: str,
) -> UUID | None:
    """The id of the template, which is kept as the next version under its name; None when the name
    is taken."""
    rows = await call_in(conn, _INSERT, template_id, project_id, name, based_on)
    if not rows:
        return None
    await _add_version(conn, rows[0]["id"], definition, who)
    return rows[0]["id"]


async def update(
    conn: AsyncConnection, template_id: UUID, definition: Definition, who: str
) -> None:
    """Put another version in force."""
    await call_in(conn, _NEXT, template_id)
    await _add_version(conn, template_id, definition, who)


async def _add_version(
    conn: AsyncConnection, template_id: UUID, definition: Definition, who: str
) -> None:
    text = orjson.dumps(asdict(definition)).decode()
    await call_in(conn, _ADD_VERSION, template_id, text, who)


async def delete(conn: AsyncConnection, template_id: UUID) -> None:
    """Let nobody find it any more; its versions stay, so that none is ever given twice."""
    await call_in(conn, _DELETE, template_id)


async def read(
    conn: AsyncConnection, project_id: UUID, name: str, *, for_update: bool = False
) -> Template | None:
    """The version in force of a project's own template."""
    if for_update:  # what it waited for is seen only by a statement that begins afterwards
        await call_in(conn, _LOCK, project_id, name)
    return _one(await call_in(conn, _IN_FORCE, project_id, name))


async def read_version(
    conn: AsyncConnection, project_id: UUID, name: str, version: int
) -> Template | None:
    return _one(await call_in(conn, _VERSION, project_id, name, version))


async def versions(
    conn: AsyncConnection, project_id: UUID, name: str, before: int | None, limit: int
) -> list[Template]:
    """Versions of a project's own template, the newest first."""
    rows = await call_in(conn, _VERSIONS, project_id, name, before, limit)
    return [_template(row) for row in rows]


async def read_page(
    conn: AsyncConnection, project_id: UUID, after: str, limit: int
) -> list[Template]:
    """A project's own templates by name."""
    return [_template(row) for row in await call_in(conn, _PAGE, project_id, after, limit)]


def _one(rows: Sequence[Mapping[str, Any]]) -> Template | None:
    return _template(rows[0]) if rows else None


def _template(row: Mapping[str, Any]) -> Template:
    return Template(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        definition=Definition(**_read(row["definition"])),
        based_on=row["based_on"],
        made=Made(row["created_by"], row["created_at"]),
    )


def _read(definition: Any) -> Mapping[str, Any]:
    return orjson.loads(definition) if isinstance(definition, str | bytes) else definition
