"""Following events over real sockets: what is told to whom, and what is refused."""

import asyncio
import time
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from podium.api import streams, websocket
from podium.events import places
from servers import LiveApi
from slices.api.followers import PATH, Client, messages_of, received, write


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
    keeps_all = {"keep_days": None, "keep_tasks": None}
    told = {"name": "after", "weight": 1.0, "priority_ageing": None, **keeps_all}
    assert event["data"] == told
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
        messages = messages_of(answer)
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
        ('{"type": "subscribe", "types": ["task.succeeded"]}', 4400),
        ('{"type": "subscribe", "types": ["tsk.*"]}', 4400),
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


async def test_a_misspelt_field_of_a_subscription_is_told_the_one_that_is_meant(
    client: Client,
) -> None:
    async with client.websocket(typs=["task.*"], subjects=["x"]) as socket_:
        errors = (await received(socket_))["problem"]["errors"]
    told = {each["field"]: each["message"] for each in errors}
    assert told["typs"] == "There is no such field; the closest is 'types'"
    assert told["subjects.0"].startswith("Must be a whole id")


async def test_a_subscription_that_is_no_json_is_told_in_plain_words(client: Client) -> None:
    url = client.api.url.replace("http", "ws") + "/ws/orchestration"
    async with connect(url, additional_headers=client.headers) as socket_:
        await socket_.send("hello")
        told = (await received(socket_))["problem"]["detail"]
    assert told == "message: Must be JSON: expected value at line 1 column 1."


async def test_a_websocket_takes_no_query_parameters(client: Client) -> None:
    url = client.api.url.replace("http", "ws") + "/ws/orchestration?types=task.dead"
    async with connect(url, additional_headers=client.headers) as socket_:
        [error] = (await received(socket_))["problem"]["errors"]
        assert error == {"field": "types", "message": "There is no such parameter"}
        await socket_.wait_closed()
        assert socket_.close_code == 4400


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
        client.sse(type="agent.*") as messages,
        client.websocket(types=["agent.*"]) as socket_,
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


async def test_there_is_a_limit_of_streams(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(places._MOST, places.Kind.EVENTS, 1)
    async with client.sse() as messages:
        await anext(messages)
        async with httpx.AsyncClient(base_url=client.api.url, headers=client.headers) as http:
            assert (await http.get(f"{PATH}/events/stream")).status_code == 429
    await asyncio.sleep(0.2)
    async with client.sse() as messages:
        await anext(messages)


async def test_a_principal_has_so_many_places_for_streams_of_all_kinds(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_MOST_EACH", 2)
    await client.post("/agents", {"name": "a", "runtime": "command", "config": {"command": ["x"]}})
    task = await client.post("/tasks", {"agent": "a"})
    other = await client.post("/tokens", {"name": "o", "scopes": ["events:read"]})
    logs = f"{PATH}/tasks/{task['id']}/logs/stream"
    async with (
        httpx.AsyncClient(base_url=client.api.url, headers=client.headers) as http,
        client.websocket() as socket_,
        http.stream("GET", logs),
    ):
        await received(socket_)
        for path in (logs, f"{PATH}/events/stream"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
        async with client.websocket() as refused:
            assert (await received(refused))["problem"]["code"] == "too_many_streams"
        async with Client(client.api, other["token"]).sse() as messages:
            await anext(messages)
    held = client.api.app.state.services[places.StreamPlaces]._principals
    async with asyncio.timeout(5):
        while held:
            await asyncio.sleep(0.05)


async def test_streams_that_begin_at_once_do_not_pass_the_limit(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_MOST_EACH", 3)

    async def begin(http: httpx.AsyncClient) -> int:
        async with http.stream("GET", f"{PATH}/events/stream") as answer:
            await asyncio.sleep(2)
            return answer.status_code

    async with httpx.AsyncClient(base_url=client.api.url, headers=client.headers) as http:
        codes = await asyncio.gather(*(begin(http) for _ in range(20)))
    assert sorted(codes) == [200] * 3 + [429] * 17


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


async def test_events_in_their_form_for_followers_take_no_memory_without_bound(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 3000
    monkeypatch.setattr(streams, "_RENDERED_BYTES", most)
    rendered = client.api.app.state.services[streams.EventStreams]._rendered
    names = [f"some.thing_{chr(97 + number)}" for number in range(25)]
    async with client.sse(project="*") as messages:
        await anext(messages)
        await write(client.api, *names)
        assert [(await anext(messages))["event"] for _ in names] == names
        assert 0 < sum(map(len, rendered.values())) <= most
    async with asyncio.timeout(5):
        while rendered:  # nobody follows any more
            await asyncio.sleep(0.05)
