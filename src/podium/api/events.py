"""``events``: pages and server-sent events."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query, Request

from podium.api.sse import ServerSentEvents
from podium.api.streams import Batch, EventStreams, Wish
from podium.events import store
from podium.events.live import Feed
from podium.events.model import Cursor, Event, EventFilter
from podium.events.places import Kind, StreamPlaces
from podium.events.views import EventList, event_view
from podium.kernel.errors import InvalidInput, Unauthenticated
from podium.kernel.web import Limit, api_router, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.service import ProjectService
from podium.storage.database import Database

router = api_router("/events", "events")

_SEARCH_SECONDS = 2.0
_CHUNK_BYTES = 64 * 1024
_RETRY_MS = 1000

_Reader = Annotated[Principal, Depends(require("events:read"))]
_Streams = Annotated[EventStreams, Depends(provided(EventStreams))]
_CursorText = Annotated[
    str | None,
    Query(max_length=60, description="Cursor to read on after.", examples=["1.7312.88041"]),
]


async def _wish(
    after: _CursorText = None,
    types: Annotated[
        list[str],
        Query(
            alias="type",
            max_length=100,
            description="Types to see, or prefixes such as `task.*`; all when left out.",
        ),
    ] = [],  # noqa: B006 - FastAPI copies it
    subjects: Annotated[
        list[UUID],
        Query(alias="subject", max_length=1000, description="Ids of tasks, agents, … to see."),
    ] = [],  # noqa: B006
    project: Annotated[
        str | None,
        Query(
            max_length=63,
            description="Name of the project; `*` for all that the token may see, and what "
            "belongs to none. Default: the token's project, else `default`.",
        ),
    ] = None,
) -> Wish:
    cursor = Cursor.parse(after) if after is not None else None
    return Wish(project, cursor, tuple(types), frozenset(subjects))


_Wish = Annotated[Wish, Depends(_wish)]


@router.get("", summary="Read events in order")
async def list_events(
    reader: _Reader,
    wish: _Wish,
    streams: _Streams,
    feed: Annotated[Feed, Depends(provided(Feed))],
    database: Annotated[Database, Depends(provided(Database))],
    projects: Annotated[ProjectService, Depends(provided(ProjectService))],
    limit: Limit = 50,
    last: Annotated[
        int | None,
        Query(ge=1, le=10_000, description="The newest so many, instead of `after` and `limit`."),
    ] = None,
) -> EventList:
    """Oldest first. Without `after` and `last`, from the oldest that is kept. `next` is where to
    go on, also when the page is short or empty: all events so far were looked at once a page is
    empty and `next` stays."""
    wanted = await streams.filter_for(reader, wish)
    if last is None:
        start = await _start(feed, database, wish.after)
        found, cursor = await _page(database, start, wanted, limit)
    elif wish.after is None:
        found, cursor = await _newest(database, wanted, last)
    else:
        raise InvalidInput(
            "`after` and `last` exclude each other.",
            hint="Leave out `after` for the newest events, `last` to go on from a cursor.",
            field="last",
        )
    items = [
        event_view(each, await projects.name(each.project_id) if each.project_id else None)
        for each in found
    ]
    return EventList(items=items, next=str(cursor))


async def _start(feed: Feed, database: Database, after: Cursor | None) -> Cursor:
    if after is not None:
        return await feed.begin(after)
    async with database.connect() as conn:
        return await store.floor(conn)


async def _page(
    database: Database, cursor: Cursor, wanted: EventFilter, limit: int
) -> tuple[list[Event], Cursor]:
    """Events after the cursor, as far as they are found in time, and where to go on."""
    found: list[Event] = []
    deadline, ended = time.monotonic() + _SEARCH_SECONDS, False
    async with database.connect() as conn:
        while len(found) < limit and not ended and time.monotonic() < deadline:
            more, cursor, ended = await store.scan(conn, cursor, wanted, limit - len(found))
            found += more
    return found, cursor


async def _newest(
    database: Database, wanted: EventFilter, count: int
) -> tuple[list[Event], Cursor]:
    """The newest events that are found in time, oldest first, and where to go on after them."""
    found: list[Event] = []
    deadline, ended = time.monotonic() + _SEARCH_SECONDS, False
    async with database.connect() as conn:
        end = before = (await store.edge(conn)).cursor
        while len(found) < count and not ended and time.monotonic() < deadline:
            more, before, ended = await store.scan_back(conn, before, wanted, count - len(found))
            found += more
    return found[::-1], end


async def _place(
    reader: _Reader, places: Annotated[StreamPlaces, Depends(provided(StreamPlaces))]
) -> AsyncGenerator[None]:
    """Held until the answer is sent."""
    with places.place(Kind.EVENTS, reader.id):
        yield


_STREAM_DOCS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events as they come: `id` is the cursor, `event` the type, `data` the "
        "event as JSON. Every 15 seconds a comment and an `id` show that the stream lives. It "
        "ends within 5 seconds after the token was revoked or expired.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": "id: 1.7312.88041\nevent: task.completed\ndata: {...}\n\n",
            }
        },
    }
}


@router.get(
    "/stream",
    summary="Follow events",
    dependencies=[Depends(_place)],
    response_class=ServerSentEvents,
    responses=_STREAM_DOCS,
)
async def stream_events(
    request: Request,
    reader: _Reader,
    wish: _Wish,
    streams: _Streams,
    last_event_id: Annotated[
        str | None, Header(max_length=60, description="Cursor to go on after, as `after`.")
    ] = None,
) -> ServerSentEvents:
    """Begins now, or after the cursor that is given: nothing is lost or repeated across
    reconnects."""
    after = Cursor.parse(last_event_id) if last_event_id else wish.after
    wanted = await streams.filter_for(reader, wish)
    cursor = await streams.begin(after)
    credential = request.scope["state"]["credential"]
    batches = streams.follow("sse", credential, cursor, wanted)
    return ServerSentEvents(_chunks(streams, cursor, batches))


async def _chunks(
    streams: EventStreams, start: Cursor, batches: AsyncGenerator[Batch]
) -> AsyncGenerator[bytes]:
    yield b"retry: %d\nid: %s\n\n" % (_RETRY_MS, str(start).encode())
    with suppress(Unauthenticated):  # the client finds out why when it comes back
        async with aclosing(batches):
            async for batch in batches:
                if not batch.events:
                    yield b": still here\nid: %s\n\n" % str(batch.cursor).encode()
                async for chunk in _rendered(streams, batch.events):
                    yield chunk


async def _rendered(streams: EventStreams, events: list[Event]) -> AsyncIterator[bytes]:
    chunk = bytearray()
    for event in events:
        chunk += b"id: %s\nevent: %s\ndata: %s\n\n" % (
            str(event.cursor).encode(),
            event.type.encode(),
            await streams.render(event),
        )
        if len(chunk) > _CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
