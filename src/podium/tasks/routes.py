"""Tasks over HTTP."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events.live import Feed, Wakeups
from podium.events.model import BEGINNING, Cursor
from podium.events.places import Kind, StreamPlaces
from podium.events.views import EventList, event_view
from podium.kernel.errors import Forbidden, InvalidInput, NotFound
from podium.kernel.web import Limit, api_router, provided
from podium.principals.http import require
from podium.principals.model import Principal, Scope
from podium.principals.service import PrincipalService
from podium.projects.http import CurrentProject
from podium.scheduler.service import Scheduler
from podium.storage.database import Database
from podium.tasks import explain as explaining
from podium.tasks.follow import Follower, log_channel
from podium.tasks.model import (
    AttemptList,
    BulkCreated,
    BulkNew,
    Cancelled,
    CancelRequest,
    Explanation,
    LogItem,
    LogPage,
    Task,
    TaskEdit,
    TaskNew,
)
from podium.tasks.service import TaskService
from podium.tasks.streaming import stream

router = api_router("/tasks", "tasks")

Tasks = Annotated[TaskService, Depends(provided(TaskService))]
Db = Annotated[Database, Depends(provided(Database))]
Reader = Annotated[Principal, Depends(require("tasks:read"))]
Writer = Annotated[Principal, Depends(require("tasks:write"))]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="The same key with the same request gives the same tasks, for a day.",
    ),
]


async def _may_submit(
    tasks: TaskService, principal: Principal, project_id: UUID, requests: Sequence[TaskNew]
) -> None:
    """Running commands and functions is a power of its own."""
    if not principal.has("tasks:execute") and await tasks.run_code(project_id, requests):
        principal.demand("tasks:execute")


async def may_run(
    tasks: TaskService, conn: AsyncConnection, principal: Principal, task_id: UUID
) -> None:
    """So is giving them something else to run, or running them again."""
    if not principal.has("tasks:execute") and await tasks.runs_code(conn, task_id):
        principal.demand("tasks:execute")


@router.post("", status_code=201, operation_id="createTask")
async def create_task(
    body: TaskNew, tasks: Tasks, principal: Writer, project: CurrentProject, key: Key = None
) -> Task:
    """Submit one task."""
    try:
        await _may_submit(tasks, principal, project.id, [body])
        return await tasks.create(project.id, project.name, principal.name, body, key)
    except (Forbidden, InvalidInput, NotFound):  # it may have been good when the key came first
        made = await tasks.created_before(project.id, body, key) if key else None
        if made is None:
            raise
        return made


@router.post("/bulk", status_code=201, operation_id="createTasks")
async def create_tasks(
    body: BulkNew, tasks: Tasks, principal: Writer, project: CurrentProject, key: Key = None
) -> BulkCreated:
    """Submit up to 10,000 tasks, which may depend on each other by their refs."""
    try:
        await _may_submit(tasks, principal, project.id, body.tasks)
        return await tasks.create_many(project.id, principal.name, body.tasks, key)
    except (Forbidden, InvalidInput, NotFound):  # as above
        made = await tasks.created_many_before(project.id, body.tasks, key) if key else None
        if made is None:
            raise
        return made


def _reached(scope: Scope) -> Callable[..., Awaitable[UUID]]:
    """A dependency that gives the id of a task which the principal reaches with this scope."""

    async def check(
        task_id: UUID,
        tasks: Tasks,
        database: Db,
        principal: Annotated[Principal, Depends(require(scope))],
    ) -> UUID:
        async with database.connect() as conn:
            principal.check_task(task_id, await tasks.project_of(conn, task_id))
        return task_id

    return check


Seen = Annotated[UUID, Depends(_reached("tasks:read"))]
Held = Annotated[UUID, Depends(_reached("tasks:write"))]


@router.get("/{task_id}", operation_id="getTask")
async def get_task(task_id: Seen, tasks: Tasks, database: Db) -> Task:
    """One task with its input, output and error."""
    async with database.connect() as conn:
        return await tasks.get(conn, task_id)


@router.put("/{task_id}", operation_id="editTask")
async def edit_task(
    task_id: Held, body: TaskEdit, tasks: Tasks, database: Db, principal: Writer
) -> Task:
    """Change a task that is pending or queued."""
    if "input" in body.model_fields_set:
        await tasks.check_input(task_id, body.input)
    async with database.transaction() as conn:
        if "input" in body.model_fields_set:
            await may_run(tasks, conn, principal, task_id)
        return await tasks.edit(conn, task_id, body, principal.name)


@router.delete("/{task_id}", status_code=204, operation_id="deleteTask")
async def delete_task(task_id: Held, tasks: Tasks, database: Db, principal: Writer) -> Response:
    """Remove an ended task with its attempts, logs and artifacts. Its events can be read until
    they are forgotten, and a last one tells who deleted it."""
    async with database.transaction() as conn:
        deleted = await tasks.delete(conn, task_id, principal.name)
    await tasks.delete_kept(deleted)
    return Response(status_code=204)


@router.post("/{task_id}/cancel", operation_id="cancelTask")
async def cancel_task(
    task_id: Held,
    tasks: Tasks,
    database: Db,
    principal: Writer,
    body: CancelRequest | None = None,
) -> Cancelled:
    """Cancel a task; a running one is asked to stop and ends within its agent's grace."""
    reason = (body or CancelRequest()).reason
    async with database.transaction() as conn:
        result = await tasks.cancel(conn, task_id, principal.name, reason)
    return Cancelled.model_validate({"result": result})


