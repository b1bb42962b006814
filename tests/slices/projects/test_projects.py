"""Projects: created, weighed, deleted only when nothing is open in them."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from podium.kernel.errors import NotFound
from podium.kernel.ids import uuid7
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
        "select type, actor from event where subject = $1 order by id", made["id"]
    )
    assert [row["type"] for row in rows] == [
        "project.created",
        "project.updated",
        "project.deleted",
    ]
    assert {row["actor"] for row in rows} == {"admin:local"}


async def test_a_name_is_taken_once_and_free_again_after_deletion(api: httpx.AsyncClient) -> None:
    first = (await api.post("/projects", json={"name": "x"})).json()
    taken = await api.post("/projects", json={"name": "x"})
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
    await api.delete("/projects/x")
    second = (await api.post("/projects", json={"name": "x"})).json()
    assert second["id"] != first["id"]


async def test_the_default_project_always_exists(
    api: httpx.AsyncClient, database: Database
) -> None:
    assert (await api.get("/projects/default")).status_code == 200
    assert (await api.delete("/projects/default")).status_code == 409

    async def ensure() -> None:
        async with database.transaction() as conn:
            await ensure_default(conn)

    await asyncio.gather(*(ensure() for _ in range(5)))
    assert len((await api.get("/projects")).json()["items"]) == 1


async def test_a_project_with_open_tasks_is_not_deleted(api: httpx.AsyncClient) -> None:
    await api.post("/projects", json={"name": "busy"})
    body = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}
    busy = {"project": "busy"}
    assert (await api.post("/agents", json=body, params=busy)).status_code == 201
    task = (await api.post("/tasks", json={"agent": "a"}, params=busy)).json()
    refused = await api.delete("/projects/busy")
    assert (refused.status_code, refused.json()["project"]) == (409, "busy")
    await api.post(f"/tasks/{task['id']}/cancel", params=busy)
    assert (await api.delete("/projects/busy")).status_code == 204
    assert (await api.get("/tasks", params=busy)).status_code == 404


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
