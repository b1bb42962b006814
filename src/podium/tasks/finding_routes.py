"""Many tasks over HTTP: lists, counts, exports, and changes of all that match."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.errors import InvalidInput
from podium.kernel.fields import Moment, Prose
from podium.kernel.web import Limit, api_router, label_filter, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import CurrentProject
from podium.scheduler.model import TaskState
from podium.storage.artifacts import Place
from podium.storage.database import Database
from podium.tasks.bulk import TaskBulk
from podium.tasks.filtering import CREATED, MOST_SORTED, Order, Window
from podium.tasks.finding import TaskFinder
from podium.tasks.model import Task, TaskPage
from podium.tasks.queries import (
    SEARCH,
    BulkCancel,
    BulkChanged,
    BulkDelete,
    BulkReprioritise,
    BulkRequest,
    BulkRetry,
    TaskCount,
    TaskQuery,
)
from podium.tasks.service import TaskService
from podium.tasks.store import Deleted

router = api_router("/tasks", "tasks")

_Finder = Annotated[TaskFinder, Depends(provided(TaskFinder))]
_Bulk = Annotated[TaskBulk, Depends(provided(TaskBulk))]
_Tasks = Annotated[TaskService, Depends(provided(TaskService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Reader = Annotated[Principal, Depends(require("tasks:read"))]
_Writer = Annotated[Principal, Depends(require("tasks:write"))]


async def _query(
    state: Annotated[list[TaskState], Query()] = [],  # noqa: B006 - FastAPI copies it
    agent: Annotated[str | None, Query(max_length=100)] = None,
    queue: Annotated[str | None, Query(max_length=100)] = None,
    label: Annotated[list[str], Query(description="key:value")] = [],  # noqa: B006
    search: Annotated[Prose | None, Query(min_length=1, max_length=500, description=SEARCH)] = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
) -> TaskQuery:
    return TaskQuery.model_construct(
        state=state,
        agent=agent,
        queue=queue,
        labels=label_filter(label),
        search=search,
        created_after=created_after,
        created_before=created_before,
    )


_Wanted = Annotated[TaskQuery, Depends(_query)]


@router.get("", operation_id="listTasks")
async def list_tasks(
    finder: _Finder,
    database: _Database,
    principal: _Reader,
    project: CurrentProject,
    wanted: _Wanted,
    sort: Annotated[
        Order,
        Query(
            description="By creation, `newest` or `oldest` first; or, of the 10,000 newest that "
            "match, those that `finished` last, took `longest` or have the highest `priority`."
        ),
    ] = Order.NEWEST,
    offset: Annotated[
        int, Query(ge=0, le=MOST_SORTED, description="So many of the first are passed over.")
    ] = 0,
    cursor: Annotated[
        UUID | None,
        Query(
            description="`next` of the page before, or any id: tasks beyond it follow. For lists "
            "in order of creation; others go on by `offset`."
        ),
    ] = None,
    limit: Limit = 50,
) -> TaskPage:
    """Tasks of a project, newest first unless sorted otherwise."""
    principal.demand_all()
    if cursor is not None and sort not in CREATED:
        raise InvalidInput(
            f"A list sorted by {sort.value!r} has no cursor.",
            hint="Pass `offset`: how many tasks of it you have.",
            field="cursor",
        )
    window = Window(limit + 1, offset, cursor, sort)
    async with database.connect() as conn:
        found = await finder.page(conn, project.id, project.name, wanted, window)
    items = found[:limit]
    more = len(found) > limit and sort in CREATED
    return TaskPage(items=items, next=str(items[-1].id) if more else None)


@router.get("/count", operation_id="countTasks")
async def count_tasks(
    finder: _Finder,
    database: _Database,
    principal: _Reader,
    project: CurrentProject,
    wanted: _Wanted,
    most: Annotated[
        int, Query(ge=1, le=100_000, description="Count no further than this.")
    ] = MOST_SORTED,
) -> TaskCount:
    """How many tasks match."""
    principal.demand_all()
    async with database.connect() as conn:
        found = await finder.count(conn, project.id, wanted, most + 1)
    return TaskCount(count=min(found, most), capped=found > most)


@router.get(
    "/export",
    operation_id="exportTasks",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A task in each line, as `GET /tasks/{task_id}` gives it. A broken "
            "connection is the only sign of an answer that is not whole.",
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}, "example": '{"id":...}\n'}
            },
        }
    },
)
async def export_tasks(
    finder: _Finder, principal: _Reader, project: CurrentProject, wanted: _Wanted
) -> StreamingResponse:
    """All tasks that match with all that is known of them, newest first, as lines of JSON."""
    principal.demand_all()
    chunks = finder.export(project.id, wanted)
    first = await anext(chunks, ())  # what is wrong with the query is told before the answer begins
    return StreamingResponse(
        _lines(first, chunks),
        media_type="application/x-ndjson",
        headers={"Cache-Control": "no-store"},
    )


async def _lines(
    first: Sequence[Task], chunks: AsyncGenerator[Sequence[Task]]
) -> AsyncGenerator[bytes]:
    async with aclosing(chunks):
        for task in first:
            yield _line(task)
        async for tasks in chunks:
            for task in tasks:
                yield _line(task)
                await asyncio.sleep(0)  # others have their turn: a task can be large


def _line(task: Task) -> bytes:
    return task.model_dump_json().encode() + b"\n"


# -- changes of all that match -------------------------------------------------------------------

_Do = Callable[[AsyncConnection, Sequence[UUID]], Awaitable[list[UUID]]]


async def _step(
    finder: TaskFinder,
    bulk: TaskBulk,
    database: Database,
    project_id: UUID,
    body: BulkRequest,
    do: _Do,
    *,
    order: Order = Order.NEWEST,
) -> BulkChanged:
    """Do something with the next tasks that match, in one transaction, in which they are judged
    once more: by then some may have moved on."""
    window = Window(body.limit, beyond=body.cursor, order=order)
    async with database.connect() as conn:
        await finder.require_words(conn, body.filter)
        ids = await finder.ids(conn, project_id, body.filter, window)
        to_change = bool(ids) and not body.dry_run
        read = await finder.read(conn, body.filter, ids) if to_change else ()
    changed: list[UUID] = []
    if to_change:
        async with database.transaction() as conn:
            await bulk.hold(conn, ids)
            still = await finder.still(conn, project_id, body.filter, ids, read)
            changed = await do(conn, still) if still else []
    following = ids[-1] if len(ids) == body.limit else None
    return BulkChanged(matched=ids, changed=changed, next=following)


@router.post("/cancel", operation_id="cancelTasks")
async def cancel_tasks(
    body: BulkCancel,
    finder: _Finder,
    bulk: _Bulk,
    database: _Database,
    principal: _Writer,
    project: CurrentProject,
) -> BulkChanged:
    """Cancel all tasks that match, a step at a time."""
    principal.demand_all()

    async def do(conn: AsyncConnection, ids: Sequence[UUID]) -> list[UUID]:
        return await bulk.cancel(conn, ids, principal.name, body.reason)

    return await _step(finder, bulk, database, project.id, body, do)


@router.post("/retry", operation_id="retryTasks")
async def retry_tasks(
    body: BulkRetry,
    finder: _Finder,
    bulk: _Bulk,
    database: _Database,
    principal: _Writer,
    project: CurrentProject,
) -> BulkChanged:
    """Retry all tasks that match, oldest first, a step at a time. A task that a dependency which
    did not succeed would cancel again at once stays as it is, unless that is retried before it."""
    principal.demand_all()

    async def do(conn: AsyncConnection, ids: Sequence[UUID]) -> list[UUID]:
        if not principal.has("tasks:execute") and await bulk.run_code(conn, ids):
            principal.demand("tasks:execute")
        return await bulk.retry(conn, ids, principal.name)

    return await _step(finder, bulk, database, project.id, body, do, order=Order.OLDEST)


@router.post("/reprioritise", operation_id="reprioritiseTasks")
async def reprioritise_tasks(
    body: BulkReprioritise,
    finder: _Finder,
    bulk: _Bulk,
    database: _Database,
    principal: _Writer,
    project: CurrentProject,
) -> BulkChanged:
    """Give all tasks that match another priority, a step at a time."""
    principal.demand_all()

    async def do(conn: AsyncConnection, ids: Sequence[UUID]) -> list[UUID]:
        return await bulk.reprioritise(conn, project.id, ids, body.priority, principal.name)

    return await _step(finder, bulk, database, project.id, body, do)


@router.post("/delete", operation_id="deleteTasks")
async def delete_tasks(
    body: BulkDelete,
    finder: _Finder,
    bulk: _Bulk,
    tasks: _Tasks,
    database: _Database,
    principal: _Writer,
    project: CurrentProject,
) -> BulkChanged:
    """Delete all tasks that match and have ended, with all that was kept, a step at a time. One on
    which an open task depends stays."""
    principal.demand_all()

    files: list[Place] = []

    async def do(conn: AsyncConnection, ids: Sequence[UUID]) -> list[UUID]:
        deleted = await bulk.delete(conn, project.id, ids, principal.name)
        files.extend(deleted.files)
        return deleted.ids

    done = await _step(finder, bulk, database, project.id, body, do)
    await tasks.delete_kept(Deleted(done.changed, files))
    return done
