"""Server-sent events that notice a client that left, and one that takes nothing any more."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from podium.api.streams import STUCK_SECONDS

_log = structlog.get_logger(__name__)


class ServerSentEvents(Response):
    """Sends chunks as they come; each waits until the socket has taken the one before."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes], status_code: int = 200) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(status_code=status_code, headers=headers)
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        pump = asyncio.create_task(self._pump(send))
        watch = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({pump, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, watch):
                task.cancel()
            await asyncio.gather(pump, watch, return_exceptions=True)
        if not pump.cancelled():
            pump.result()

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._chunks):
            async for chunk in self._chunks:
                message = {"type": "http.response.body", "body": chunk, "more_body": True}
                if not await sent(send, message):
                    _log.warning("stream.client_stuck", kind="sse")
                    break
        # It waits until the socket takes something again, or is gone.
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def sent(send: Send, message: Message) -> bool:
    """Send the message; False when the socket took nothing for 30 seconds."""
    try:
        async with asyncio.timeout(STUCK_SECONDS):
            await send(message)
    except TimeoutError:
        return False
    return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
