"""``filters``."""

from typing import Annotated

from fastapi import Depends, Path

from podium.events.http import Change
from podium.filters.service import FilterService
from podium.filters.views import FilterPut, SavedFilter, SavedFilterPage, filter_view
from podium.kernel.fields import Word
from podium.kernel.web import Limit, PageCursor, api_router, page_cursor, page_key, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import CurrentProject
from podium.storage.database import Database

router = api_router("/filters", "filters")

_Filters = Annotated[FilterService, Depends(provided(FilterService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Reader = Annotated[Principal, Depends(require("tasks:read"))]
_Writer = Annotated[Principal, Depends(require("tasks:write"))]
_Name = Annotated[Word, Path(alias="filter", description="Name of the filter.")]


@router.get("", summary="List saved filters by name")
async def list_filters(
    reader: _Reader,
    project: CurrentProject,
    filters: _Filters,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> SavedFilterPage:
    reader.demand_all()
    key = page_key(cursor, str)
    async with database.connect() as conn:
        found = await filters.list(conn, project.id, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].name) if len(found) > limit else None
    return SavedFilterPage(items=[filter_view(each, project.name) for each in page], next=more)


@router.get("/{filter}", summary="Read a saved filter")
async def get_filter(
    name: _Name, reader: _Reader, project: CurrentProject, filters: _Filters, database: _Database
) -> SavedFilter:
    reader.demand_all()
    async with database.connect() as conn:
        return filter_view(await filters.get(conn, project.id, name), project.name)


@router.put("/{filter}", summary="Save a filter")
async def put_filter(
    name: _Name,
    put: FilterPut,
    writer: _Writer,
    project: CurrentProject,
    filters: _Filters,
    change: Change,
) -> SavedFilter:
    """For all who see the project, in place of the one that had the name."""
    writer.demand_all()
    async with change() as conn:
        made = await filters.put(
            conn, writer, project.id, name, put.description, put.filter, put.sort.value
        )
        return filter_view(made, project.name)


@router.delete("/{filter}", status_code=204, summary="Delete a saved filter")
async def delete_filter(
    name: _Name, writer: _Writer, project: CurrentProject, filters: _Filters, change: Change
) -> None:
    writer.demand_all()
    async with change() as conn:
        await filters.delete(conn, writer, project.id, name)
