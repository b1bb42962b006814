"""Schedules over HTTP: made, changed, paused, fired by hand, and told of."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from podium.storage.database import Database

AGENT = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}
TASK = {"agent": "a", "input": {"prompt": "Look."}}


@pytest.fixture
async def agent(api: httpx.AsyncClient) -> str:
    assert (await api.post("/agents", json=AGENT)).status_code == 201
    return "a"


async def call(
    api: httpx.AsyncClient, method: str, path: str, expected: int = 200, **options: Any
) -> dict[str, Any]:
    answer = await api.request(method, path, **options)
    assert answer.status_code == expected, answer.text
    return answer.json() if answer.content else {}


async def make(api: httpx.AsyncClient, name: str = "s", **options: Any) -> dict[str, Any]:
    if "every" not in options:
        options.setdefault("cron", "0 9 * * *")
    body = {"name": name, "task": TASK, **options}
    return await call(api, "POST", "/schedules", 201, json=body)


async def test_a_schedule_is_made_read_changed_and_deleted(
    api: httpx.AsyncClient, agent: str, database: Database
) -> None:
    made = await make(api, timezone="Europe/Berlin", jitter=30)
    assert (made["name"], made["project"], made["state"]) == ("s", "default", "active")
    assert made["description"] == "At 09:00 every day (Europe/Berlin)"
    assert (made["cron"], made["every"], made["jitter"]) == ("0 9 * * *", None, 30)
    assert (made["catch_up"], made["overlap"], made["catch_up_window"]) == ("latest", "skip", None)
    assert made["task"]["agent"] == "a"
    assert made["next_at"]
    assert await call(api, "GET", "/schedules/s") == made
    changed = await call(
        api, "PUT", "/schedules/s", json={"every": 3600, "overlap": "buffer_one", "jitter": 0}
    )
    assert (changed["cron"], changed["every"], changed["overlap"]) == (None, 3600, "buffer_one")
    assert changed["description"] == "Every hour"
    at = datetime.fromisoformat(changed["next_at"])
    assert timedelta(minutes=59) < at - datetime.now(UTC) <= timedelta(hours=1)
    same = await call(api, "PUT", "/schedules/s", json={"overlap": "buffer_one"})
    assert same == changed
    await call(api, "DELETE", "/schedules/s", 204)
    await call(api, "GET", "/schedules/s", 404)
    rows = await database.call(
        "select type, actor, data from event where type like 'schedule.%' order by epoch, xid, id"
    )
    kinds = [row["type"] for row in rows]
    assert kinds == ["schedule.created", "schedule.updated", "schedule.deleted"]
    assert {row["actor"] for row in rows} == {"admin:local"}


async def test_times_stay_where_they_were_when_something_else_changes(
    api: httpx.AsyncClient, agent: str
) -> None:
    made = await make(api, every=7200)
    changed = await call(
        api, "PUT", "/schedules/s", json={"note": "x", "task": {**TASK, "priority": 9}}
    )
    assert changed["next_at"] == made["next_at"]
    assert (changed["note"], changed["task"]["priority"]) == ("x", 9)


async def test_a_paused_schedule_waits_and_goes_on_with_what_is_to_come(
    api: httpx.AsyncClient, agent: str, database: Database
) -> None:
    await make(api, every=1)
    paused = await call(api, "PUT", "/schedules/s", json={"paused": True, "note": "Rest."})
    assert (paused["state"], paused["next_at"], paused["note"]) == ("paused", None, "Rest.")
    before = await database.call("select count(*) as n from firing")
    await asyncio.sleep(2.5)
    assert await database.call("select count(*) as n from firing") == before
    upcoming = await call(api, "GET", "/schedules/s/times", params={"count": 3})
    assert len(upcoming["items"]) == 3
    now = datetime.now(UTC)
    resumed = await call(api, "PUT", "/schedules/s", json={"paused": False})
    assert resumed["state"] == "active"
    assert datetime.fromisoformat(resumed["next_at"]) > now


async def test_it_fires_by_itself_again_and_again(
    api: httpx.AsyncClient, agent: str, database: Database
) -> None:
    await make(api, every=1, overlap="allow_all")
    query = "select at, fired_at - at as late from firing order by at"
    async with asyncio.timeout(20):
        while len(rows := await database.call(query)) < 3:
            await asyncio.sleep(0.1)
    gaps = {(later["at"] - row["at"]).total_seconds() for row, later in pairwise(rows)}
    assert gaps == {1.0}
    listed = await call(api, "GET", "/tasks", params={"label": "schedule:s"})
    assert len(listed["items"]) >= 3
    assert min(row["late"] for row in rows) >= timedelta(0)


async def test_it_ends(api: httpx.AsyncClient, agent: str) -> None:
    end = datetime.now(UTC) + timedelta(seconds=1.6)
    await make(api, every=1, ends_at=end.isoformat())
    async with asyncio.timeout(20):
        while (found := await call(api, "GET", "/schedules/s"))["state"] != "ended":
            await asyncio.sleep(0.1)
    assert found["next_at"] is None
    assert len((await call(api, "GET", "/schedules/s/firings"))["items"]) == 1


@pytest.mark.parametrize(
    ("wrong", "field", "told"),
    [
        ({"cron": "99 * * * *"}, "cron", "no cron expression"),
        ({"cron": "* * * * *", "every": 5}, "cron", "either cron or every"),
        ({"cron": None}, "cron", "either cron or every"),
        ({"timezone": "Mars/Olympus"}, "timezone", "no time zone"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at", "never fire"),
        ({"every": 0.5, "cron": None}, "every", "greater than or equal to 1 seconds"),
        ({"overlap": "never"}, "overlap", "Must be"),
        ({"name": "no name"}, "name", "letters, digits"),
        ({"task": {"agent": "nobody"}}, "task.agent", "nobody"),
        ({"task": {"input": 1}}, "task", "name either an agent or capabilities"),
        ({"task": {"agent": "a", "depends_on": []}}, "task.depends_on", "no such field"),
        ({"task": {"agent": "a", "start_at": "2030-01-01T00:00:00Z"}}, "task.start_at", "no such"),
        (
            {"task": {"agent": "a", "input": 1, "input_schema": {"type": "string"}}},
            "task.input",
            "type",
        ),
    ],
)
async def test_a_wrong_schedule_is_refused_and_nothing_kept(
    api: httpx.AsyncClient, agent: str, wrong: dict[str, Any], field: str, told: str
) -> None:
    body = {"name": "s", "cron": "0 9 * * *", "task": TASK, **wrong}
    answer = await api.post("/schedules", json=body)
    assert answer.status_code in (404, 422), answer.text
    problem = answer.json()
    assert told in problem["detail"]
    assert problem["errors"][0]["field"] == field
    assert (await call(api, "GET", "/schedules"))["items"] == []


async def test_a_wrong_change_changes_nothing(api: httpx.AsyncClient, agent: str) -> None:
    made = await make(api)
    for wrong in ({"cron": "x"}, {"timezone": "Nowhere"}, {"cron": None}, {"nope": 1}):
        await call(api, "PUT", "/schedules/s", 422, json=wrong)
    assert await call(api, "GET", "/schedules/s") == made
    await call(api, "PUT", "/schedules/none", 404, json={"paused": True})
    await call(api, "POST", "/schedules", 409, json={"name": "s", "every": 5, "task": TASK})


async def test_times_are_seen_before_a_schedule_is_made(api: httpx.AsyncClient) -> None:
    seen = await call(
        api,
        "POST",
        "/schedules/preview",
        json={"cron": "0 9 * * 1", "timezone": "Europe/Berlin"},
        params={"count": 2, "after": "2026-03-24T00:00:00Z"},
    )
    assert seen == {
        "description": "At 09:00 on Monday (Europe/Berlin)",
        "items": ["2026-03-30T07:00:00Z", "2026-04-06T07:00:00Z"],
    }
    await call(api, "POST", "/schedules/preview", 422, json={"cron": "x"})


async def test_one_is_triggered_beside_its_times(api: httpx.AsyncClient, agent: str) -> None:
    made = await make(api, paused=True)
    fired = await call(api, "POST", "/schedules/s/trigger", 201)
    again = await call(api, "POST", "/schedules/s/trigger", 201)
    assert (fired["cause"], fired["outcome"]) == ("trigger", "started")
    task = await call(api, "GET", f"/tasks/{fired['task_id']}")
    assert (task["state"], task["input"], task["created_by"]) == (
        "queued",
        TASK["input"],
        "schedule:s",
    )
    found = await call(api, "GET", "/schedules/s")
    assert found["open_tasks"] == [fired["task_id"], again["task_id"]]
    assert found["updated_at"] == made["updated_at"]


async def test_passed_times_are_filled_once(api: httpx.AsyncClient, agent: str) -> None:
    await make(api, cron="0 * * * *", paused=True)
    span = {"begin": "2026-03-01T00:00:00Z", "end": "2026-03-01T04:30:00Z"}
    seen = await call(api, "POST", "/schedules/s/backfill/preview", json=span)
    assert seen["items"] == [f"2026-03-01T0{hour}:00:00Z" for hour in range(5)]
    filled = await call(api, "POST", "/schedules/s/backfill", 201, json=span)
    assert [each["at"] for each in filled["items"]] == seen["items"]
    assert {each["cause"] for each in filled["items"]} == {"backfill"}
    tasks = [await call(api, "GET", f"/tasks/{each['task_id']}") for each in filled["items"]]
    assert [task["state"] for task in tasks] == ["queued", *["pending"] * 4]
    assert tasks[1]["depends_on"][0]["id"] == tasks[0]["id"]
    wider = {**span, "end": "2026-03-01T06:00:00Z", "overlap": "allow_all"}
    more = await call(api, "POST", "/schedules/s/backfill", 201, json=wider)
    assert [each["at"][11:13] for each in more["items"]] == ["05", "06"]
    page = await call(api, "GET", "/schedules/s/firings", params={"limit": 4})
    rest = await call(
        api, "GET", "/schedules/s/firings", params={"limit": 4, "cursor": page["next"]}
    )
    hours = [each["at"][11:13] for each in page["items"] + rest["items"]]
    assert hours == ["06", "05", "04", "03", "02", "01", "00"]
    assert rest["next"] is None


async def test_a_backfill_goes_forward(api: httpx.AsyncClient) -> None:
    span = {"begin": "2026-11-10T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
    for path in ("backfill", "backfill/preview"):
        refused = await call(api, "POST", f"/schedules/s/{path}", 422, json=span)
        assert "the range is reversed" in refused["detail"]


async def test_a_backfill_does_not_reach_into_the_future_nor_too_far(
    api: httpx.AsyncClient, agent: str
) -> None:
    await make(api, cron="* * * * *", paused=True)
    now = datetime.now(UTC)
    span = {"begin": (now - timedelta(minutes=3)).isoformat(), "end": "2090-01-01T00:00:00Z"}
    filled = await call(api, "POST", "/schedules/s/backfill", 201, json=span)
    assert len(filled["items"]) in (3, 4)
    assert all(datetime.fromisoformat(each["at"]) <= datetime.now(UTC) for each in filled["items"])
    span["begin"] = "2026-01-01T00:00:00Z"
    refused = await call(api, "POST", "/schedules/s/backfill", 422, json=span)
    assert "More than 500 times" in refused["detail"]


async def token(api: httpx.AsyncClient, *scopes: str) -> dict[str, str]:
    made = await call(api, "POST", "/tokens", 201, json={"name": "t", "scopes": scopes})
    return {"Authorization": f"Bearer {made['token']}"}


async def test_schedules_need_scopes_of_their_own(api: httpx.AsyncClient, agent: str) -> None:
    made = {"name": "s", "every": 60, "task": TASK}
    for scopes in (("tasks:write",), ("schedules:write",), ("schedules:write", "tasks:write")):
        headers = await token(api, *scopes)
        refused = await call(api, "POST", "/schedules", 403, json=made, headers=headers)
    assert "tasks:execute" in refused["detail"]  # its agent runs code
    headers = await token(api, "schedules:write", "tasks:write", "tasks:execute")
    await call(api, "POST", "/schedules", 201, json=made, headers=headers)
    reader = await token(api, "schedules:read")
    await call(api, "GET", "/schedules/s", headers=reader)
    for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/trigger")):
        options = {"json": {}} if method == "PUT" else {}
        await call(api, method, f"/schedules/s{path}", 403, headers=reader, **options)
    # Somebody else's code is started by who could submit it, but stopped by others, too.
    writer = await token(api, "schedules:write", "tasks:write")
    await call(api, "PUT", "/schedules/s", 200, json={"paused": True, "note": "x"}, headers=writer)
    span = {"begin": "2026-03-01T00:00:00Z", "end": "2026-03-01T00:03:00Z"}
    for method, path, body in (
        ("PUT", "", {"paused": False}),
        ("PUT", "", {"every": 1}),
        ("POST", "/trigger", None),
        ("POST", "/backfill", span),
    ):
        refused = await call(api, method, f"/schedules/s{path}", 403, json=body, headers=writer)
        assert "tasks:execute" in refused["detail"]


async def test_schedules_belong_to_a_project(api: httpx.AsyncClient, agent: str) -> None:
    await call(api, "POST", "/projects", 201, json={"name": "other"})
    await call(api, "POST", "/agents", 201, json=AGENT, params={"project": "other"})
    for name in ("b", "a", "c"):
        await make(api, name)
    body = {"name": "a", "every": 60, "task": TASK}
    await call(api, "POST", "/schedules", 201, json=body, params={"project": "other"})
    page = await call(api, "GET", "/schedules", params={"limit": 2})
    rest = await call(api, "GET", "/schedules", params={"cursor": page["next"]})
    assert [each["name"] for each in page["items"] + rest["items"]] == ["a", "b", "c"]
    found = await call(api, "GET", "/schedules/a", params={"project": "other"})
    assert (found["project"], found["every"]) == ("other", 60)
    await call(api, "DELETE", "/agents/a", 204, params={"project": "other"})
    refused = await call(api, "DELETE", "/projects/other", 409)
    assert "1 schedule" in refused["detail"]
    await call(api, "DELETE", "/schedules/a", 204, params={"project": "other"})
    await call(api, "DELETE", "/projects/other", 204)


async def test_a_change_of_what_was_changed_meanwhile_is_refused(
    api: httpx.AsyncClient, agent: str
) -> None:
    seen = (await make(api))["updated_at"]
    first = {"task": {**TASK, "priority": 3}, "updated_at": seen}
    changed = await call(api, "PUT", "/schedules/s", json=first)
    second = {"task": {**TASK, "title": "Another"}, "updated_at": seen}
    told = await call(api, "PUT", "/schedules/s", 409, json=second)
    assert "was changed at" in told["detail"]
    assert (await call(api, "GET", "/schedules/s"))["task"] == changed["task"]
    again = {**second, "updated_at": changed["updated_at"]}
    assert (await call(api, "PUT", "/schedules/s", json=again))["task"]["title"] == "Another"
    assert (await call(api, "PUT", "/schedules/s", json={"note": "n"}))["note"] == "n"
