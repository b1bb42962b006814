"""Tokens, and the credentials of running attempts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.errors import NotFound
from podium.principals.model import Token
from podium.storage.database import Database, call_in, metadata

token = sa.Table(
    "token",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("project_id", sa.Uuid),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False),
    sa.Column(
        "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
    ),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
    sa.Column("last_used_at", sa.DateTime(timezone=True)),
    sa.Column("granted_by", sa.Uuid),
)
_project = sa.table("project", sa.column("id", sa.Uuid), sa.column("name", sa.Text))
_LOCK = "select pg_advisory_xact_lock(1886348393, 7)"
_CREDENTIAL = (
    "select name, project_id, scopes, secret_hash, expires_at from token"
    " where id = $1 and revoked_at is null"
)
_ATTEMPT = (
    "select r.token_hash, lane.project_id,"
    " array(select d.depends_on from dependency d where d.task_id = r.task_id) as depends_on"
    " from running r join lane on lane.id = r.lane_id"
    " where r.task_id = $1 and r.attempt = $2 and r.token_hash is not null"
)
_USED = (
    "update token set last_used_at = x.at from unnest($1::uuid[], $2::timestamptz[]) as x (id, at)"
    " where token.id = x.id and (last_used_at is null or last_used_at < x.at)"
    " and token.id in (select id from token where id = any ($1) for no key update skip locked)"
)
"""Skips what is being revoked: two who lock many tokens would wait for each other."""


class Issued(NamedTuple):
    """What is written of a new token."""

    id: UUID
    name: str
    project_id: UUID | None
    secret_hash: bytes
    scopes: Sequence[str]
    created_by: str
    expires_at: datetime | None
    granted_by: UUID | None = None


async def insert(conn: AsyncConnection, issued: Issued) -> None:
    await conn.execute(sa.insert(token).values(issued._asdict()))


async def hold(conn: AsyncConnection, token_id: UUID) -> bool:
    """Keep the token from being revoked until the transaction ends; False when it was."""
    query = "select 1 from token where id = $1 and revoked_at is null for share"
    return bool(await call_in(conn, query, token_id))


async def granted_with(conn: AsyncConnection, token_ids: Sequence[UUID]) -> list[UUID]:
    """The tokens that were made with these."""
    rows = await conn.execute(sa.select(token.c.id).where(token.c.granted_by.in_(token_ids)))
    return list(rows.scalars())


async def hand_over(conn: AsyncConnection, old: Sequence[UUID], new: UUID) -> None:
    """Let what was made with the old tokens count as made with the new one."""
    change = sa.update(token).where(token.c.granted_by.in_(old))
    await conn.execute(change.values(granted_by=new))


async def credential(database: Database, token_id: UUID) -> Mapping[str, Any] | None:
    """The row that decides about a token; None when it is unknown or revoked."""
    return next(iter(await database.call(_CREDENTIAL, token_id)), None)


async def attempt(database: Database, task_id: UUID, number: int) -> Mapping[str, Any] | None:
    """The row that decides about an attempt's token; None unless that attempt runs now."""
    return next(iter(await database.call(_ATTEMPT, task_id, number)), None)


async def mark_used(database: Database, used: Mapping[UUID, datetime]) -> None:
    await database.call(_USED, list(used), list(used.values()))


async def read(conn: AsyncConnection, token_id: UUID) -> Token:
    """The token, revoked or not; ``NotFound`` when there never was one."""
    rows = await conn.execute(_tokens().where(token.c.id == token_id))
    row = rows.one_or_none()
    if row is None:
        raise NotFound(f"There is no token {token_id}.", token_id=str(token_id))
    return _token(row)


async def read_page(
    conn: AsyncConnection, project_id: UUID | None, before: UUID | None, limit: int
) -> list[Token]:
    """Tokens neither revoked nor expired, newest first; those of one project if it is given."""
    lasts = sa.or_(token.c.expires_at.is_(None), token.c.expires_at > sa.func.now())
    query = _tokens().where(token.c.revoked_at.is_(None), lasts)
    if project_id is not None:
        query = query.where(token.c.project_id == project_id)
    if before is not None:
        query = query.where(token.c.id < before)
    rows = await conn.execute(query.order_by(token.c.id.desc()).limit(limit))
    return [_token(row) for row in rows]


async def project_id(conn: AsyncConnection, name: str) -> UUID | None:
    """The id of a project, which is kept from being deleted until the transaction ends."""
    query = "select id from project where name = $1 and deleted_at is null for key share"
    rows = await call_in(conn, query, name)
    return rows[0]["id"] if rows else None


async def project_name(database: Database, project_id: UUID) -> str:
    (row,) = await database.call("select name from project where id = $1", project_id)
    return row["name"]


async def revoke(
    conn: AsyncConnection, token_ids: Sequence[UUID]
) -> list[tuple[UUID, str, UUID | None]]:
    """Revoke these; gives (id, name, project) of those that were in force."""
    rows = await conn.execute(
        sa.update(token)
        .where(token.c.id.in_(token_ids), token.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now())
        .returning(token.c.id, token.c.name, token.c.project_id)
    )
    return [(row.id, row.name, row.project_id) for row in rows]


async def in_force(conn: AsyncConnection, name: str, created_by: str) -> list[UUID]:
    """Tokens of this name and maker that are not revoked, under a lock for their replacement."""
    await conn.execute(sa.text(_LOCK))
    rows = await conn.execute(
        sa.select(token.c.id).where(
            token.c.name == name, token.c.created_by == created_by, token.c.revoked_at.is_(None)
        )
    )
    return [row.id for row in rows]


async def is_valid(conn: AsyncConnection, token_id: UUID, secret_hash: bytes) -> bool:
    rows = await conn.execute(
        sa.select(token.c.id).where(
            token.c.id == token_id,
            token.c.secret_hash == secret_hash,
            token.c.revoked_at.is_(None),
            token.c.expires_at.is_(None),
        )
    )
    return rows.first() is not None


def _tokens() -> sa.Select[Any]:
    columns = [column for column in token.c if column.name != "secret_hash"]
    joined = token.outerjoin(_project, _project.c.id == token.c.project_id)
    return sa.select(*columns, _project.c.name.label("project")).select_from(joined)


def _token(row: Any) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        project=row.project,
        project_id=row.project_id,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
