"""``tokens`` and ``whoami``."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from podium.events.http import Change
from podium.kernel.web import Limit, PageCursor, api_router, page_cursor, page_key, provided
from podium.principals.http import CurrentPrincipal, require
from podium.principals.model import Principal, all_scopes
from podium.principals.service import NewToken, PrincipalService
from podium.principals.views import TokenCreated, TokenNew, TokenPage, Whoami, token_view
from podium.storage.database import Database

router = api_router("", "tokens")

_Tokens = Annotated[PrincipalService, Depends(provided(PrincipalService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Keeper = Annotated[Principal, Depends(require("tokens:write"))]


@router.get("/tokens", summary="List tokens in force, newest first")
async def list_tokens(
    keeper: _Keeper,
    tokens: _Tokens,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> TokenPage:
    key = page_key(cursor, UUID)
    async with database.connect() as conn:
        found = await tokens.list(conn, keeper, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].id) if len(found) > limit else None
    return TokenPage(items=[token_view(token) for token in page], next=more)


@router.post("/tokens", status_code=201, summary="Create a token")
async def create_token(
    new: TokenNew, keeper: _Keeper, tokens: _Tokens, change: Change
) -> TokenCreated:
    wanted = NewToken(new.name, tuple(new.scopes), new.project, new.expires_in, preset=new.preset)
    async with change() as conn:
        token, text = await tokens.create(conn, keeper, wanted)
    return TokenCreated(**token_view(token).model_dump(), token=text)


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke a token")
async def revoke_token(token_id: UUID, keeper: _Keeper, tokens: _Tokens, change: Change) -> None:
    """Those that were made with it, or with one of those, are revoked as well."""
    async with change() as conn:
        await tokens.revoke(conn, keeper, token_id)


@router.get("/whoami", summary="Tell who is asking")
async def who_am_i(asker: CurrentPrincipal, tokens: _Tokens) -> Whoami:
    return Whoami(
        principal=asker.name,
        kind=asker.kind,
        project=await tokens.project_name(asker.project_id),
        scopes=all_scopes(asker.scopes),
        expires_at=asker.expires_at,
    )
