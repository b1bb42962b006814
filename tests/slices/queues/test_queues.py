"""Queues over HTTP: limited, paused, drained, and reset."""

import asyncio
from typing import Any

import httpx
import pytest

from podium.storage.database import Database

AGENT = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}


@pytest.fixture
async def agent(api: httpx.AsyncClient) -> str:
    assert (await api.post("/agents", json=AGENT)).status_code == 201
    return "a"


async def put(api: httpx.AsyncClient, name: str, **rules: Any) -> dict[str, Any]:
    answer = await api.put(f"/queues/{name}", json=rules)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def submit(api: httpx.AsyncClient, agent: str, queue: str) -> httpx.Response:
    return await api.post("/tasks", json={"agent": agent, "queue": queue})


async def test_a_queue_is_limited_changed_and_reset(
    api: httpx.AsyncClient, database: Database
) -> None:
    made = await put(api, "mail", concurrency=3, rate={"count": 10, "seconds": 60})
    assert (made["name"], made["project"], made["state"]) == ("mail", "default", "open")
    assert (made["concurrency"], made["rate"]) == (3, {"count": 10, "seconds": 60, "burst": 10})
    assert (made["queued"], made["running"]) == (0, 0)
    assert made["distribution"] == "least_loaded"
    changed = await put(api, "mail", rate=None, state="paused")
    assert (changed["concurrency"], changed["rate"], changed["state"]) == (3, None, "paused")
    assert await put(api, "mail") == (await api.get("/queues/mail")).json() == changed
    for _ in range(2):
        assert (await api.delete("/queues/mail")).status_code == 204
    assert (await api.get("/queues/mail")).status_code == 404
    rows = await database.call(
        "select type, actor, data ->> 'state' as state from event where type like 'queue.%'"
        " order by epoch, xid, id"
    )
    assert [(row["type"], row["state"]) for row in rows] == [
        ("queue.updated", "open"),
        ("queue.updated", "paused"),
        ("queue.deleted", None),
    ]
    assert {row["actor"] for row in rows} == {"admin:local"}


async def test_what_was_dealt_is_forgotten_with_the_way_to_deal(
    api: httpx.AsyncClient, database: Database
) -> None:
    made = await put(api, "mail", distribution="round_robin", concurrency=2)
    assert made["distribution"] == "round_robin"
    turn = (
        "insert into turn select project_id, name, gen_random_uuid(), 9 from queue"
        " where name = 'mail'"
    )
    for change in ({"distribution": "weighted"}, None):
        await database.call(turn)
        await put(api, "mail", concurrency=3)
        assert await database.call("select from turn")
        if change:
            await put(api, "mail", **change)
        else:
            await api.delete("/queues/mail")
        assert not await database.call("select from turn")
    assert (await api.put("/queues/mail", json={"distribution": "luck"})).status_code == 422


async def test_the_same_again_changes_nothing(api: httpx.AsyncClient, database: Database) -> None:
    rate = {"count": 10, "seconds": 60}
    first = await put(api, "mail", concurrency=3, rate=rate)
    await database.call("update queue set tokens = 0.5")
    assert await put(api, "mail", concurrency=3, rate=rate) == first
    assert (await database.call("select tokens from queue"))[0]["tokens"] == 0.5
    told = await database.call("select count(*) as n from event where type = 'queue.updated'")
    assert told[0]["n"] == 1


async def test_queues_are_those_that_are_used_or_limited(
    api: httpx.AsyncClient, agent: str
) -> None:
    for queue in ("used", "used", "both"):
        await submit(api, agent, queue)
    await put(api, "both", concurrency=1)
    await put(api, "limited", concurrency=1)
    await api.post("/projects", json={"name": "other"})
    await api.put("/queues/elsewhere", json={"concurrency": 1}, params={"project": "other"})
    page = (await api.get("/queues", params={"limit": 2})).json()
    rest = (await api.get("/queues", params={"limit": 2, "cursor": page["next"]})).json()
    found = [(each["name"], each["queued"]) for each in page["items"] + rest["items"]]
    assert found == [("both", 1), ("limited", 0), ("used", 2)]
    assert rest["next"] is None
    used = (await api.get("/queues/used")).json()
    assert (used["state"], used["updated_at"]) == ("open", None)


