"""Limits over HTTP: set, named by tasks, explained, and deleted."""

from typing import Any

import httpx
import pytest

from podium.storage.database import Database
from slices.scheduler.books import assert_balanced

AGENT = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}


@pytest.fixture
async def agent(api: httpx.AsyncClient) -> str:
    assert (await api.post("/agents", json=AGENT)).status_code == 201
    return "a"


async def put(api: httpx.AsyncClient, name: str, **rule: Any) -> dict[str, Any]:
    answer = await api.put(f"/limits/{name}", json=rule)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def submit(api: httpx.AsyncClient, *limits: str) -> dict[str, Any]:
    answer = await api.post("/tasks", json={"agent": "a", "limits": limits})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def explained(api: httpx.AsyncClient, task: dict[str, Any]) -> str:
    return (await api.get(f"/tasks/{task['id']}/explain")).json()["why"]


async def test_a_limit_is_set_used_changed_and_deleted(
    api: httpx.AsyncClient, agent: str, database: Database
) -> None:
    made = await put(api, "repo:main", concurrency=1)
    assert (made["name"], made["project"], made["concurrency"]) == ("repo:main", "default", 1)
    assert (made["rate"], made["used"], made["waiting"]) == (None, 0, 0)
    first, second = await submit(api, "repo:main"), await submit(api, "repo:main", "repo:main")
    assert (first["state"], second["state"]) == ("queued", "pending")
    assert first["limits"] == second["limits"] == ["repo:main"]
    found = (await api.get("/limits/repo:main")).json()
    assert (found["used"], found["waiting"]) == (1, 1)
    changed = await put(api, "repo:main", concurrency=2, rate={"count": 5})
    assert changed["rate"] == {"count": 5, "seconds": 1, "burst": 5}
    assert (changed["used"], changed["waiting"]) == (2, 0)
    for _ in range(2):
        assert (await api.delete("/limits/repo:main")).status_code == 204
    assert (await api.get("/limits/repo:main")).status_code == 404
    rows = await database.call(
        "select type, actor from event where type like 'limit.%' order by epoch, xid, id"
    )
    assert [row["type"] for row in rows] == ["limit.updated", "limit.updated", "limit.deleted"]
    assert {row["actor"] for row in rows} == {"admin:local"}


async def test_a_family_counts_all_its_names(api: httpx.AsyncClient, agent: str) -> None:
    await put(api, "customer:*", concurrency=1)
    await put(api, "other", concurrency=1)
    for who in ("1", "1", "2"):
        await submit(api, f"customer:{who}")
    await put(api, "customer:big", concurrency=1)
    for _ in range(2):
        await submit(api, "customer:big")
    assert (await api.delete("/limits/other")).status_code == 204
    await put(api, "other", concurrency=1)
    page = (await api.get("/limits", params={"limit": 1})).json()
    rest = (await api.get("/limits", params={"cursor": page["next"]})).json()
    found = [(each["name"], each["used"], each["waiting"]) for each in page["items"]]
    assert found == [("customer:*", 2, 1)]
    found = [(each["name"], each["used"], each["waiting"]) for each in rest["items"]]
    assert found == [("customer:big", 1, 1), ("other", 0, 0)]


async def test_a_name_that_is_none_is_told_where_it_stands(
    api: httpx.AsyncClient, agent: str
) -> None:
    await put(api, "db", concurrency=1)
    answer = await api.post("/tasks", json={"agent": "a", "limits": ["db", "dbb"]})
    told = answer.json()
    assert (answer.status_code, told["code"]) == (404, "not_found")
    assert (told["errors"][0]["field"], "podium limit set" in told["hint"]) == ("limits.1", True)
    many = {"tasks": [{"agent": "a"}, {"agent": "a", "limits": ["x"]}]}
    answer = await api.post("/tasks/bulk", json=many)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "tasks.1.limits.0")
    assert (await api.get("/tasks")).json()["items"] == []


