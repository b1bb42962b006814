"""One story through every door: what one door does, all others tell in the same words."""

import json
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from installation import Installation
from podium.client import AsyncPodium, Podium
from podium.client.errors import NotFound, Unauthenticated
from podium.client.inputs import TaskInBulk
from podium.client.models import Task

API = "/api/v1/orchestration"


async def followed(url: str, token: str, after: str, count: int) -> list[Any]:
    """The next events of a project as the WebSocket tells them."""
    async with connect(f"{url.replace('http', 'ws', 1)}/ws/orchestration") as socket:
        subscription = {"type": "subscribe", "token": token, "after": after, "project": "story"}
        await socket.send(json.dumps(subscription))
        events: list[Any] = []
        async for message in socket:
            said = json.loads(message)
            if said["type"] == "event":
                events.append(said["event"])
            if len(events) == count:
                break
        return events


async def emptied(socket: ClientConnection) -> None:
    """Read until the server closes the connection."""
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()


class Stage(NamedTuple):
    """Where the story plays, and the token of who tells it."""

    url: str
    secret: str
    token_id: str


def set_stage(installation: Installation) -> Stage:
    """Make a project, an agent, and a token for this project alone."""
    cli = installation.podium
    assert cli("project", "create", "story").status == 0
    made = cli("agent", "add", "shouter", "--project", "story", "--json", "--", "tr", "a-z", "A-Z")
    assert made.status == 0, made.err
    new = cli("token", "create", "teller", "--project", "story", "--preset", "operator", "--json")
    return Stage(cli("status", "--json").json["url"], new.json["token"], new.json["id"])


async def submit_twice(url: str, secret: str) -> tuple[list[str], Task]:
    """Submit a graph twice, which is accepted once; its tasks, and the last when it has ended."""
    graph: list[TaskInBulk] = [
        {"ref": "one", "agent": "shouter", "input": "first"},
        {"ref": "two", "agent": "shouter", "input": "second"},
        {"ref": "end", "agent": "shouter", "input": "last", "depends_on": ["one", "two"]},
    ]
    async with AsyncPodium(url, secret, project="story") as client:
        accepted = await client.tasks.create_many(graph, idempotency_key="the-graph")
        again = await client.tasks.create_many(graph, idempotency_key="the-graph")
        assert accepted.refs == again.refs
        last = await client.tasks.wait(accepted.refs["end"], timeout=60)
    return [str(i) for i in accepted.refs.values()], last


async def told_by_http(url: str, secret: str, task: str) -> tuple[Any, Any, Any]:
    """The tasks of the project, the history of one of them, and the events of all."""
    async with httpx.AsyncClient(
        base_url=url + API, headers={"Authorization": f"Bearer {secret}"}
    ) as http:
        page = (await http.get("tasks", params={"project": "story"})).json()["items"]
        history = (await http.get(f"tasks/{task}/history")).json()["items"]
        events = (await http.get("events", params={"project": "story"})).json()["items"]
    return page, history, events


@pytest.mark.timeout(120)
async def test_a_graph_of_tasks_from_submission_to_revocation(installation: Installation) -> None:
    cli = installation.podium

    # The command line sets the stage: a project, an agent, a token for this project alone.
    url, secret, token_id = set_stage(installation)

    # The SDK submits a graph with that token, twice: it is accepted once.
    ids, last = await submit_twice(url, secret)
    assert last.state == "succeeded"
    assert isinstance(last.output, dict)
    assert last.output["text"] == "LAST"

    # HTTP, the SDK and the command line tell the same of it.
    page, history, events = await told_by_http(url, secret, str(last.id))
    assert {UUID(item["id"]) for item in page} == {UUID(i) for i in ids}
    shown = cli("task", "list", "--project", "story", "--json").json
    assert [item["id"] for item in shown] == [item["id"] for item in page]
    assert cli("task", "history", str(last.id), "--json").json == history
    assert "succeeded" in cli("task", "explain", str(last.id)).out

    # The WebSocket gives the same events in the same order, none lost and none twice.
    of_tasks = [event for event in events if event["type"].startswith("task.")]
    ended = [event["subject"] for event in of_tasks if event["type"] == "task.completed"]
    assert sorted(ended) == sorted(ids)
    assert ended[-1] == str(last.id)
    assert await followed(url, secret, events[0]["cursor"], len(events) - 1) == events[1:]

    # A token of one project sees nothing of another, and nothing at all once it is revoked.
    with Podium(url, secret, project="default") as elsewhere, pytest.raises(NotFound):
        list(elsewhere.tasks.list())
    async with connect(f"{url.replace('http', 'ws', 1)}/ws/orchestration") as socket:
        await socket.send(json.dumps({"type": "subscribe", "token": secret, "project": "story"}))
        assert cli("token", "revoke", token_id, "--yes").status == 0
        await emptied(socket)
        assert socket.close_code == 4401
    with Podium(url, secret, project="story") as late, pytest.raises(Unauthenticated):
        list(late.tasks.list())