@router.post("/{task_id}/retry", operation_id="retryTask")
async def retry_task(task_id: Held, tasks: Tasks, database: Db, principal: Writer) -> Task:
    """Give a failed, dead or cancelled task another life. If a task that it depends on has failed,
    it does what its `on_dependency_failure` says; where that would cancel it again, it stays as it
    is and the answer is 409: retry that one first."""
    async with database.transaction() as conn:
        await may_run(tasks, conn, principal, task_id)
        return await tasks.retry(conn, task_id, principal.name)


@router.get("/{task_id}/history", operation_id="getTaskHistory")
async def task_history(
    task_id: Seen,
    tasks: Tasks,
    database: Db,
    limit: Limit = 1000,
    cursor: Annotated[
        str | None,
        Query(max_length=60, description="`next` of the page before, or the cursor of an event."),
    ] = None,
) -> EventList:
    """Transitions of the task, oldest first; the last page has the newest."""
    after = BEGINNING if cursor is None else Cursor.parse(cursor, "cursor")
    async with database.connect() as conn:
        found, more, project = await tasks.history(conn, task_id, after, limit)
    items = [event_view(each, project) for each in found]
    return EventList(items=items, next=items[-1].cursor if more else None)


@router.get("/{task_id}/attempts", operation_id="listAttempts")
async def list_attempts(task_id: Seen, tasks: Tasks, database: Db) -> AttemptList:
    """The tries at the task, oldest first, the live one included."""
    async with database.connect() as conn:
        return AttemptList(items=await tasks.attempts(conn, task_id))


@router.get("/{task_id}/logs", operation_id="getTaskLogs")
async def task_logs(
    task_id: Seen,
    tasks: Tasks,
    database: Db,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    attempt: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    limit: Limit = 500,
) -> LogPage:
    """Output of the task's attempts, in order."""
    async with database.connect() as conn:
        found = await tasks.logs(conn, task_id, after, attempt, limit + 1)
    items = found[:limit]
    return LogPage(items=items, next=items[-1].id if len(found) > limit else None)


async def _follower(
    tasks: Tasks,
    database: Db,
    wakeups: Annotated[Wakeups, Depends(provided(Wakeups))],
    feed: Annotated[Feed, Depends(provided(Feed))],
) -> Follower[LogItem]:
    async def read(
        conn: AsyncConnection, task_id: UUID, after: int, limit: int
    ) -> Sequence[LogItem]:
        return await tasks.logs(conn, task_id, after, None, limit)

    return Follower(tasks, database, wakeups, feed, read)


async def stream_place(
    reader: Reader, places: Annotated[StreamPlaces, Depends(provided(StreamPlaces))]
) -> AsyncGenerator[None]:
    """Held until the answer is sent."""
    with places.place(Kind.LOGS, reader.id):
        yield


@router.get(
    "/{task_id}/logs/stream",
    operation_id="followTaskLogs",
    dependencies=[Depends(stream_place)],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `log` with a piece of output as JSON, whose `id` "
            "is what to read on after; `end` when the task has ended and all its output was "
            "sent. A stream that ends without it was broken off.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'id: 7\nevent: log\ndata: {"id":7,...}\n\n',
                }
            },
        }
    },
)
async def follow_logs(
    request: Request,
    task_id: Seen,
    follower: Annotated[Follower[LogItem], Depends(_follower)],
    principals: Annotated[PrincipalService, Depends(provided(PrincipalService))],
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    last_event_id: Annotated[
        int | None, Header(ge=0, lt=2**63, description="Id to go on after, as `after`.")
    ] = None,
) -> StreamingResponse:
    """Output as it comes, until the task has ended."""
    start = after if last_event_id is None else last_event_id
    credential = request.scope["state"]["credential"]
    batches = follower.follow(task_id, start, log_channel(task_id))
    return StreamingResponse(
        stream(batches, principals, credential, "log"),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/{task_id}/explain", operation_id="explainTask")
async def explain_task(
    task_id: Seen,
    database: Db,
    scheduler: Annotated[Scheduler, Depends(provided(Scheduler))],
) -> Explanation:
    """Why the task is where it is, and why this agent."""
    async with database.connect() as conn:
        return await explaining.explain(conn, task_id, scheduler.gates)
