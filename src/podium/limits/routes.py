"""``limits``."""

from typing import Annotated

from fastapi import Depends, Path

from podium.events.http import Change
from podium.kernel.fields import LimitPattern
from podium.kernel.web import Limit as PageSize
from podium.kernel.web import PageCursor, api_router, page_cursor, page_key, provided
from podium.limits.service import LimitService
from podium.limits.views import Limit, LimitPage, LimitPut, limit_view
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import CurrentProject
from podium.storage.database import Database

router = api_router("/limits", "limits")

_Limits = Annotated[LimitService, Depends(provided(LimitService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Reader = Annotated[Principal, Depends(require("limits:read"))]
_Writer = Annotated[Principal, Depends(require("limits:write"))]
_Name = Annotated[
    LimitPattern,
    Path(alias="limit", description="Name of the limit.", examples=["customer:*"]),
]


@router.get("", summary="List limits by name")
async def list_limits(
    reader: _Reader,
    project: CurrentProject,
    limits: _Limits,
    database: _Database,
    limit: PageSize = 50,
    cursor: PageCursor = None,
) -> LimitPage:
    reader.demand_all()
    key = page_key(cursor, str)
    async with database.connect() as conn:
        found = await limits.list(conn, project.id, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].name) if len(found) > limit else None
    return LimitPage(items=[limit_view(each, project.name) for each in page], next=more)


@router.get("/{limit:path}", summary="Read a limit")
async def get_limit(
    name: _Name, reader: _Reader, project: CurrentProject, limits: _Limits, database: _Database
) -> Limit:
    reader.demand_all()
    async with database.connect() as conn:
        return limit_view(await limits.get(conn, project.id, name), project.name)


@router.put("/{limit:path}", summary="Set a limit")
async def put_limit(
    name: _Name,
    put: LimitPut,
    writer: _Writer,
    project: CurrentProject,
    limits: _Limits,
    change: Change,
) -> Limit:
    """Tasks name it in `limits`. One that ends in `*`, such as `customer:*`, holds for each name
    that begins like it, and one of the whole name comes before it. What runs goes on, also where
    the limit became smaller."""
    async with change() as conn:
        found = await limits.put(conn, writer, project.id, name, put.concurrency, put.rate)
        return limit_view(found, project.name)


@router.delete("/{limit:path}", status_code=204, summary="Delete a limit")
async def delete_limit(
    name: _Name, writer: _Writer, project: CurrentProject, limits: _Limits, change: Change
) -> None:
    """Tasks that name it are limited by the family that it belongs to, or not at all. New ones that
    name it are refused where there is no such family."""
    async with change() as conn:
        await limits.delete(conn, writer, project.id, name)
