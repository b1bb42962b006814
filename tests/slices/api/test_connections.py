"""No request takes a second connection while it holds one: with all taken, each waited for ever."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from podium import app as composition
from podium.kernel.settings import Settings
from podium.kernel.web import PREFIX

HEALTH = ("/health/live", "/health/ready")
TEXTS = ("/metrics", "/tasks/export")
PATIENCE_SECONDS = 20.0
"""Less than a request waits for a connection."""


@asynccontextmanager
async def api_with(
    settings: Settings, token: str, connections: int
) -> AsyncGenerator[tuple[FastAPI, httpx.AsyncClient]]:
    app = composition.create_api(settings.model_copy(update={"database_pool_size": connections}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url=f"http://localhost{PREFIX}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=None,
        ) as client,
    ):
        yield app, client


@pytest.mark.parametrize("query", ["project=*&after=0.0.0", "project=*&last=5", "project=*"])
async def test_many_read_events_over_few_connections(
    prepared: Settings, admin_token: str, query: str
) -> None:
    async with api_with(prepared, admin_token, 2) as (_, client):
        async with asyncio.timeout(PATIENCE_SECONDS):
            answers = await asyncio.gather(*(client.get(f"/events?{query}") for _ in range(30)))
        assert {answer.status_code for answer in answers} == {200}
        assert all(answer.json()["items"] for answer in answers)


class Caller:
    """Calls every operation, each with a path of its template, and remembers which it called."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.called: set[str] = set()

    async def __call__(
        self, operation: str, *parts: str, body: object = None, **query: str
    ) -> dict[str, Any]:
        method, template = operation.split()
        names = iter(parts)
        path = re.sub(r"\{\w+\}", lambda _: next(names), template)
        url = f"http://localhost{path}" if path in ("/metrics", *HEALTH) else path
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await self.client.request(method, url, json=body, params=query)
        assert answer.status_code < 300, (operation, answer.text)
        self.called.add(operation)
        return answer.json() if answer.content and template not in TEXTS else {}


async def test_one_connection_is_enough_for_every_request(
    prepared: Settings, admin_token: str
) -> None:
    """With a single one, a request that wants a second waits in vain, alone as it is."""
    async with api_with(prepared, admin_token, 1) as (app, client):
        call = Caller(client)
        await _call_registry(call)
        await _call_tasks(call)
        about = (
            "/workers",
            "/status",
            "/overview",
            "/diagnosis",
            "/settings",
            "/whoami",
            "/metrics",
        )
        for path in ("/events", *about, *HEALTH):
            await call(f"GET {path}")
        for query in ({"after": "0.0.0"}, {"last": "5"}):
            assert (await call("GET /events", **query))["items"]
        documented = {
            f"{method.upper()} {path.removeprefix(PREFIX)}"
            for path, operations in app.openapi()["paths"].items()
            for method in operations
        }
    assert documented - call.called == {
        "GET /events/stream",
        "GET /tasks/{task_id}/logs/stream",
        "GET /sessions/{task_id}/transcript/stream",
        "GET /tasks/{task_id}/artifacts/{name}",  # there is none
    }


async def _call_sessions(call: Caller) -> None:
    talks = {"command": ["cat"], "session": {"input": "text"}}
    await call("POST /agents", body={"name": "talker", "runtime": "command", "config": talks})
    new = {"agent": "talker", "message": "hello"}
    session = (await call("POST /agents/spawn", body=new))["id"]
    await call("GET /sessions")
    await call("GET /sessions/{task_id}", session)
    await call("POST /sessions/{task_id}/input", session, body={"text": "x"})
    await call("POST /sessions/{task_id}/pause", session)
    await call("POST /sessions/{task_id}/resume", session)
    await call("POST /sessions/{task_id}/close", session)
    await call("GET /sessions/{task_id}/transcript", session)
    await call("POST /agents/{agent}/terminate", session)
    await call("DELETE /sessions/{task_id}", session)
    await call("DELETE /agents/{agent}", "talker")


