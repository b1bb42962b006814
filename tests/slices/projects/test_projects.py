"""Projects: created, weighed, deleted only when they are empty."""

import asyncio
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from podium.kernel.errors import NotFound
from podium.kernel.ids import uuid7
from podium.principals.model import Principal
from podium.projects import service as service_module
from podium.projects.service import ProjectService, ensure_default
from podium.storage.database import Database


async def test_a_project_is_created_changed_and_deleted(
    api: httpx.AsyncClient, database: Database
) -> None:
    made = (await api.post("/projects", json={"name": "research", "weight": 2.5})).json()
    assert (made["name"], made["weight"]) == ("research", 2.5)
    changed = await api.put("/projects/research", json={"weight": 0.1})
    assert changed.json() == {**made, "weight": 0.1}
    assert (await api.get("/projects/research")).json() == changed.json()
    assert (await api.delete("/projects/research")).status_code == 204
    assert (await api.get("/projects/research")).status_code == 404
    assert (await api.delete("/projects/research")).status_code == 404
    assert (await api.put("/projects/research", json={"weight": 1})).status_code == 404
    rows = await database.call(
        "select type, actor from event where subject = $1 order by epoch, xid, id", made["id"]
    )
    assert [row["type"] for row in rows] == [
        "project.created",
        "project.updated",
        "project.deleted",
    ]
    assert {row["actor"] for row in rows} == {"admin:local"}


async def test_priorities_age_where_a_project_says_so(api: httpx.AsyncClient) -> None:
    made = (await api.post("/projects", json={"name": "x", "priority_ageing": 60})).json()
    assert (made["weight"], made["priority_ageing"]) == (1, 60)
    changed = (await api.put("/projects/x", json={"weight": 2})).json()
    assert (changed["weight"], changed["priority_ageing"]) == (2, 60)
    changed = (await api.put("/projects/x", json={"priority_ageing": None})).json()
    assert (changed["weight"], changed["priority_ageing"]) == (2, None)
    assert (await api.get("/projects/x")).json() == changed
    for wrong in ({"priority_ageing": 0}, {"priority_ageing": "1m"}, {"weight": None}):
        assert (await api.put("/projects/x", json=wrong)).status_code == 422


async def test_a_name_is_taken_once_and_free_again_after_deletion(api: httpx.AsyncClient) -> None:
    first = (await api.post("/projects", json={"name": "x"})).json()
    taken = await api.post("/projects", json={"name": "x"})
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
    assert "podium project edit" in taken.json()["hint"]
    await api.delete("/projects/x")
    second = (await api.post("/projects", json={"name": "x"})).json()
    assert second["id"] != first["id"]


async def test_the_default_project_always_exists(
    api: httpx.AsyncClient, database: Database
) -> None:
    assert (await api.get("/projects/default")).status_code == 200
    kept = await api.delete("/projects/default")
    assert (kept.status_code, "names no project" in kept.json()["hint"]) == (409, True)

    async def ensure() -> None:
        async with database.transaction() as conn:
            await ensure_default(conn)

    await asyncio.gather(*(ensure() for _ in range(5)))
    assert len((await api.get("/projects")).json()["items"]) == 1


async def test_only_an_empty_project_is_deleted(api: httpx.AsyncClient) -> None:
    await api.post("/projects", json={"name": "busy"})
    body = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}
    busy = {"project": "busy"}
    assert (await api.post("/agents", json=body, params=busy)).status_code == 201
    tasks = [(await api.post("/tasks", json={"agent": "a"}, params=busy)).json() for _ in range(2)]
    token = {"name": "t", "scopes": ["tasks:read"], "project": "busy"}
    made = (await api.post("/tokens", json=token)).json()
    for task in tasks:
        await api.post(f"/tasks/{task['id']}/cancel")

    refused = await api.delete("/projects/busy")
    problem = refused.json()
    assert (refused.status_code, problem["project"]) == (409, "busy")
    assert (problem["agents"], problem["tasks"], problem["tokens"]) == (1, 2, 1)
    assert "1 agent, 2 tasks, 1 token." in problem["detail"]
    assert "podium task delete" in problem["hint"]
    for task in tasks:
        await api.delete(f"/tasks/{task['id']}")
    assert (await api.delete("/projects/busy")).json()["tasks"] == 0
    await api.delete("/agents/a", params=busy)
    assert "it holds: 1 token." in (await api.delete("/projects/busy")).json()["detail"]
    await api.delete(f"/tokens/{made['id']}")
    assert (await api.delete("/projects/busy")).status_code == 204
    assert (await api.get("/tasks", params=busy)).status_code == 404


