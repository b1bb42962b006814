"""An attempt's credential: it lives with the attempt and reaches nothing but it."""

from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest

from podium.kernel.errors import NotFound, Unauthenticated
from podium.kernel.ids import uuid7
from podium.principals import service as service_module
from podium.principals.credentials import attempt_token
from podium.principals.service import PrincipalService
from podium.storage.database import Database


@dataclass
class Running:
    """A row of ``running`` with a token, as a worker leaves it."""

    task: UUID
    dependency: UUID
    project: UUID
    token: str


@pytest.fixture
async def running(api: httpx.AsyncClient, database: Database) -> Running:
    body = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}
    assert (await api.post("/agents", json=body)).status_code == 201
    first = (await api.post("/tasks", json={"agent": "a"})).json()["id"]
    task = {"agent": "a", "depends_on": [first]}
    second = (await api.post("/tasks", json=task)).json()["id"]
    token, secret_hash = attempt_token(UUID(second), 2)
    [row] = await database.call(
        "insert into running (task_id, lane_id, priority, attempt, failures, losses, gated,"
        " worker_id, agent_id, agent_version, queued_at, token_hash)"
        " select id, lane_id, 0, 2, 0, 0, false, $3, $3, 1, now(), $2 from task where id = $1"
        " returning (select project_id from task where id = $1) as project",
        UUID(second),
        secret_hash,
        uuid7(),
    )
    return Running(UUID(second), UUID(first), row["project"], token)


async def test_it_sees_its_task_and_dependencies_and_nothing_else(
    api: httpx.AsyncClient, running: Running
) -> None:
    other = (await api.post("/tasks", json={"agent": "a"})).json()["id"]
    api.headers["Authorization"] = f"Bearer {running.token}"
    who = (await api.get("/whoami")).json()
    assert (who["kind"], who["project"]) == ("attempt", "default")
    for task in (running.task, running.dependency):
        assert (await api.get(f"/tasks/{task}")).status_code == 200
        assert (await api.get(f"/tasks/{task}/logs")).status_code == 200
    assert (await api.get(f"/tasks/{other}")).status_code == 404
    events = (await api.get("/events")).json()["items"]
    assert {event["subject"] for event in events} == {str(running.task), str(running.dependency)}
    assert (await api.get("/events", params={"subject": other})).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/tasks"),
        ("POST", "/agents"),
        ("GET", "/agents"),
        ("GET", "/tokens"),
        ("GET", "/projects"),
        ("GET", "/settings"),
        ("GET", "/status"),
        ("POST", "/tasks/{task}/cancel"),
        ("POST", "/tasks/{task}/retry"),
        ("DELETE", "/tasks/{task}"),
    ],
)
async def test_it_may_do_nothing_else(
    api: httpx.AsyncClient, running: Running, method: str, path: str
) -> None:
    api.headers["Authorization"] = f"Bearer {running.token}"
    body = {"agent": "a", "name": "x", "runtime": "command", "config": {"command": ["true"]}}
    if path == "/tasks":
        body = {"agent": "a"}
    answer = await api.request(
        method,
        path.format(task=running.task),
        json=body if method == "POST" and "{" not in path else None,
    )
    assert answer.status_code == 403, answer.text


async def test_lists_of_tasks_do_not_show_others(api: httpx.AsyncClient, running: Running) -> None:
    await api.post("/tasks", json={"agent": "a"})
    api.headers["Authorization"] = f"Bearer {running.token}"
    assert (await api.get("/tasks")).status_code == 403


async def test_it_ends_with_the_attempt(
    running: Running, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "TRUSTED_SECONDS", 0.0)
    principals = PrincipalService(database)
    principal = await principals.authenticate(running.token)
    assert principal.tasks == {running.task, running.dependency}
    with pytest.raises(NotFound):
        principal.check_task(running.task, uuid7())
    principal.check_task(running.task, running.project)
    wrong = running.token.replace("_2_", "_1_")
    with pytest.raises(Unauthenticated):
        await principals.authenticate(wrong)
    await database.call("update running set attempt = 3")
    with pytest.raises(Unauthenticated):
        await principals.authenticate(running.token)
    await database.call("delete from running")
    with pytest.raises(Unauthenticated):
        await principals.authenticate(running.token)
