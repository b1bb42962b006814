"""A client of the event stream over WebSocket."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.podium_server import Server
from benchmarks.processes import ProcessFailed

MESSAGE_BYTES = 2**24


@dataclass(frozen=True)
class Arrival:
    """An event, and when it arrived on the clocks of ``time.time`` and ``time.monotonic``."""

    event: dict[str, Any]
    at: float
    monotonic: float


@asynccontextmanager
async def subscribe(server: Server) -> AsyncGenerator[AsyncIterator[Arrival]]:
    """Events from now on. ``ProcessFailed`` when the server ends the stream."""
    url = server.url.replace("http", "ws", 1) + "/ws/orchestration"
    async with connect(url, max_size=MESSAGE_BYTES) as socket:
        await socket.send(json.dumps({"type": "subscribe", "token": server.token}))
        first = json.loads(await socket.recv())
        if first["type"] != "subscribed":
            raise ProcessFailed(f"the server refused the subscription: {first}")

        async def arrivals() -> AsyncIterator[Arrival]:
            try:
                while True:
                    text = await socket.recv()
                    at, monotonic = time.time(), time.monotonic()
                    message = json.loads(text)
                    if message["type"] == "event":
                        yield Arrival(message["event"], at, monotonic)
            except ConnectionClosed as error:
                raise ProcessFailed(f"the server ended the event stream: {error}") from None

        yield arrivals()
