"""What was applied from files, over HTTP: who may record it, and to whom it belongs."""

from typing import Any

import httpx
import pytest

from podium.storage.database import Database


def thing(name: str, kind: str = "Agent", project: str = "default", **more: Any) -> dict[str, Any]:
    return {"project": project, "kind": kind, "name": name, **more}


async def put(api: httpx.AsyncClient, name: str, **body: Any) -> None:
    answer = await api.put(f"/applied/{name}", json=body)
    assert answer.status_code == 204, answer.text


async def listed(api: httpx.AsyncClient, **query: str) -> list[tuple[str, str, str, str]]:
    items = (await api.get("/applied", params=query)).json()["items"]
    return [(each["set"], each["project"], each["kind"], each["name"]) for each in items]


async def with_token(api: httpx.AsyncClient, **new: Any) -> dict[str, str]:
    made = await api.post("/tokens", json={"name": "t", **new})
    return {"Authorization": f"Bearer {made.json()['token']}"}


async def test_a_thing_belongs_to_the_set_that_applied_it_last(
    api: httpx.AsyncClient, database: Database
) -> None:
    await put(api, "one", applied=[thing("b"), thing("a", fields={"config": "12"})])
    await put(api, "one", applied=[thing("a", fields={"config": "12"})])
    assert await listed(api) == [
        ("one", "default", "Agent", "a"),
        ("one", "default", "Agent", "b"),
    ]
    await put(api, "two", applied=[thing("a"), thing("a", "Queue")], removed=[thing("b")])
    assert await listed(api, set="one") == [("one", "default", "Agent", "b")]
    assert len(await listed(api, set="two")) == 2
    await put(api, "one", removed=[thing("b"), thing("a"), thing("gone", project="gone")])
    assert [each[0] for each in await listed(api)] == ["two", "two"]
    rows = await database.call(
        "select data from event where type = 'set.applied' order by epoch, xid, id"
    )
    assert [row["data"] for row in rows] == [
        {"set": "one", "added": ["Agent/a", "Agent/b"], "removed": []},
        {"set": "two", "added": ["Agent/a", "Queue/a"], "removed": []},
        {"set": "one", "added": [], "removed": ["Agent/b"]},
    ]


async def test_records_go_with_their_project_and_come_page_by_page(api: httpx.AsyncClient) -> None:
    assert (await api.post("/projects", json={"name": "p"})).status_code == 201
    await put(api, "s", applied=[thing("x", project="p"), thing("p", "Project", "p")])
    await put(api, "s", applied=[thing("x"), thing("y")])
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/applied", params=query)).json()
        seen += [f"{each['project']}/{each['name']}" for each in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert sorted(seen) == ["default/x", "default/y", "p/p", "p/x"]
    assert (await api.delete("/projects/p")).status_code == 204
    assert len(await listed(api)) == 2
    refused = await api.put("/applied/s", json={"applied": [thing("x", project="p")]})
    assert refused.status_code == 404


async def test_who_may_not_change_a_thing_may_not_say_whose_it_is(api: httpx.AsyncClient) -> None:
    assert (await api.post("/projects", json={"name": "p"})).status_code == 201
    await put(api, "s", applied=[thing("a"), thing("q", "Queue"), thing("a", project="p")])
    queues = await with_token(api, scopes=["queues:write", "queues:read"])
    found = (await api.get("/applied", headers=queues)).json()["items"]
    assert [each["name"] for each in found] == ["q"]
    for body, status in (
        ({"applied": [thing("q", "Queue")]}, 204),
        ({"applied": [thing("a")]}, 403),
        ({"removed": [thing("a")]}, 403),
    ):
        answer = await api.put("/applied/s", json=body, headers=queues)
        assert answer.status_code == status, answer.text
    bound = await with_token(api, preset="operator", project="p")
    found = (await api.get("/applied", headers=bound)).json()["items"]
    assert [(each["project"], each["name"]) for each in found] == [("p", "a")]
    body = {"removed": [thing("a")]}
    assert (await api.put("/applied/s", json=body, headers=bound)).status_code == 204
    assert len(await listed(api)) == 3, "what it may not see stays"
    body = {"applied": [thing("a")]}
    assert (await api.put("/applied/s", json=body, headers=bound)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"applied": [thing("")]},
        {"applied": [thing("a", "Token")]},
        {"applied": [{"kind": "Agent", "name": "a"}]},
        {"applied": [thing("a", fields={"config": "1" * 65})]},
        {"removed": [thing("a", fields={})]},
    ],
)
async def test_what_cannot_be_recorded_is_refused(
    api: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    assert (await api.put("/applied/s", json=body)).status_code == 422
    assert (await api.get("/applied", params={"cursor": "x"})).status_code == 422


async def test_an_agent_is_checked_without_being_registered(api: httpx.AsyncClient) -> None:
    new = {"name": "a", "runtime": "command", "config": {"command": ["cat"]}}
    found = await api.post("/agents/check", json={**new, "capabilities": ["b", "a", "b"]})
    assert found.status_code == 200, found.text
    assert (await api.get("/agents/a")).status_code == 404
    made = (await api.post("/agents", json=new)).json()
    assert found.json()["config"] == made["config"]
    assert found.json()["capabilities"] == ["a", "b"]
    for config in ({}, {"command": ["cat"], "promt": "stdin"}):
        assert (await api.post("/agents/check", json={**new, "config": config})).status_code == 422
    viewer = await with_token(api, preset="viewer")
    assert (await api.post("/agents/check", json=new, headers=viewer)).status_code == 403