async def _call_registry(call: Caller) -> None:
    await call("POST /projects", body={"name": "p"})
    await call("GET /projects")
    await call("GET /projects/{name}", "p")
    await call("PUT /projects/{name}", "p", body={"weight": 2.0})
    new = {"name": "t", "scopes": ["tasks:read"], "project": "p"}
    token = await call("POST /tokens", body=new)
    headers = {"Authorization": f"Bearer {token['token']}"}
    assert (await call.client.get("/whoami", headers=headers)).json()["project"] == "p"
    assert (await call.client.get("/tasks", headers=headers)).status_code == 200
    await call("GET /tokens")
    await call("DELETE /tokens/{token_id}", token["id"])
    await call("DELETE /projects/{name}", "p")
    agent = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}
    await call("POST /agents", body=agent)
    await call("GET /agents")
    await call("PUT /filters/{filter}", "f", body={"filter": {"state": ["failed"]}})
    await call("GET /filters")
    await call("GET /filters/{filter}", "f")
    await call("DELETE /filters/{filter}", "f")
    await call("GET /agents/{agent}", "a")
    await call("POST /agents/check", body=agent)
    thing = {"project": "default", "kind": "Agent", "name": "a"}
    await call("PUT /applied/{set}", "s", body={"applied": [thing]})
    await call("GET /applied")
    await call("PUT /agents/{agent}", "a", body={"config": {"command": ["false"]}})
    await call("GET /agents/{agent}/versions", "a")
    await call("GET /agents/{agent}/versions/{version}", "a", "1")
    await call("GET /agents/{agent}/diff", "a")
    await call("POST /agents/{agent}/rollback", "a", body={"version": 1})
    await call("POST /agents/{agent}/probe", "a")
    await _call_sessions(call)
    await call("PUT /queues/{queue}", "q", body={"concurrency": 1})
    await call("GET /queues")
    await call("GET /queues/{queue}", "q")
    await call("DELETE /queues/{queue}", "q")
    await call("PUT /limits/{limit}", "k:*", body={"concurrency": 1})
    await call("PUT /limits/{limit}", "old", body={"rate": {"count": 1}})
    await call("GET /limits")
    await call("GET /limits/{limit}", "k:*")
    await call("DELETE /limits/{limit}", "old")
    schedule = {"name": "s", "cron": "0 * * * *", "paused": True, "task": {"agent": "a"}}
    await call("POST /schedules", body=schedule)
    await call("POST /schedules/preview", body={"every": 60})
    await call("GET /schedules")
    await call("GET /schedules/{schedule}", "s")
    await call("PUT /schedules/{schedule}", "s", body={"note": "n", "task": {"agent": "a"}})
    await call("GET /schedules/{schedule}/times", "s")
    await call("POST /schedules/{schedule}/trigger", "s")
    span = {"begin": "2026-03-01T00:00:00Z", "end": "2026-03-01T01:00:00Z"}
    await call("POST /schedules/{schedule}/backfill/preview", "s", body=span)
    await call("POST /schedules/{schedule}/backfill", "s", body=span)
    await call("GET /schedules/{schedule}/firings", "s")
    await call("DELETE /schedules/{schedule}", "s")
    template = {"name": "m", "prompt": "Look.", "task": {"agent": "a"}}
    await call("POST /templates/check", body=template)
    await call("POST /templates", body=template)
    await call("GET /templates")
    await call("GET /templates/{template}", "m")
    await call("PUT /templates/{template}", "m", body={"prompt": "Look again."})
    await call("GET /templates/{template}/versions", "m")
    await call("POST /templates/{template}/preview", "m", body={})
    await call("POST /templates/{template}/start", "m", body={})
    await call("DELETE /templates/{template}", "m")


async def _call_tasks(call: Caller) -> None:
    first = (await call("POST /tasks", body={"agent": "a"}))["id"]
    limited = {"agent": "a", "limits": ["k:1", "k:2"]}
    await call("POST /tasks", body=limited)
    held = (await call("POST /tasks", body=limited))["id"]
    await call("GET /tasks/{task_id}/explain", held)
    await call("POST /tasks", body={"agent": "a", "depends_on": [first], "delay": 60})
    await call("POST /tasks", body={"capabilities": ["rare"], "queue": "other"})
    await call("POST /tasks/bulk", body={"tasks": [{"agent": "a", "depends_on": [first]}] * 3})
    await call("GET /tasks", agent="a")
    await call("GET /tasks/{task_id}", first)
    change = {"priority": 5, "input": "x", "timeouts": {"queue": 60}}
    await call("PUT /tasks/{task_id}", first, body=change)
    for part in ("history", "attempts", "logs", "artifacts", "explain"):
        await call(f"GET /tasks/{{task_id}}/{part}", first)
    await call("POST /tasks/{task_id}/cancel", first)
    await call("POST /tasks/{task_id}/retry", first)
    alone = (await call("POST /tasks", body={"agent": "a"}))["id"]
    await call("POST /tasks/{task_id}/cancel", alone)
    await call("DELETE /tasks/{task_id}", alone)
    for query in ({}, {"search": "x or y"}, {"sort": "finished"}):
        await call("GET /tasks", **query)
    await call("GET /tasks/count", search="x")
    await call("GET /tasks/export")
    await call("POST /tasks/reprioritise", body={"priority": 3})
    for what in ("cancel", "retry", "cancel", "delete"):
        await call(f"POST /tasks/{what}", body={})
    await call("DELETE /agents/{agent}", "a")
