"""Saved filters over HTTP: saved, replaced, listed, deleted."""

from typing import Any

import httpx

from podium.storage.database import Database

WANTED = {"state": ["failed", "dead"], "labels": {"team": "core"}, "search": "parser -flaky"}


async def put(api: httpx.AsyncClient, name: str, **body: Any) -> dict[str, Any]:
    answer = await api.put(f"/filters/{name}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_filter_is_saved_replaced_and_deleted(
    api: httpx.AsyncClient, database: Database
) -> None:
    made = await put(api, "broken", filter=WANTED, sort="finished", description="What broke")
    assert {name: made["filter"][name] for name in WANTED} == WANTED
    assert made["filter"]["agent"] is None
    assert (made["sort"], made["description"]) == ("finished", "What broke")
    assert (made["project"], made["created_by"]) == ("default", "admin:local")
    assert (await api.get("/filters/broken")).json() == made
    changed = await put(api, "broken", filter={"created_after": "2026-01-01T00:00:00Z"})
    assert (changed["sort"], changed["description"]) == ("newest", "")
    assert changed["filter"]["state"] == []
    assert changed["filter"]["created_after"] == "2026-01-01T00:00:00Z"
    for _ in range(2):
        assert (await api.delete("/filters/broken")).status_code == 204
    assert (await api.get("/filters/broken")).status_code == 404
    rows = await database.call(
        "select type from event where type like 'filter.%' order by epoch, xid, id"
    )
    assert [row["type"] for row in rows] == ["filter.saved", "filter.saved", "filter.deleted"]


async def test_filters_are_listed_by_name_page_by_page(api: httpx.AsyncClient) -> None:
    for name in ("b", "c", "a"):
        await put(api, name, filter={})
    page = (await api.get("/filters", params={"limit": 2})).json()
    assert [each["name"] for each in page["items"]] == ["a", "b"]
    rest = (await api.get("/filters", params={"cursor": page["next"]})).json()
    assert [each["name"] for each in rest["items"]] == ["c"]
    assert rest["next"] is None


async def test_what_no_filter_can_be_is_refused(api: httpx.AsyncClient) -> None:
    for body in (
        {},
        {"filter": {"states": []}},
        {"filter": {"state": ["asleep"]}},
        {"filter": {"search": ""}},
        {"filter": {}, "sort": "name"},
        {"filter": {}, "description": "two\nlines"},
    ):
        assert (await api.put("/filters/x", json=body)).status_code == 422, body
    assert (await api.put("/filters/-x", json={"filter": {}})).status_code == 422
    assert (await api.get("/filters")).json()["items"] == []
