"""Output, attempts, history and progress of tasks."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from podium.events import places
from podium.kernel.web import PREFIX
from podium.storage.valkey import Valkey
from podium.tasks.follow import Follower
from servers import LiveApi
from slices.tasks.conftest import NOBODY, Desk

Message = tuple[str, str, Any]


@pytest.fixture
async def live_desk(own_desk: Desk, live_api: LiveApi) -> AsyncIterator[Desk]:
    """A desk whose API is also on a socket: streams need one."""
    url, headers = f"{live_api.url}{PREFIX}", own_desk.api.headers
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as api:
        own_desk.api = api
        yield own_desk


@asynccontextmanager
async def following(
    desk: Desk, task: dict[str, Any], **options: Any
) -> AsyncGenerator[AsyncGenerator[Message]]:
    """(event, id, data) of each message of the task's log stream."""
    async with desk.api.stream("GET", f"tasks/{task['id']}/logs/stream", **options) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield messages(answer)


async def messages(answer: httpx.Response) -> AsyncGenerator[Message]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif fields:
            if "event" in fields:
                yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
            fields = {}


async def write(desk: Desk, task: dict[str, Any], *lines: str, attempt: int = 1) -> None:
    for line in lines:
        await desk.run(
            "insert into log (task_id, attempt, stream, text) values (:id, :n, 'stdout', :text)",
            id=task["id"],
            n=attempt,
            text=line,
        )


async def test_pages_of_output(desk: Desk) -> None:
    task = await desk.create()
    await write(desk, task, *(f"line {n}" for n in range(5)))
    await write(desk, task, "again", attempt=2)
    await write(desk, await desk.create(), "not mine")
    first = await desk.get(task, "logs", limit=4)
    assert [item["text"] for item in first["items"]] == [f"line {n}" for n in range(4)]
    rest = await desk.get(task, "logs", after=first["next"])
    assert [item["text"] for item in rest["items"]] == ["line 4", "again"]
    assert rest["next"] is None
    assert (await desk.get(task, "logs", after=first["next"], limit=2))["next"] is None
    assert (rest["items"][0]["attempt"], rest["items"][0]["stream"]) == (1, "stdout")
    only = await desk.get(task, "logs", attempt=2)
    assert [item["text"] for item in only["items"]] == ["again"]
    assert (await desk.get(task, "logs", after=only["items"][0]["id"]))["items"] == []
    for wrong in ({"after": -1}, {"after": 2**63}, {"attempt": 0}, {"limit": 1001}):
        await desk.call("GET", f"tasks/{task['id']}/logs", 422, params=wrong)


async def test_a_stream_ends_with_its_task_and_comes_as_it_is_written(live_desk: Desk) -> None:
    desk = live_desk
    async with desk.worker():
        task = await desk.create("report")
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, float]] = []
        async with following(desk, task) as stream:
            async for event, _, data in stream:
                seen.append((data.get("text", event), loop.time()))
        texts = [text for text, _ in seen]
        assert texts == ["first line", "password is https://user:***@example.org", "end"]
        # The agent sleeps for 0.4 s between its lines; the end is told when it comes, too.
        assert seen[1][1] - seen[0][1] > 0.1
        ended = (await desk.until(task))["finished_at"]
        assert ended is not None
        assert seen[2][1] - seen[1][1] < 1


async def test_a_stream_of_a_silent_task_ends_when_it_does(live_desk: Desk) -> None:
    desk = live_desk
    task = await desk.create()
    loop = asyncio.get_running_loop()
    async with following(desk, task) as stream:
        await asyncio.sleep(0.5)
        asked = loop.time()
        await desk.call("POST", f"tasks/{task['id']}/cancel")
        assert [event async for event, _, _ in stream] == ["end"]
        assert loop.time() - asked < 1


