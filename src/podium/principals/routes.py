"""``tokens`` and ``whoami``."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from podium.events.http import Change
from podium.kernel.web import Body, Limit, Name, Page, PageCursor, page_cursor, page_key, provided
from podium.principals.http import CurrentPrincipal, require
from podium.principals.model import Kind, Principal, Scope, Token, all_scopes
from podium.principals.service import NewToken, PrincipalService
from podium.storage.database import Database

router = APIRouter(tags=["tokens"])

_Tokens = Annotated[PrincipalService, Depends(provided(PrincipalService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Keeper = Annotated[Principal, Depends(require("tokens:write"))]


class TokenNew(Body):
    """A token to create."""

    name: str = Field(min_length=1, max_length=100, description="What it is for.", examples=["ci"])
    scopes: list[Scope] = Field(
        min_length=1, max_length=50, examples=[["tasks:read", "tasks:write"]]
    )
    project: Name | None = Field(
        default=None, description="Bind the token to this project; otherwise it reaches all."
    )
    expires_in: float | None = Field(
        default=None, gt=0, le=10 * 366 * 86400, description="Seconds until it expires."
    )


class TokenOut(BaseModel):
    """A token. Its secret cannot be read again."""

    id: UUID
    name: str
    project: str | None
    scopes: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None


class TokenCreated(TokenOut):
    """A new token with its text, which is shown this once."""

    token: str


class WhoAmI(BaseModel):
    """Who is asking, and what it may do."""

    principal: str = Field(examples=["admin:local"])
    kind: Kind
    project: str | None = Field(description="The project that it is bound to, by name.")
    scopes: list[str]
    expires_at: datetime | None


@router.get("/tokens", summary="List tokens in force, newest first")
async def list_tokens(
    keeper: _Keeper,
    tokens: _Tokens,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> Page[TokenOut]:
    key = page_key(cursor, UUID)
    async with database.connect() as conn:
        found = await tokens.list(conn, keeper, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].id) if len(found) > limit else None
    return Page(items=[_out(token) for token in page], next=more)


@router.post("/tokens", status_code=201, summary="Create a token")
async def create_token(
    new: TokenNew, keeper: _Keeper, tokens: _Tokens, change: Change
) -> TokenCreated:
    wanted = NewToken(new.name, tuple(new.scopes), new.project, new.expires_in)
    async with change() as conn:
        token, text = await tokens.create(conn, keeper, wanted)
    return TokenCreated(**_out(token).model_dump(), token=text)


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke a token")
async def revoke_token(token_id: UUID, keeper: _Keeper, tokens: _Tokens, change: Change) -> None:
    async with change() as conn:
        await tokens.revoke(conn, keeper, token_id)


@router.get("/whoami", summary="Tell who is asking")
async def who_am_i(asker: CurrentPrincipal, tokens: _Tokens) -> WhoAmI:
    return WhoAmI(
        principal=asker.name,
        kind=asker.kind,
        project=await tokens.project_name(asker.project_id),
        scopes=all_scopes(asker.scopes),
        expires_at=asker.expires_at,
    )


def _out(token: Token) -> TokenOut:
    return TokenOut.model_validate(token, from_attributes=True)
