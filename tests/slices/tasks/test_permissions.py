"""Who may do what with tasks."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx

from podium.principals.model import GLOBAL_SCOPES, PRESETS
from slices.tasks.conftest import Desk, in_project

READ: list[str] = sorted(set(PRESETS["viewer"]) - GLOBAL_SCOPES)
MEMBER: list[str] = sorted(set(PRESETS["member"]) - GLOBAL_SCOPES)
WRITER = [*READ, "tasks:write"]
SECRET = "s" * 32


@asynccontextmanager
async def holding(desk: Desk, scopes: list[str], project: str | None) -> AsyncGenerator[Desk]:
    """The desk as the holder of a token with these scopes sees it."""
    body = {"name": "t", "scopes": scopes, "project": project}
    made = await desk.call("POST", "tokens", 201, json=body)
    async with bearing(desk, made["token"]) as other:
        yield other


@asynccontextmanager
async def bearing(desk: Desk, token: str) -> AsyncGenerator[Desk]:
    transport = desk.api._transport
    async with httpx.AsyncClient(
        transport=transport,
        base_url=desk.api.base_url,
        headers={"Authorization": f"Bearer {token}"},
        event_hooks={"request": [in_project(desk.project)]},
    ) as api:
        yield replace(desk, api=api)


async def call_all(desk: Desk, task: dict[str, Any], expected: dict[str, int]) -> None:
    """Everything that can be done with a task, by method and part of its path."""
    for each, status in expected.items():
        method, _, part = each.partition(" ")
        path = f"tasks/{task['id']}{part}"
        body = {"priority": 1} if method == "PUT" else None
        answer = await desk.api.request(method, path, json=body)
        assert answer.status_code == status, (each, answer.text)


READS = ("", "/history", "/attempts", "/logs", "/artifacts", "/explain")
CHANGES = ("PUT ", "POST /cancel", "POST /retry", "DELETE ")


async def test_a_viewer_reads_and_changes_nothing(desk: Desk) -> None:
    task = await desk.create()
    async with holding(desk, READ, desk.project) as viewer:
        await call_all(viewer, task, {f"GET {part}": 200 for part in READS})
        await call_all(viewer, task, dict.fromkeys(CHANGES, 403))
        for path, body in (("tasks", {"agent": "echo"}), ("tasks/bulk", {"tasks": [{}]})):
            answer = await viewer.api.post(path, json=body)
            assert answer.status_code in (403, 422)
        problem = await viewer.call("POST", "tasks", 403, json={"agent": "echo"})
        assert problem["missing"] == ["tasks:write"]


async def test_a_repeat_needs_the_project_and_not_the_power_to_run_code(desk: Desk) -> None:
    body = {"capabilities": ["unknown"]}
    headers = {"Idempotency-Key": "k"}
    first = await desk.call("POST", "tasks", 201, json=body, headers=headers)
    many = await desk.call("POST", "tasks/bulk", 201, json={"tasks": [body]}, headers=headers)
    async with holding(desk, WRITER, desk.project) as writer:
        again = await writer.call("POST", "tasks", 201, json=body, headers=headers)
        assert again["id"] == first["id"]
        bulk = await writer.call("POST", "tasks/bulk", 201, json={"tasks": [body]}, headers=headers)
        assert bulk == many
    async with holding(desk, READ, desk.project) as viewer:
        await viewer.call("POST", "tasks", 403, json=body, headers=headers)
    async with holding(desk, WRITER, "default") as stranger:
        await stranger.call("POST", "tasks", 404, json=body, headers=headers)


async def test_running_code_is_a_power_of_its_own(desk: Desk) -> None:
    task = await desk.create(capabilities=[])
    await desk.agent("sleep", capabilities=["x"])
    async with holding(desk, WRITER, desk.project) as writer:
        for body in ({"agent": "echo"}, {"capabilities": ["x"]}, {"capabilities": ["unknown"]}):
            problem = await writer.call("POST", "tasks", 403, json=body)
            assert problem["missing"] == ["tasks:execute"]
            await writer.call("POST", "tasks/bulk", 403, json={"tasks": [body]})
        path = f"tasks/{task['id']}"
        await writer.call("PUT", path, 403, json={"input": "rm -r /"})
        await writer.call("PUT", path, json={"priority": 3, "title": "Mine"})
        await writer.call("POST", f"{path}/cancel")
        await writer.call("POST", f"{path}/retry", 403)
        await writer.call("DELETE", path, 204)
    async with holding(desk, MEMBER, desk.project) as member:
        task = await member.call("POST", "tasks", 201, json={"agent": "echo"})
        await member.call("PUT", f"tasks/{task['id']}", json={"input": 1})
        await member.call("POST", f"tasks/{task['id']}/cancel")
        await member.call("POST", f"tasks/{task['id']}/retry")
        agent = {"name": "own", "runtime": "command", "config": {"command": ["true"]}}
        problem = await member.call("POST", "agents", 403, json=agent)
        assert problem["missing"] == ["agents:write"]


async def test_a_token_of_a_project_sees_that_one_only(desk: Desk) -> None:
    task = await desk.create()
    other = f"{desk.project}-o"
    await desk.call("POST", "projects", 201, json={"name": other})
    async with holding(desk, MEMBER, other) as stranger:
        await call_all(stranger, task, {f"GET {part}": 404 for part in READS})
        await call_all(stranger, task, dict.fromkeys(CHANGES, 404))
        await stranger.call("GET", "tasks", 404)
        await stranger.call("POST", "tasks", 404, json={"agent": "echo"})
        stranger.api.params = stranger.api.params.set("project", other)
        assert (await stranger.call("GET", "tasks"))["items"] == []


async def test_an_attempt_reads_itself_and_its_dependencies(desk: Desk) -> None:
    before, stranger = await desk.create(), await desk.create()
    task = await desk.create(depends_on=[before["id"]])
    await desk.run("delete from blocked where task_id = :id", id=task["id"])
    await desk.run(
        "insert into running (task_id, lane_id, priority, attempt, failures, losses, gated,"
        " worker_id, agent_id, agent_version, queued_at, token_hash)"
        " select task.id, lane_id, 0, 1, 0, 0, false, task.id, agent_id, 1, now(), :hash"
        " from task join lane on lane.id = lane_id where task.id = :id",
        id=task["id"],
        hash=sha256(SECRET.encode()).digest(),
    )
    async with bearing(desk, f"pat_{UUID(task['id']).hex}_1_{SECRET}") as attempt:
        for own in (task, before):
            await call_all(attempt, own, {f"GET {part}": 200 for part in READS})
            await call_all(attempt, own, dict.fromkeys(CHANGES, 403))
        await call_all(attempt, stranger, {f"GET {part}": 404 for part in READS})
        answer = await attempt.api.get("tasks")
        assert answer.status_code == 403
        await attempt.call("POST", "tasks", 403, json={"agent": "echo"})