async def test_a_stream_goes_on_after_an_id(live_desk: Desk) -> None:
    desk = live_desk
    task = await desk.create()
    await write(desk, task, *(f"line {n}" for n in range(1200)))
    await desk.call("POST", f"tasks/{task['id']}/cancel")
    async with following(desk, task) as stream:
        everything = [message async for message in stream]
    assert [data.get("text") for _, _, data in everything[:-1]] == [
        f"line {n}" for n in range(1200)
    ]
    assert all(str(data["id"]) == mark for _, mark, data in everything[:-1])
    mark = everything[1000][1]
    for options in ({"params": {"after": mark}}, {"headers": {"Last-Event-ID": mark}}):
        async with following(desk, task, **options) as stream:
            assert [message async for message in stream] == everything[1001:]


async def test_a_stream_ends_without_an_end_when_the_server_does(
    live_desk: Desk, live_api: LiveApi
) -> None:
    task = await live_desk.create()
    async with following(live_desk, task) as stream:
        await asyncio.sleep(0.3)
        async with asyncio.timeout(8):
            await live_api.stop()
            assert [event async for event, _, _ in stream] == []


async def test_a_stream_ends_when_its_token_is_revoked(live_desk: Desk) -> None:
    desk = live_desk
    task = await desk.create()
    body = {"name": "t", "scopes": ["tasks:read"]}
    made = await desk.call("POST", "tokens", 201, json=body)
    headers = {"Authorization": f"Bearer {made['token']}"}
    async with following(desk, task, headers=headers) as stream:
        await asyncio.sleep(0.3)
        await desk.call("DELETE", f"tokens/{made['id']}", 204)
        async with asyncio.timeout(5):
            assert [event async for event, _, _ in stream] == []


