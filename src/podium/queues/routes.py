"""``queues``."""

from typing import Annotated, Any

from fastapi import Depends, Path

from podium.events.http import Change
from podium.kernel.fields import Word
from podium.kernel.web import Limit, PageCursor, api_router, page_cursor, page_key, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import CurrentProject
from podium.queues.service import QueueService
from podium.queues.views import Queue, QueueEdit, QueuePage, queue_view
from podium.storage.database import Database

router = api_router("/queues", "queues")

_Queues = Annotated[QueueService, Depends(provided(QueueService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Reader = Annotated[Principal, Depends(require("queues:read"))]
_Writer = Annotated[Principal, Depends(require("queues:write"))]
_Name = Annotated[Word, Path(alias="queue", description="Name of the queue.", examples=["default"])]


@router.get("", summary="List queues by name")
async def list_queues(
    reader: _Reader,
    project: CurrentProject,
    queues: _Queues,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> QueuePage:
    """Those that tasks came to, and those that something was laid down for."""
    reader.demand_all()
    key = page_key(cursor, str)
    async with database.connect() as conn:
        found = await queues.list(conn, project.id, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].name) if len(found) > limit else None
    return QueuePage(items=[queue_view(queue, project.name) for queue in page], next=more)


@router.get("/{queue}", summary="Read a queue")
async def get_queue(
    name: _Name, reader: _Reader, project: CurrentProject, queues: _Queues, database: _Database
) -> Queue:
    reader.demand_all()
    async with database.connect() as conn:
        return queue_view(await queues.get(conn, project.id, name), project.name)


@router.put("/{queue}", summary="Limit, pause, drain or open a queue")
async def edit_queue(
    name: _Name,
    edit: QueueEdit,
    writer: _Writer,
    project: CurrentProject,
    queues: _Queues,
    change: Change,
) -> Queue:
    """The queue need not have been used before. Workers obey from their next claim on: what one
    takes at this very moment may still start."""
    wanted: dict[str, Any] = {field: getattr(edit, field) for field in edit.model_fields_set}
    async with change() as conn:
        return queue_view(await queues.change(conn, writer, project.id, name, wanted), project.name)


@router.delete("/{queue}", status_code=204, summary="Take away all that was laid down for a queue")
async def reset_queue(
    name: _Name, writer: _Writer, project: CurrentProject, queues: _Queues, change: Change
) -> None:
    """Its tasks stay; nothing but workers and agents limits them any more."""
    async with change() as conn:
        await queues.delete(conn, writer, project.id, name)
