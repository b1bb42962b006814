"""``/ws/orchestration``: events over a WebSocket.

The client sends one message, ``{"type": "subscribe", …}``; everything else comes from the server.
"""

import asyncio
from contextlib import aclosing, suppress
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
import structlog
from fastapi import APIRouter, Depends, WebSocket
from pydantic import Field, ValidationError
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from podium.api.errors import InternalError, from_validation, problem
from podium.api.sse import sent
from podium.api.streams import Batch, EventStreams, Wish
from podium.events.model import Cursor
from podium.events.places import Kind, StreamPlaces
from podium.kernel.errors import InvalidInput, PodiumError, Unauthenticated
from podium.kernel.fields import Body
from podium.kernel.json_text import holds_nul
from podium.kernel.web import PREFIX, provided, unknown_parameters
from podium.principals.service import PrincipalService

_log = structlog.get_logger(__name__)

router = APIRouter()

_GREETING_SECONDS = 10.0
RESTARTING = 1012
SLOW = 4408
CLOSE_CODES = {401: 4401, 403: 4403, 404: 4403, 410: 4410, 429: 1013, 503: 1013, 500: 1011}
BAD_MESSAGE = 4400


class Subscribe(Body):
    """The client's one message."""

    type: Literal["subscribe"]
    token: str | None = Field(default=None, max_length=200)
    project: str | None = Field(default=None, max_length=63)
    after: str | None = Field(default=None, max_length=60)
    types: list[str] = Field(default=[], max_length=100)
    subjects: list[UUID] = Field(default=[], max_length=1000)


class _Left(Exception):
    """The client closed the socket."""


@router.websocket("/ws/orchestration")
@router.websocket(PREFIX + "/ws/orchestration")
async def follow_events(
    socket: WebSocket,
    streams: Annotated[EventStreams, Depends(provided(EventStreams))],
    principals: Annotated[PrincipalService, Depends(provided(PrincipalService))],
    places: Annotated[StreamPlaces, Depends(provided(StreamPlaces))],
) -> None:
    """Accept, wait for the subscription, then send events until either side ends."""
    await socket.accept()
    await _Session(socket, streams, principals, places).run()


class _Session:
    """One accepted WebSocket."""

    def __init__(
        self,
        socket: WebSocket,
        streams: EventStreams,
        principals: PrincipalService,
        places: StreamPlaces,
    ) -> None:
        self._socket = socket
        self._streams = streams
        self._principals = principals
        self._places = places

    async def run(self) -> None:
        try:
            subscribe = await self._greeting()
            watch = asyncio.create_task(self._watch())
            pump = asyncio.create_task(self._pump(subscribe))
            done, _ = await asyncio.wait({watch, pump}, return_when=asyncio.FIRST_COMPLETED)
            for task in (watch, pump):
                task.cancel()
            await asyncio.gather(watch, pump, return_exceptions=True)
            for task in done:
                task.result()
        except _Left:
            return
        except PodiumError as error:
            with suppress(_Left):
                await self._end(error)
        except Exception:  # noqa: BLE001 - the client is told, and the log
            _log.exception("stream.failed", kind="websocket")
            with suppress(_Left):
                await self._end(InternalError("Podium failed to follow events for you."))

    async def _greeting(self) -> Subscribe:
        if unknown := unknown_parameters(self._socket.query_params, ()):
            raise from_validation(unknown)
        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise InvalidInput(
                "No subscription came in time.", hint='Send {"type": "subscribe"} first.'
            ) from None
        data = message.get("text") or message.get("bytes") or b""
        try:
            subscribe = Subscribe.model_validate_json(data)
        except ValidationError as error:
            found = [{**item, "loc": ("message", *item["loc"])} for item in error.errors()]
            raise from_validation(found, Subscribe) from None
        if holds_nul(subscribe.model_dump_json().encode()):
            raise InvalidInput("The subscription holds a NUL character.", hint="Remove it.")
        return subscribe

    async def _watch(self) -> None:
        await self._receive()
        raise InvalidInput(
            "One subscription is all that a client may send.",
            hint="Open another WebSocket for another subscription.",
        )

    async def _receive(self) -> Message:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise _Left
        return message

    async def _pump(self, subscribe: Subscribe) -> None:
        credential = subscribe.token or self._socket.scope["state"].get("credential")
        if credential is None:
            raise Unauthenticated("This needs a token.", hint="Send it as `token`.")
        principal = await self._principals.authenticate(credential)
        self._socket.scope["state"]["principal"] = principal
        after = Cursor.parse(subscribe.after) if subscribe.after else None
        wish = Wish(subscribe.project, after, tuple(subscribe.types), frozenset(subscribe.subjects))
        wanted = await self._streams.filter_for(principal, wish)
        with self._places.place(Kind.EVENTS, principal.id):
            cursor = await self._streams.begin(after)
            await self._send({"type": "subscribed", "cursor": str(cursor)})
            batches = self._streams.follow("websocket", credential, cursor, wanted)
            async with aclosing(batches):
                async for batch in batches:
                    await self._send_batch(batch)
        await self._socket.close(RESTARTING, "The server is restarting.")

    async def _send_batch(self, batch: Batch) -> None:
        if not batch.events:
            await self._send({"type": "heartbeat", "cursor": str(batch.cursor)})
        for event in batch.events:
            await self._send_text(
                b'{"type":"event","cursor":"%s","event":%s}'
                % (str(event.cursor).encode(), await self._streams.render(event))
            )

    async def _send(self, message: dict[str, Any]) -> None:
        await self._send_text(orjson.dumps(message, default=str))

    async def _send_text(self, text: bytes) -> None:
        message = {"type": "websocket.send", "text": text.decode()}
        try:
            if await sent(self._socket.send, message):
                return
            _log.warning("stream.client_stuck", kind="websocket")
            # It waits until the socket takes something again, or is gone.
            await self._socket.close(SLOW, "Nothing was taken for 30 seconds.")
        except WebSocketDisconnect:
            pass
        raise _Left

    async def _end(self, error: PodiumError) -> None:
        request_id = self._socket.scope["state"].get("request_id")
        await self._send({"type": "error", "problem": problem(error, request_id)})
        await self._socket.close(CLOSE_CODES.get(error.status, BAD_MESSAGE), error.title)