async def test_a_stream_outlives_an_outage_of_the_database(live_desk: Desk) -> None:
    """While its connections are cut again and again it waits, and loses nothing."""
    desk = live_desk
    task = await desk.create()
    async with following(desk, task) as stream:
        for n in range(3):
            await desk.run(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
            await write(desk, task, f"line {n}")
            await asyncio.sleep(0.3)
        await desk.run("update task set outcome = 'succeeded' where id = :id", id=task["id"])
        seen = [data.get("text", event) async for event, _, data in stream]
    assert seen == ["line 0", "line 1", "line 2", "end"]


async def refused(desk: Desk, task: dict[str, Any], **options: Any) -> httpx.Response:
    return await desk.api.get(f"tasks/{task['id']}/logs/stream", **options)


@pytest.mark.parametrize("of", ["server", "principal"])
async def test_too_many_streams_are_refused_until_one_ends(
    live_desk: Desk, live_api: LiveApi, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    desk = live_desk
    task = await desk.create()
    body = {"name": "t", "scopes": ["tasks:read"]}
    other = (await desk.call("POST", "tokens", 201, json=body))["token"]
    if of == "principal":
        monkeypatch.setattr(places, "_MOST_EACH", 1)
    else:
        monkeypatch.setitem(places._MOST, places.Kind.LOGS, 1)
    async with following(desk, task):
        answer = await refused(desk, task)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
        assert int(answer.headers["retry-after"]) > 0
        if of == "principal":
            async with following(desk, task, headers={"Authorization": f"Bearer {other}"}):
                pass
        else:
            answer = await refused(desk, task, headers={"Authorization": f"Bearer {other}"})
            assert answer.status_code == 429
    async with asyncio.timeout(5):
        while live_api.app.state.services[places.StreamPlaces]._principals:
            await asyncio.sleep(0.05)
    await desk.call("POST", f"tasks/{task['id']}/cancel")
    async with following(desk, task) as stream:
        assert [event async for event, _, _ in stream] == ["end"]


async def test_many_streams_share_a_connection_to_valkey_and_do_not_spin(
    live_desk: Desk, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, looks, look = live_desk, 0, Follower._look

    async def counted(follower: Follower[Any], task_id: UUID, after: int) -> Any:
        nonlocal looks
        looks += 1
        return await look(follower, task_id, after)

    monkeypatch.setattr(Follower, "_look", counted)
    task = await desk.create()
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(following(desk, task)) for _ in range(90)]
        [clients] = await valkey.send([("CLIENT", "LIST")])
        assert len(clients.splitlines()) < 10
        looks = 0
        await asyncio.sleep(3)
        assert looks <= 3 * len(streams)
        await desk.call("POST", f"tasks/{task['id']}/cancel")
        for stream in streams:
            assert [event async for event, _, _ in stream] == ["end"]


async def test_streams_of_unknown_tasks_and_wrong_places(desk: Desk) -> None:
    await desk.call("GET", f"tasks/{NOBODY}/logs/stream", 404)
    task = await desk.create()
    await desk.call("GET", f"tasks/{task['id']}/logs/stream", 422, params={"after": "x"})


async def test_history_tells_every_transition_once(own_desk: Desk) -> None:
    desk = own_desk
    retry = {"max_retries": 1, "initial": 0}
    async with desk.worker():
        first = await desk.create(delay=0.2)
        second = await desk.create("flaky", input=2, depends_on=[first["id"]], retry=retry)
        await desk.until(second, "succeeded")
    history = await desk.get(second, "history")
    assert history["next"] is None
    assert [each["type"] for each in history["items"]] == [
        "task.created", "task.queued", "task.started", "task.retrying", "task.queued",
        "task.started", "task.completed",
    ]  # fmt: skip
    assert {each["project"] for each in history["items"]} == {"default"}
    assert {each["subject"] for each in history["items"]} == {second["id"]}
    cursors = [each["cursor"] for each in history["items"]]
    assert len(set(cursors)) == len(cursors)


async def test_attempts_tell_what_ran_where(own_desk: Desk) -> None:
    desk = own_desk
    retry = {"max_retries": 1, "initial": 0}
    async with desk.worker():
        task = await desk.create("flaky", input=2, retry=retry)
        ended = await desk.until(task, "succeeded")
        running = await desk.create("sleep", input=30)
        await desk.until(running, "running")
        [live] = (await desk.get(running, "attempts"))["items"]
        [worker] = (await desk.call("GET", "workers"))["items"]
        assert (live["outcome"], live["finished_at"]) == ("running", None)
        assert (live["agent"], live["worker"]) == ("sleep", worker["id"])
        await desk.call("POST", f"tasks/{running['id']}/cancel")
    first, second = (await desk.get(task, "attempts"))["items"]
    assert (first["attempt"], first["outcome"], first["error"]["code"]) == (1, "failed", "not_yet")
    assert (second["attempt"], second["outcome"], second["error"]) == (2, "succeeded", None)
    for each in (first, second):
        assert (each["agent"], each["agent_version"]) == ("flaky", 1)
        assert each["queued_at"] <= each["started_at"] <= each["finished_at"]
    assert (ended["attempt"], ended["output"]) == (2, 2)
    assert ended["started_at"] == second["started_at"]
    assert ended["run_seconds"] > 0
    assert ended["queued_seconds"] >= 0


async def test_a_running_task_shows_where_it_is_and_how_far(own_desk: Desk) -> None:
    desk = own_desk
    async with desk.worker(worker_name="laptop"):
        task = await desk.create("report")
        while not (found := await desk.get(task))["progress"]:
            assert found["state"] in ("queued", "running")
            await asyncio.sleep(0.02)
        assert found["progress"].pop("seconds_left") > 0
        assert found["progress"] == {"fraction": 0.5, "note": "half"}
        where = found["running_on"]
        assert (where["agent"], where["worker_name"]) == ("report", "laptop")
        [live] = (await desk.get(task, "attempts"))["items"]
        assert {key: live[key] for key in where} == where
        assert (found["attempt"], found["started_at"] is None) == (1, False)
        ended = await desk.until(task, "succeeded")
    assert (ended["progress"], ended["running_on"]) == (None, None)
    [attempt] = (await desk.get(task, "attempts"))["items"]
    assert (attempt["worker_name"], attempt["worker_host"]) == ("laptop", socket.gethostname())
    await desk.run("delete from worker")  # as those that ended long ago
    [attempt] = (await desk.get(task, "attempts"))["items"]
    assert (attempt["worker"], attempt["worker_name"]) == (where["worker"], None)
    assert attempt["usage"] == {"input_tokens": 7, "cost_usd": 0.25}
