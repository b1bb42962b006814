"""Following events over real sockets: exact across reconnects and restarts, bounded, guarded."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from podium.api import sse, streams, websocket
from podium.events import store
from podium.events.live import Feed, Wakeups
from podium.events.model import NewEvent
from podium.kernel.ids import uuid7
from podium.principals import service as principals
from podium.storage.database import Database
from servers import LiveApi, ValkeyProcess

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
            yield _messages(answer)

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


async def _messages(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            yield fields
            fields = {}


@pytest.fixture
def client(live_api: LiveApi, admin_token: str) -> Client:
    return Client(live_api, admin_token)


async def write(api: LiveApi, *names: str) -> None:
    database: Database = api.app.state.services[Database]
    wakeups: Wakeups = api.app.state.services[Wakeups]
    async with database.transaction() as conn:
        await store.append(conn, [NewEvent(name, uuid7(), data={"n": name}) for name in names])
    wakeups.feed()


async def received(socket_: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        return orjson.loads(await socket_.recv())


async def test_sse_begins_now_and_tells_what_happens(client: Client) -> None:
    await client.post("/projects", {"name": "before"})
    async with client.sse(project="*") as messages:
        first = await anext(messages)
        assert set(first) == {"retry", "id"}
        made = await client.post("/projects", {"name": "after"})
        message = await anext(messages)
    assert message["event"] == "project.created"
    event = orjson.loads(message["data"])
    assert event["cursor"] == message["id"]
    assert event["subject"] == made["id"]
    assert event["project"] == "after"
    assert event["actor"] == "admin:local"
    assert event["data"] == {"name": "after", "weight": 1.0}
    assert set(event) == {
        *("cursor", "at", "project", "type", "version", "subject", "actor", "data")
    }
    async with httpx.AsyncClient(base_url=client.api.url, headers=client.headers) as http:
        listed = await http.get(f"{PATH}/events", params={"project": "*", "after": first["id"]})
    assert listed.json()["items"] == [event]


async def test_sse_filters_and_resumes_by_either_cursor(client: Client) -> None:
    await client.post("/projects", {"name": "one"})
    async with client.sse(project="*", after="0.0.0", type="project.*") as messages:
        await anext(messages)
        seen = [await anext(messages) for _ in range(2)]
    names = [orjson.loads(message["data"])["data"]["name"] for message in seen]
    assert names == ["default", "one"]
    client_headers = {**client.headers, "Last-Event-ID": seen[0]["id"]}
    async with (
        httpx.AsyncClient(base_url=client.api.url, headers=client_headers) as http,
        http.stream("GET", f"{PATH}/events/stream?project=*&type=project.created") as answer,
    ):
        messages = _messages(answer)
        await anext(messages)
        assert orjson.loads((await anext(messages))["data"])["data"]["name"] == "one"


async def test_a_stream_of_a_project_shows_nothing_else(client: Client) -> None:
    await client.post("/projects", {"name": "ours"})
    async with client.sse(project="ours") as messages, client.websocket(project="ours") as socket_:
        await anext(messages)
        await received(socket_)
        await write(client.api, "system.wide")
        await client.post("/projects", {"name": "theirs"})
        agent = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}
        await client.post("/agents?project=ours", agent)
        assert (await anext(messages))["event"] == "agent.registered"
        assert (await received(socket_))["event"]["type"] == "agent.registered"


@pytest.mark.parametrize("path", ["/ws/orchestration", f"{PATH}/ws/orchestration"])
async def test_the_websocket_tells_what_happens(client: Client, path: str) -> None:
    async with client.websocket(path, project="*") as socket_:
        assert set(await received(socket_)) == {"type", "cursor"}
        await client.post("/projects", {"name": "x"})
        message = await received(socket_)
    assert message["type"] == "event"
    assert message["cursor"] == message["event"]["cursor"]
    assert message["event"]["type"] == "project.created"


async def test_the_websocket_takes_the_token_in_its_message(
    live_api: LiveApi, admin_token: str
) -> None:
    url = live_api.url.replace("http", "ws") + "/ws/orchestration"
    async with connect(url) as socket_:
        await socket_.send(orjson.dumps({"type": "subscribe", "token": admin_token}).decode())
        assert (await received(socket_))["type"] == "subscribed"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 4400),
        ("[]", 4400),
        ('{"type": "hello"}', 4400),
        ('{"type": "subscribe", "surprise": 1}', 4400),
        ('{"type": "subscribe", "after": "x"}', 4400),
        ('{"type": "subscribe", "types": ["*"]}', 4400),
        ('{"type": "subscribe", "token": "x"}', 4401),
        ('{"type": "subscribe", "project": "nowhere"}', 4403),
        ('{"type": "subscribe", "after": "1.999999999999.0"}', 4410),
    ],
)
async def test_a_wrong_subscription_is_told_and_closed(
    client: Client, message: str, code: int
) -> None:
    url = client.api.url.replace("http", "ws") + "/ws/orchestration"
    async with connect(url, additional_headers=client.headers) as socket_:
        await socket_.send(message)
        told = await received(socket_)
        assert told["type"] == "error"
        assert told["problem"]["code"]
        with pytest.raises(ConnectionClosed):
            await socket_.recv()
        assert socket_.close_code == code


async def test_without_a_token_a_websocket_says_so(live_api: LiveApi) -> None:
    url = live_api.url.replace("http", "ws") + "/ws/orchestration"
    async with connect(url) as socket_:
        await socket_.send('{"type": "subscribe"}')
        assert (await received(socket_))["problem"]["code"] == "unauthenticated"
        await socket_.wait_closed()
        assert socket_.close_code == 4401


async def test_a_websocket_that_says_nothing_or_too_much_is_closed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "_GREETING_SECONDS", 0.2)
    url = client.api.url.replace("http", "ws") + "/ws/orchestration"
    async with connect(url, additional_headers=client.headers) as silent:
        await silent.wait_closed()
        assert silent.close_code == 4400
    async with client.websocket() as talkative:
        await received(talkative)
        await talkative.send("more")
        await talkative.wait_closed()
        assert talkative.close_code == 4400
    async with connect(url, additional_headers=client.headers) as gone:
        await gone.close()


@pytest.mark.parametrize("asked", [{"project": "a\0b"}, {"types": ["a\0b"]}])
async def test_a_subscription_with_nul_characters_is_refused(client: Client, asked: Any) -> None:
    async with client.websocket(**asked) as socket_:
        assert (await received(socket_))["problem"]["code"] == "invalid_input"
        await socket_.wait_closed()
        assert socket_.close_code == 4400


async def test_a_websocket_that_podium_fails_to_serve_is_told(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(streams.EventStreams, "filter_for", broken)
    async with client.websocket() as socket_:
        assert (await received(socket_))["problem"]["code"] == "internal"
        await socket_.wait_closed()
        assert socket_.close_code == 1011


async def test_a_stream_without_the_scope_is_refused(client: Client) -> None:
    made = await client.post("/tokens", {"name": "t", "scopes": ["tasks:read"]})
    poor = Client(client.api, made["token"])
    async with httpx.AsyncClient(base_url=client.api.url, headers=poor.headers) as http:
        assert (await http.get(f"{PATH}/events/stream")).status_code == 403
    async with poor.websocket() as socket_:
        await socket_.wait_closed()
        assert socket_.close_code == 4403


async def test_heartbeats_carry_a_cursor_that_moves_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(streams, "_WAIT_SECONDS", 0.1)
    async with (
        client.sse(type="never.seen") as messages,
        client.websocket(types=["never.seen"]) as socket_,
    ):
        start = (await anext(messages))["id"]
        await received(socket_)
        await client.post("/projects", {"name": "x"})
        deadline = time.monotonic() + 10
        while (beat := await anext(messages))["id"] == start:
            assert time.monotonic() < deadline
        assert beat.keys() - {"id"} == {""}  # a comment
        beat_ = await received(socket_)
        assert (beat_["type"], set(beat_)) == ("heartbeat", {"type", "cursor"})


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
            name = f"n.{number:04d}".translate(str.maketrans("0123456789", "abcdefghij"))
            async with database.transaction() as conn:
                await store.append(conn, [NewEvent(name, uuid7())])
            self.written.append(name)
            await asyncio.sleep(0.01)
        self.all_written.set()

    async def follow_sse(self) -> None:
        cursor = self.start
        while not self.finished("sse"):
            try:
                async with self.client.sse(project="*", after=cursor, type="n.*") as messages:
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
                    project="*", after=cursor, types=["n.*"]
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
        wish = {"type": "subscribe", "project": "*", "types": ["big.*"]}
        await socket_.send(orjson.dumps(wish).decode())
        cursor = (await received(socket_))["cursor"]
        async with database.transaction() as conn:
            await store.append(
                conn, [NewEvent("big.one", uuid7(), data={"text": big}) for _ in range(200)]
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
    async with client.websocket(project="*", types=["big.*"], after=cursor) as again:
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
        await store.append(conn, [NewEvent("big.one", uuid7(), data=data) for _ in range(150)])
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


async def test_there_is_a_limit_of_streams(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_MOST_STREAMS", 1)
    async with client.sse() as messages:
        await anext(messages)
        await asyncio.sleep(0.1)
        async with httpx.AsyncClient(base_url=client.api.url, headers=client.headers) as http:
            assert (await http.get(f"{PATH}/events/stream")).status_code == 429
    await asyncio.sleep(0.2)
    async with client.sse() as messages:
        await anext(messages)


async def test_open_streams_are_counted_and_keep_the_server_from_idling(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_WAIT_SECONDS", 0.1)
    async with (
        httpx.AsyncClient(base_url=client.api.url, headers=client.headers) as http,
        client.sse() as messages,
    ):
        await anext(messages)
        await asyncio.sleep(0.1)
        assert 'podium_streams_open{kind="sse"} 1.0' in (await http.get("/metrics")).text
        client.api.app.state.last_request = 0.0
        await asyncio.sleep(0.5)
        assert client.api.app.state.last_request > 0
    async with httpx.AsyncClient(base_url=client.api.url, headers=client.headers) as http:
        await asyncio.sleep(0.3)
        assert 'podium_streams_open{kind="sse"} 0.0' in (await http.get("/metrics")).text


async def test_a_request_with_too_large_a_head_is_refused(live_server: str) -> None:
    async with httpx.AsyncClient(base_url=live_server) as http:
        answer = await http.get("/health/live", headers={"X-Much": "x" * 70_000})
        assert answer.status_code == 400
        assert (await http.get("/health/live")).status_code == 200
