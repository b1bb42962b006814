"""``applied``."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query

from podium.applied.service import AppliedService
from podium.applied.views import AppliedPage, SetPut, applied_view, place
from podium.events.http import Change
from podium.kernel.fields import Word
from podium.kernel.web import Limit, PageCursor, api_router, page_cursor, page_key, provided
from podium.principals.http import CurrentPrincipal
from podium.storage.database import Database

router = api_router("/applied", "applied")

_Applied = Annotated[AppliedService, Depends(provided(AppliedService))]
_Database = Annotated[Database, Depends(provided(Database))]


@router.get("", summary="List what was applied from files")
async def list_applied(
    asker: CurrentPrincipal,
    applied: _Applied,
    database: _Database,
    set_name: Annotated[
        Word | None, Query(alias="set", description="Only what belongs to this set.")
    ] = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> AppliedPage:
    """Of all projects, and of the kinds that the token may read."""
    asker.demand_all()
    after = page_key(cursor, UUID, str, str)
    async with database.connect() as conn:
        found = await applied.list(
            conn, asker, set_name, (after[0], after[1], after[2]) if after else None, limit + 1
        )
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    more = page_cursor(last.project_id, last.kind, last.name) if last else None
    return AppliedPage(items=[applied_view(each) for each in page], next=more)


@router.put("/{set}", status_code=204, summary="Record what was applied from files")
async def put_applied(
    set_name: Annotated[Word, Path(alias="set", description="Name of the set.")],
    put: SetPut,
    asker: CurrentPrincipal,
    applied: _Applied,
    change: Change,
) -> None:
    """Needs the scope that lets the token change things of these kinds. A thing belongs to one set:
    the last that it was applied with."""
    asker.demand_all()
    things = {place(each): each.fields for each in put.applied}
    async with change() as conn:
        await applied.record(conn, asker, set_name, things, [place(each) for each in put.removed])
