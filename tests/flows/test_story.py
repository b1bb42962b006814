"""One story through every door: what one door does, all others tell in the same words."""

import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from installation import Installation
from podium.client import AsyncPodium, Podium
from podium.client.errors import NotFound, Unauthenticated
from podium.client.inputs import TaskInBulk

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


@pytest.mark.timeout(120)
async def test_a_graph_of_tasks_from_submission_to_revocation(installation: Installation) -> None:
    cli = installation.podium

    # The command line sets the stage: a project, an agent, a token for this project alone.
    assert cli("project", "create", "story").status == 0
    made = cli("agent", "add", "shouter", "--project", "story", "--json", "--", "tr", "a-z", "A-Z")
    assert made.status == 0, made.err
    new = cli("token", "create", "teller", "--project", "story", "--preset", "operator", "--json")
    secret, token_id = new.json["token"], new.json["id"]
    url = cli("status", "--json").json["url"]

    # The SDK submits a graph with that token, twice: it is accepted once.
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
        assert last.state == "succeeded"
        assert isinstance(last.output, dict)
        assert last.output["text"] == "LAST"

    # HTTP, the SDK and the command line tell the same of it.
    async with httpx.AsyncClient(
        base_url=url + API, headers={"Authorization": f"Bearer {secret}"}
    ) as http:
        page = (await http.get("tasks", params={"project": "story"})).json()["items"]
        history = (await http.get(f"tasks/{last.id}/history")).json()
        events = (await http.get("events", params={"project": "story"})).json()["items"]
    assert {UUID(item["id"]) for item in page} == {UUID(str(i)) for i in accepted.refs.values()}
    shown = cli("task", "list", "--project", "story", "--json").json
    assert [item["id"] for item in shown] == [item["id"] for item in page]
    assert cli("task", "history", str(last.id), "--json").json == history["items"]
    assert "succeeded" in cli("task", "explain", str(last.id)).out

    # The WebSocket gives the same events in the same order, none lost and none twice.
    of_tasks = [event for event in events if event["type"].startswith("task.")]
    ended = [event["subject"] for event in of_tasks if event["type"] == "task.completed"]
    assert sorted(ended) == sorted(str(i) for i in accepted.refs.values())
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