async def test_a_large_call_is_refused_whole(api: httpx.AsyncClient, agent: str) -> None:
    """It is accepted in chunks, but checked before the first."""
    await put(api, "db", concurrency=1)
    await api.put("/queues/old", json={"state": "draining"})
    tasks: list[dict[str, Any]] = [{"agent": "a", "limits": ["db"]} for _ in range(600)]
    for wrong, status, code in (
        ({"limits": ["dbb"]}, 404, "not_found"),
        ({"queue": "old"}, 409, "queue_draining"),
    ):
        body = {"tasks": [*tasks, {"agent": "a", **wrong}]}
        answer = await api.post("/tasks/bulk", json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await api.get("/tasks")).json()["items"] == []
    made = await api.post("/tasks/bulk", json={"tasks": tasks}, headers={"Idempotency-Key": "k"})
    assert made.status_code == 201
    await api.delete("/limits/db")
    again = await api.post("/tasks/bulk", json={"tasks": tasks}, headers={"Idempotency-Key": "k"})
    assert again.json() == made.json()


async def test_why_a_task_waits(api: httpx.AsyncClient, agent: str, database: Database) -> None:
    await put(api, "db", concurrency=1)
    await submit(api, "db")
    second, third = await submit(api, "db"), await submit(api, "db")
    assert await explained(api, second) == (
        "It waits for the limit db: 1 of 1 tasks run or are ready."
    )
    assert await explained(api, third) == (
        "It waits for the limit db: 1 of 1 tasks run or are ready, and 1 other task comes first."
    )
    await put(api, "api", rate={"count": 1, "seconds": 60})
    await submit(api, "api")
    slow = await submit(api, "api")
    assert await explained(api, slow) == "It waits for the limit api: 1 task in 60 s may start."


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({}, "body"),
        ({"concurrency": 0}, "concurrency"),
        ({"rate": {"count": 0}}, "rate.count"),
        ({"concurrency": 1, "units": 1}, "units"),
    ],
)
async def test_what_is_laid_down_is_checked(
    api: httpx.AsyncClient, rule: dict[str, Any], field: str
) -> None:
    answer = await api.put("/limits/x", json=rule)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("name", ["-x", "a*b", "*", "a b", "x" * 201])
async def test_names_are_checked(api: httpx.AsyncClient, name: str) -> None:
    answer = await api.put(f"/limits/{name}", json={"concurrency": 1})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "limit")


async def test_a_task_names_no_family(api: httpx.AsyncClient, agent: str) -> None:
    await put(api, "c:*", concurrency=1)
    answer = await api.post("/tasks", json={"agent": "a", "limits": ["c:*"]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "limits.0")


async def test_names_may_have_slashes(api: httpx.AsyncClient, agent: str) -> None:
    await put(api, "repo/main", concurrency=1)
    assert (await api.get("/limits/repo/main")).json()["name"] == "repo/main"
    assert (await submit(api, "repo/main"))["state"] == "queued"


async def test_who_may_look_and_who_may_change(api: httpx.AsyncClient) -> None:
    await put(api, "x", concurrency=1)
    made = await api.post("/tokens", json={"name": "t", "scopes": ["limits:read"]})
    reader = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await api.get("/limits/x", headers=reader)).status_code == 200
    for answer in (
        await api.put("/limits/x", json={"concurrency": 2}, headers=reader),
        await api.delete("/limits/x", headers=reader),
    ):
        assert (answer.status_code, answer.json()["missing"]) == (403, ["limits:write"])


async def test_those_who_wait_follow_the_ageing_of_their_project(
    api: httpx.AsyncClient, agent: str, database: Database
) -> None:
    await put(api, "one", concurrency=1)
    for _ in range(3):
        await submit(api, "one")
    await api.put("/projects/default", json={"priority_ageing": 60})
    await submit(api, "one")
    [found] = await database.call("select count(*) as n from wait where priority = 0")
    assert found["n"] == 3
    await api.put(f"/tasks/{(await submit(api, 'one'))['id']}", json={"priority": 7})
    await assert_balanced(database)
    await api.put("/projects/default", json={"priority_ageing": None})
    await assert_balanced(database)
