"""``sessions``, and of ``agents`` what begins and ends them."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events.http import Change
from podium.events.live import Feed, Wakeups
from podium.kernel.errors import Forbidden, InvalidInput, NotFound
from podium.kernel.web import (
    Limit,
    PageCursor,
    api_router,
    label_filter,
    page_cursor,
    page_key,
    provided,
)
from podium.principals.http import require
from podium.principals.model import Principal
from podium.principals.service import PrincipalService
from podium.projects.http import CurrentProject
from podium.sessions.model import SessionFilter, SessionState, transcript_channel
from podium.sessions.service import SessionService
from podium.sessions.views import (
    Session,
    SessionInput,
    SessionNew,
    SessionPage,
    Terminate,
    Terminated,
    Transcript,
    TranscriptEntry,
    entry_view,
    session_view,
)
from podium.storage.database import Database
from podium.tasks.follow import Follower
from podium.tasks.routes import Held, Key, Seen, Tasks, may_run, stream_place
from podium.tasks.streaming import stream

router = api_router("/sessions", "sessions")
agents_router = api_router("/agents", "agents")

_Sessions = Annotated[SessionService, Depends(provided(SessionService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Reader = Annotated[Principal, Depends(require("tasks:read"))]
_Writer = Annotated[Principal, Depends(require("tasks:write"))]
_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="The same key with the same input says it once in a session, and gives the "
        "entry of the first time.",
    ),
]
_After = Annotated[int, Query(ge=0, lt=2**31, description="Id of the entry to read on after.")]


@agents_router.post("/spawn", status_code=201, summary="Begin a session")
async def spawn_agent(
    new: SessionNew,
    writer: _Writer,
    project: CurrentProject,
    sessions: _Sessions,
    database: _Database,
    change: Change,
    key: Key = None,
) -> Session:
    """A task that people can talk to while it runs: it is claimed, leased, limited and explained
    like any other."""
    try:
        async with database.connect() as conn:
            config = await sessions.configured(conn, writer, project.id, new)
        task = await sessions.prepare(writer, project.id, new, config)
    except (Forbidden, InvalidInput, NotFound):  # its agent may have changed since the key came
        made = await sessions.spawned_before(project.id, new, key) if key else ()
        if not made:
            raise
        async with database.connect() as conn:
            return session_view(await sessions.get(conn, made[0]))
    async with change() as conn:
        return session_view(await sessions.spawn(conn, writer, task, new, key))


@agents_router.post("/{agent}/terminate", summary="End sessions")
async def terminate_sessions(
    key: Annotated[
        str, Path(alias="agent", max_length=100, description="Id of a session, or an agent.")
    ],
    writer: _Writer,
    project: CurrentProject,
    sessions: _Sessions,
    change: Change,
    body: Terminate | None = None,
) -> Terminated:
    """One session by its id, or all of an agent by its name or id. Their whole process trees end
    within the grace of the agent."""
    reason = (body or Terminate()).reason
    async with change() as conn:
        ended = await sessions.terminate(conn, writer, project.id, key, reason)
    return Terminated(sessions=list(ended))


@router.get("", summary="List sessions, newest first")
async def list_sessions(
    reader: _Reader,
    project: CurrentProject,
    sessions: _Sessions,
    database: _Database,
    state: Annotated[list[SessionState], Query(description="In one of these states.")] = [],  # noqa: B006
    agent: Annotated[str | None, Query(max_length=100, description="Name of the agent.")] = None,
    label: Annotated[list[str], Query(description="key:value")] = [],  # noqa: B006
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> SessionPage:
    reader.demand_all()
    key = page_key(cursor, UUID)
    wanted = SessionFilter(tuple(state), agent, label_filter(label))
    async with database.connect() as conn:
        found = await sessions.list(conn, project.id, wanted, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(str(page[-1].id)) if len(found) > limit else None
    return SessionPage(items=[session_view(each) for each in page], next=more)


@router.get("/{task_id}", summary="Read a session")
async def get_session(task_id: Seen, sessions: _Sessions, database: _Database) -> Session:
    async with database.connect() as conn:
        return session_view(await sessions.get(conn, task_id))


@router.delete("/{task_id}", status_code=204, summary="Delete a session that has ended")
async def delete_session(
    task_id: Held, tasks: Tasks, sessions: _Sessions, writer: _Writer, change: Change
) -> Response:
    """With its task: the attempts, what was said, logs and artifacts."""
    async with change() as conn:
        await sessions.get(conn, task_id)
        deleted = await tasks.delete(conn, task_id, writer.name)
    await tasks.delete_kept(deleted)
    return Response(status_code=204)


@router.post("/{task_id}/input", status_code=201, summary="Say something to an agent")
async def send_input(
    task_id: Held,
    body: SessionInput,
    sessions: _Sessions,
    tasks: Tasks,
    writer: _Writer,
    change: Change,
    key: _Key = None,
) -> TranscriptEntry:
    """The agent gets it once it has answered what was said before."""
    async with change() as conn:
        await may_run(tasks, conn, writer, task_id)
        said = await sessions.send(conn, writer, task_id, body.text, body.data, key)
        return entry_view(said)


@router.post("/{task_id}/pause", summary="Have the agent of a session stand still")
async def pause_session(
    task_id: Held, sessions: _Sessions, writer: _Writer, change: Change
) -> Session:
    """Its processes are stopped, a function at its next step, until the session is resumed. It
    keeps its place at its worker."""
    async with change() as conn:
        return session_view(await sessions.pause(conn, writer, task_id, paused=True))


@router.post("/{task_id}/resume", summary="Have the agent of a session go on")
async def resume_session(
    task_id: Held, sessions: _Sessions, writer: _Writer, change: Change
) -> Session:
    async with change() as conn:
        return session_view(await sessions.pause(conn, writer, task_id, paused=False))


@router.post("/{task_id}/close", summary="Say nothing more in a session")
async def close_session(
    task_id: Held, sessions: _Sessions, writer: _Writer, change: Change
) -> Session:
    """Its agent deals with what was said, finds the end of its input, and ends by itself."""
    async with change() as conn:
        return session_view(await sessions.close(conn, writer, task_id))


@router.get("/{task_id}/transcript", summary="Read what was said")
async def get_transcript(
    task_id: Seen,
    sessions: _Sessions,
    database: _Database,
    after: _After = 0,
    limit: Limit = 500,
) -> Transcript:
    async with database.connect() as conn:
        session = await sessions.get(conn, task_id)
        found = await sessions.transcript(conn, task_id, after, limit)
    items = [entry_view(each) for each in found]
    more = bool(items) and items[-1].id < session.entries
    return Transcript(items=items, next=items[-1].id if more else None)


async def _follower(
    tasks: Tasks,
    sessions: _Sessions,
    database: _Database,
    wakeups: Annotated[Wakeups, Depends(provided(Wakeups))],
    feed: Annotated[Feed, Depends(provided(Feed))],
) -> Follower[TranscriptEntry]:
    async def read(
        conn: AsyncConnection, task_id: UUID, after: int, limit: int
    ) -> Sequence[TranscriptEntry]:
        return [entry_view(each) for each in await sessions.transcript(conn, task_id, after, limit)]

    return Follower(tasks, database, wakeups, feed, read)


@router.get(
    "/{task_id}/transcript/stream",
    summary="Follow what is said",
    dependencies=[Depends(stream_place)],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `entry` with what was said as JSON, whose `id` is "
            "what to read on after; `end` when the session has ended and all was sent. A stream "
            "that ends without it was broken off.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'id: 7\nevent: entry\ndata: {"id":7,...}\n\n',
                }
            },
        }
    },
)
async def follow_transcript(
    request: Request,
    task_id: Seen,
    sessions: _Sessions,
    database: _Database,
    follower: Annotated[Follower[TranscriptEntry], Depends(_follower)],
    principals: Annotated[PrincipalService, Depends(provided(PrincipalService))],
    after: _After = 0,
    last_event_id: Annotated[
        int | None, Header(ge=0, lt=2**31, description="Id to go on after, as `after`.")
    ] = None,
) -> StreamingResponse:
    """What is said as it comes, until the session has ended."""
    async with database.connect() as conn:
        await sessions.get(conn, task_id)
    start = after if last_event_id is None else last_event_id
    credential = request.scope["state"]["credential"]
    batches = follower.follow(task_id, start, transcript_channel(task_id))
    return StreamingResponse(
        stream(batches, principals, credential, "entry"),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


router.routes.extend(agents_router.routes)
