"""Streams in trouble: exact across restarts and outages, and ended when they must be."""

import asyncio
import socket
import time
from contextlib import suppress

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from podium.api import sse, streams
from podium.events import store
from podium.events.live import Feed, Wakeups
from podium.events.model import NewEvent
from podium.kernel.ids import uuid7
from podium.principals import service as principals
from podium.storage.database import Database
from servers import ValkeyProcess
from slices.api.followers import PATH, Client, received, write


async def test_streams_end_soon_after_their_token_is_revoked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await client.post("/tokens", {"name": "t", "scopes": ["events:read"]})
    doomed = Client(client.api, made["token"])
    async with doomed.sse() as messages, doomed.websocket() as socket_:
        await anext(messages)
        await received(socket_)
        # As another process would: nothing here is told of it.
        database: Database = client.api.app.state.services[Database]
        await database.call("update token set revoked_at = now() where id = $1", made["id"])
        began = time.monotonic()
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
        assert (await received(socket_))["problem"]["code"] == "unauthenticated"
        await socket_.wait_closed()
        assert socket_.close_code == 4401
        assert time.monotonic() - began < 5


async def test_streams_end_when_their_token_expires(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_WAIT_SECONDS", 0.2)
    body = {"name": "t", "scopes": ["events:read"], "expires_in": 0.6}
    made = await client.post("/tokens", body)
    async with Client(client.api, made["token"]).websocket() as socket_:
        await received(socket_)
        await socket_.wait_closed()
        assert socket_.close_code == 4401


class Followers:
    """An SSE and a WebSocket follower that come back with their cursors until all is seen."""

    def __init__(self, client: Client, start: str) -> None:
        self.client = client
        self.start = start
        self.written: list[str] = []
        self.all_written = asyncio.Event()
        self.seen: dict[str, list[str]] = {"sse": [], "websocket": []}
        self.close_codes: set[int | None] = set()

    def finished(self, kind: str) -> bool:
        return self.all_written.is_set() and len(self.seen[kind]) >= len(self.written)

    async def write(self, database: Database, count: int) -> None:
        for number in range(count):
            name = f"worker.{number:04d}".translate(str.maketrans("0123456789", "abcdefghij"))
            async with database.transaction() as conn:
                await store.append(conn, [NewEvent(name, uuid7())])
            self.written.append(name)
            await asyncio.sleep(0.01)
        self.all_written.set()

    async def follow_sse(self) -> None:
        cursor = self.start
        while not self.finished("sse"):
            try:
                async with self.client.sse(project="*", after=cursor, type="worker.*") as messages:
                    async for message in messages:
                        cursor = message["id"]
                        if "event" in message:
                            self.seen["sse"].append(message["event"])
                        if self.finished("sse"):
                            return
            except httpx.HTTPError:
                await asyncio.sleep(0.05)

    async def follow_websocket(self) -> None:
        cursor = self.start
        while not self.finished("websocket"):
            try:
                async with self.client.websocket(
                    project="*", after=cursor, types=["worker.*"]
                ) as socket_:
                    while not self.finished("websocket"):
                        message = await received(socket_)
                        cursor = message["cursor"]
                        if message["type"] == "event":
                            self.seen["websocket"].append(message["event"]["type"])
            except ConnectionClosed as closed:
                self.close_codes.add(closed.rcvd.code if closed.rcvd else None)
            except OSError:
                await asyncio.sleep(0.05)


async def test_nothing_is_lost_or_repeated_across_restarts_of_the_server(
    client: Client, valkey_process: ValkeyProcess
) -> None:
    """While writers go on, the server restarts twice and Valkey dies."""

    async def nuisance() -> None:
        await asyncio.sleep(0.6)
        await client.api.stop()
        await asyncio.sleep(0.2)
        await client.api.start()
        await asyncio.sleep(0.5)
        await valkey_process.kill()
        await asyncio.sleep(0.5)
        await client.api.stop()
        await client.api.start()
        await valkey_process.start()

    feed: Feed = client.api.app.state.services[Feed]
    url = client.api.app.state.services[Database].engine.url
    database = Database(url.render_as_string(hide_password=False))
    followers = Followers(client, str(await feed.begin()))
    async with asyncio.timeout(60):
        await asyncio.gather(
            followers.write(database, 300),
            followers.follow_sse(),
            followers.follow_websocket(),
            nuisance(),
        )
    await database.close()
    assert followers.seen["sse"] == followers.written
    assert followers.seen["websocket"] == followers.written
    assert followers.close_codes == {1012}


async def test_a_server_that_stops_ends_its_streams_at_once(client: Client) -> None:
    async with client.sse() as messages, client.websocket() as socket_:
        await anext(messages)
        await received(socket_)
        began = time.monotonic()
        await client.api.stop()
        assert time.monotonic() - began < 3
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
        await socket_.wait_closed()
        assert socket_.close_code == 1012


async def test_a_slow_client_is_given_time_and_a_hopeless_one_is_closed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket takes nothing; when it reads again, what was sent is followed by 4408, and
    nothing is lost when it comes back with its cursor."""
    monkeypatch.setattr(sse, "STUCK_SECONDS", 0.5)
    api, big = client.api, "x" * 50_000
    database: Database = api.app.state.services[Database]
    url = api.url.replace("http", "ws") + "/ws/orchestration"
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.connect(("127.0.0.1", int(api.url.rsplit(":", 1)[1])))
    listener.settimeout(0)
    async with connect(
        url, additional_headers=client.headers, sock=listener, max_queue=1, compression=None
    ) as socket_:
        wish = {"type": "subscribe", "project": "*", "types": ["worker.*"]}
        await socket_.send(orjson.dumps(wish).decode())
        cursor = (await received(socket_))["cursor"]
        async with database.transaction() as conn:
            await store.append(
                conn, [NewEvent("worker.big", uuid7(), data={"text": big}) for _ in range(200)]
            )
        api.app.state.services[Wakeups].feed()
        await asyncio.sleep(2)
        got = 0
        with suppress(ConnectionClosed):
            async for message in socket_:
                cursor = orjson.loads(message)["cursor"]
                got += 1
        assert socket_.close_code == 4408
        assert 0 < got < 200
    async with client.websocket(project="*", types=["worker.*"], after=cursor) as again:
        await received(again)
        for _ in range(200 - got):
            await received(again)


async def test_a_stuck_sse_client_is_closed_too(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "STUCK_SECONDS", 0.5)
    api = client.api
    database: Database = api.app.state.services[Database]
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(api.url.rsplit(":", 1)[1]), limit=2048
    )
    writer.write(
        f"GET {PATH}/events/stream?project=* HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {client.token}\r\n\r\n".encode()
    )
    await reader.readuntil(b"retry:")
    async with database.transaction() as conn:
        data = {"text": "x" * 100_000}
        await store.append(conn, [NewEvent("worker.big", uuid7(), data=data) for _ in range(150)])
    api.app.state.services[Wakeups].feed()
    await asyncio.sleep(2)
    size, last = 0, b""
    async with asyncio.timeout(20):
        while chunk := await reader.read(65536):
            size += len(chunk)
            last = (last + chunk)[-5:]
            if last == b"0\r\n\r\n":
                break
    assert last == b"0\r\n\r\n"
    assert size < 15_000_000
    writer.close()


async def test_followers_survive_a_database_that_is_away_for_a_while(
    client: Client, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(principals, "TRUSTED_SECONDS", 0.1)
    monkeypatch.setattr(streams, "_WAIT_SECONDS", 0.2)
    database: Database = client.api.app.state.services[Database]
    name, others = database.engine.url.database, Database(server_url.format("postgres"))
    async with client.sse(project="*") as messages:
        await anext(messages)
        await others.call(
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        )
        await others.call(f"alter database {name} rename to away_{name}")
        await asyncio.sleep(1.5)
        await others.call(f"alter database away_{name} rename to {name}")
        await others.close()
        for _ in range(20):
            try:
                await write(client.api, "came.back")
                break
            except Exception:  # noqa: BLE001 - until it is back
                await asyncio.sleep(0.2)
        async with asyncio.timeout(10):
            while (await anext(messages)).get("event") != "came.back":
                pass
