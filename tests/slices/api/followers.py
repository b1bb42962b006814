"""Following events of a live server, for the tests of streams."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect

from podium.events import store
from podium.events.live import Wakeups
from podium.events.model import NewEvent
from podium.kernel.ids import uuid7
from podium.storage.database import Database
from servers import LiveApi

PATH = "/api/v1/orchestration"


class Client:
    """Follows events of a live server, with server-sent events or the WebSocket."""

    def __init__(self, api: LiveApi, token: str) -> None:
        self.api = api
        self.token = token

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @asynccontextmanager
    async def sse(self, **query: Any) -> AsyncGenerator[AsyncIterator[dict[str, str]]]:
        """The messages of one connection, with their fields."""
        async with (
            httpx.AsyncClient(base_url=self.api.url, headers=self.headers) as client,
            client.stream("GET", f"{PATH}/events/stream", params=query, timeout=30) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            yield messages_of(answer)

    @asynccontextmanager
    async def websocket(
        self, path: str = "/ws/orchestration", **subscribe: Any
    ) -> AsyncGenerator[ClientConnection]:
        url = self.api.url.replace("http", "ws") + path
        async with connect(url, additional_headers=self.headers) as socket_:
            await socket_.send(orjson.dumps({"type": "subscribe", **subscribe}).decode())
            yield socket_

    async def post(self, path: str, body: Any) -> Any:
        async with httpx.AsyncClient(base_url=self.api.url, headers=self.headers) as client:
            answer = await client.post(PATH + path, json=body)
            assert answer.status_code == 201, answer.text
            return answer.json()


async def messages_of(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """The messages of an answer of server-sent events, with their fields."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            yield fields
            fields = {}


async def write(api: LiveApi, *names: str) -> None:
    """Write events of these types, and wake who follows."""
    database: Database = api.app.state.services[Database]
    wakeups: Wakeups = api.app.state.services[Wakeups]
    async with database.transaction() as conn:
        await store.append(conn, [NewEvent(name, uuid7(), data={"n": name}) for name in names])
    wakeups.feed()


async def received(socket_: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        return orjson.loads(await socket_.recv())