async def test_expired_tokens_keep_no_project(api: httpx.AsyncClient, database: Database) -> None:
    await api.post("/projects", json={"name": "x"})
    token = {"name": "t", "scopes": ["tasks:read"], "project": "x", "expires_in": 60}
    assert (await api.post("/tokens", json=token)).status_code == 201
    assert (await api.delete("/projects/x")).status_code == 409
    await database.call("update token set expires_at = now() where name = 't'")
    assert (await api.delete("/projects/x")).status_code == 204


async def test_more_tasks_than_are_counted(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_COUNTED", 1)
    await api.post("/projects", json={"name": "x"})
    for _ in range(3):
        await api.post("/tasks", json={"capabilities": ["y"]}, params={"project": "x"})
    problem = (await api.delete("/projects/x")).json()
    assert "it holds: more than 1 tasks." in problem["detail"]


@pytest.mark.parametrize("what", ["tasks", "agents", "tokens"])
async def test_nothing_comes_to_a_project_while_it_is_deleted(
    app: FastAPI, api: httpx.AsyncClient, database: Database, what: str
) -> None:
    await api.post("/projects", json={"name": "x"})
    bodies: dict[str, dict[str, object]] = {
        "tasks": {"capabilities": ["y"]},
        "agents": {"name": "a", "runtime": "command", "config": {"command": ["true"]}},
        "tokens": {"name": "t", "scopes": ["tasks:read"], "project": "x"},
    }
    params = {} if what == "tokens" else {"project": "x"}
    await api.get("/tasks", params={"project": "x"})  # its name is known from now on
    projects: ProjectService = app.state.services[ProjectService]
    admin = Principal("admin", uuid7(), "admin:t", None, frozenset({"admin"}))
    async with database.transaction() as conn:
        await projects.delete(conn, admin, "x")
        coming = asyncio.create_task(api.post(f"/{what}", json=bodies[what], params=params))
        await asyncio.sleep(0.3)
        assert not coming.done()
    answer = await coming
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("what", ["tasks", "agents", "tokens"])
async def test_what_comes_to_a_project_first_keeps_it(
    api: httpx.AsyncClient, database: Database, what: str
) -> None:
    project = (await api.post("/projects", json={"name": "x"})).json()["id"]
    coming = {
        "tasks": "select require_projects(array[:id]::uuid[])",
        "agents": "insert into agent (id, project_id, name, runtime) values (:id, :id, 'a', 'x')",
        "tokens": "insert into token (id, project_id, name, secret_hash, scopes, created_by)"
        " values (:id, :id, 't', '', '{}', 't')",
    }[what]
    async with database.transaction() as conn:
        await conn.execute(sa.text(coming), {"id": UUID(project)})
        deleting = asyncio.create_task(api.delete("/projects/x"))
        await asyncio.sleep(0.3)
        assert not deleting.done()
    assert (await deleting).status_code == (204 if what == "tasks" else 409)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "Big"},
        {"name": "-x"},
        {"name": "x" * 64},
        {"name": "a_b"},
        {"name": "x", "weight": 0},
        {"name": "x", "weight": "NaN"},
        {"name": "x", "weight": 1e9},
        {"name": "x", "surprise": 1},
        {"name": "a\u0000b"},
    ],
)
async def test_a_wrong_definition_is_refused(api: httpx.AsyncClient, body: object) -> None:
    answer = await api.post("/projects", json=body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_input"


async def test_lists_are_in_order_and_have_pages(api: httpx.AsyncClient) -> None:
    for name in ("b", "a", "c"):
        await api.post("/projects", json={"name": name})
    page = (await api.get("/projects", params={"limit": 3})).json()
    assert [each["name"] for each in page["items"]] == ["a", "b", "c"]
    rest = (await api.get("/projects", params={"limit": 3, "cursor": page["next"]})).json()
    assert [each["name"] for each in rest["items"]] == ["default"]
    assert rest["next"] is None


async def test_lookups_are_remembered_and_forgotten_on_a_change(
    app: FastAPI, api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.post("/projects", json={"name": "x"})
    projects: ProjectService = app.state.services[ProjectService]
    known = await projects.resolve("x")
    assert await projects.resolve("x") is known
    assert await projects.name(known.id) == "x"
    await api.put("/projects/x", json={"weight": 3})
    assert (await projects.resolve("x")).weight == 3
    await api.delete("/projects/x")
    with pytest.raises(NotFound):
        await projects.resolve("x")
    assert await ProjectService(database).name(known.id) == "x"
    with pytest.raises(NotFound):
        await projects.name(uuid7())
    assert await projects.name(known.id) == "x"


async def test_another_process_notices_a_deletion_in_time(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_TRUSTED_SECONDS", 0.2)
    await api.post("/projects", json={"name": "x"})
    elsewhere = ProjectService(database)
    await elsewhere.resolve("x")
    await api.delete("/projects/x")
    await asyncio.sleep(0.25)
    with pytest.raises(NotFound):
        await elsewhere.resolve("x")