async def test_a_name_that_nobody_used_is_told(api: httpx.AsyncClient) -> None:
    assert (await api.put("/queues/nothing", json={})).status_code == 404
    answer = await api.get("/queues/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "podium queue list" in answer.json()["hint"]


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": "3"}, "concurrency"),
        ({"rate": {"seconds": 1}}, "rate.count"),
        ({"rate": {"count": 1, "seconds": 0.0001}}, "rate.seconds"),
        ({"rate": {"count": 0}}, "rate.count"),
        ({"rate": {"count": 1, "burst": 0}}, "rate.burst"),
        ({"rate": {"count": 1, "per": 1}}, "rate.per"),
        ({"state": "closed"}, "state"),
        ({"state": None}, "state"),
        ({"limit": 1}, "limit"),
    ],
)
async def test_what_is_laid_down_is_checked(
    api: httpx.AsyncClient, rules: dict[str, Any], field: str
) -> None:
    answer = await api.put("/queues/q", json=rules)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert (await api.get("/queues/q")).status_code == 404


async def test_only_what_is_wrong_is_told_of_a_rate(api: httpx.AsyncClient) -> None:
    for rate in ({"count": 0}, {"count": 5, "seconds": 0}, {"count": 1, "seconds": 1e9}):
        answer = await api.put("/queues/q", json={"rate": rate})
        [error] = answer.json()["errors"]
        assert error["field"] == ("rate.count" if rate["count"] == 0 else "rate.seconds")
        assert "default factory" not in answer.text


async def test_a_queue_has_a_name_as_tasks_have_it(api: httpx.AsyncClient) -> None:
    for name in ("-x", "a b", "ü", "x" * 101):
        answer = await api.put(f"/queues/{name}", json={"concurrency": 1})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "queue")


async def test_a_draining_queue_refuses_tasks_with_its_name(
    api: httpx.AsyncClient, agent: str
) -> None:
    await put(api, "old", state="draining")
    refused = await submit(api, agent, "old")
    assert (refused.status_code, refused.json()["code"]) == (409, "queue_draining")
    assert "podium queue open old" in refused.json()["hint"]
    many = {"tasks": [{"agent": agent, "queue": queue} for queue in ("default", "old")]}
    assert (await api.post("/tasks/bulk", json=many)).status_code == 409
    assert (await api.get("/tasks")).json()["items"] == []
    await put(api, "old", state="open")
    assert (await submit(api, agent, "old")).status_code == 201


async def test_who_may_look_and_who_may_change(api: httpx.AsyncClient) -> None:
    await put(api, "q", concurrency=1)
    made = await api.post("/tokens", json={"name": "t", "scopes": ["queues:read"]})
    reader = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await api.get("/queues/q", headers=reader)).status_code == 200
    for answer in (
        await api.put("/queues/q", json={"concurrency": 2}, headers=reader),
        await api.delete("/queues/q", headers=reader),
    ):
        assert (answer.status_code, answer.json()["missing"]) == (403, ["queues:write"])


async def test_changes_at_once_all_count(api: httpx.AsyncClient) -> None:
    await asyncio.gather(
        *(put(api, "q", **rules) for rules in ({"concurrency": 5}, {"state": "paused"}) * 5)
    )
    found = (await api.get("/queues/q")).json()
    assert (found["concurrency"], found["state"]) == (5, "paused")


async def test_a_queue_of_a_deleted_project_is_refused(api: httpx.AsyncClient) -> None:
    await api.post("/projects", json={"name": "gone"})
    await api.delete("/projects/gone")
    answer = await api.put("/queues/q", json={"concurrency": 1}, params={"project": "gone"})
    assert answer.status_code == 404
