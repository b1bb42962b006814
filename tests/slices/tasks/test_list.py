"""GET tasks: filters, and pages that miss nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from podium.tasks import listing
from slices.tasks.conftest import Desk

Made = Callable[[Desk], Awaitable[dict[str, str]]]


async def ids(desk: Desk, **params: Any) -> list[str]:
    page = await desk.call("GET", "tasks", params={"limit": 1000, **params})
    assert page["next"] is None
    return [task["id"] for task in page["items"]]


async def in_every_state(desk: Desk) -> dict[str, str]:
    """A task in each state and in each place of those that have several."""
    made = {
        name: (await desk.create(priority=n))["id"]
        for n, name in enumerate(
            ("queued", "running", "parked", "gate", "succeeded", "failed", "cancelled", "dead")
        )
    }
    made["delayed"] = (await desk.create(delay=60))["id"]
    made["blocked"] = (await desk.create(depends_on=[made["queued"]]))["id"]
    place = "(lane_id, priority, task_id, attempt, failures, losses"
    picked = "select lane_id, priority, id, 1, 0, 0"
    for name in made.keys() - {"queued", "delayed", "blocked"}:
        await desk.run("delete from ready where task_id = :id", id=made[name])
    await desk.run(
        f"insert into running {place}, gated, worker_id, agent_id, agent_version, queued_at)"
        " select lane_id, priority, task.id, 1, 0, 0, false, task.id, agent_id, 1, now()"
        " from task join lane on lane.id = lane_id where task.id = :id",
        id=made["running"],
    )
    for name, parked in (("parked", True), ("gate", False)):
        await desk.run(
            f"insert into wait {place}, gate, rank, parked) {picked}, 'g', 0, :parked"
            " from task where id = :id",
            id=made[name],
            parked=parked,
        )
    for name in ("succeeded", "failed", "cancelled", "dead"):
        await desk.run("update task set outcome = :how where id = :id", how=name, id=made[name])
    return made


STATES = {
    "pending": {"delayed", "blocked", "gate"},
    "queued": {"queued"},
    "running": {"running"},
    "waiting": {"parked"},
    "succeeded": {"succeeded"},
    "failed": {"failed"},
    "cancelled": {"cancelled"},
    "dead": {"dead"},
}


async def test_filters_by_every_state_and_by_several(desk: Desk) -> None:
    made = await in_every_state(desk)
    everything = await ids(desk)
    assert set(everything) == set(made.values())
    for state, names in STATES.items():
        page = await desk.call("GET", "tasks", params={"state": state})
        assert {task["id"] for task in page["items"]} == {made[name] for name in names}
        assert {task["state"] for task in page["items"]} == {state}
        for name in names:
            assert (await desk.get(made[name]))["state"] == state
    several = ["pending", "running", "failed"]
    wanted = [made[name] for state in several for name in STATES[state]]
    assert await ids(desk, state=several) == sorted(wanted, reverse=True)
    assert await ids(desk, state=[*STATES]) == everything


async def test_filters_combine(desk: Desk) -> None:
    await desk.agent("echo")
    await desk.agent("sleep")
    wanted = await desk.create("sleep", queue="q", labels={"team": "a", "kind": "x:y"})
    before = await desk.create("sleep", queue="q", labels={"team": "b"})
    await desk.create("echo", queue="q", labels={"team": "a"})
    delayed = await desk.create("echo", queue="r", labels={"team": "a"}, delay=60)
    assert await ids(desk, agent="sleep") == [before["id"], wanted["id"]]
    assert await ids(desk, queue="r") == [delayed["id"]]
    assert await ids(desk, label=["team:a", "kind:x:y"]) == [wanted["id"]]
    assert await ids(desk, label="team:a", state="pending") == [delayed["id"]]
    assert await ids(desk, label="team:a", state=["pending", "queued"], agent="sleep") == [
        wanted["id"]
    ]
    assert await ids(desk, label="team:none") == []
    assert await ids(desk, queue="none") == []
    between = {"created_after": wanted["created_at"], "created_before": delayed["created_at"]}
    assert len(await ids(desk, **between)) == 2
    assert await ids(desk, agent="sleep", queue="q", state="queued", **between) == [before["id"]]


async def test_labels_are_found_near_and_far(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the first tasks that have labels hold enough of them or not."""
    monkeypatch.setattr(listing, "_NEAR", 3)
    listing._page.cache_clear()
    listing._chosen.cache_clear()
    teams = {"a": [0, 2, 5, 6, 7], "b": [1, 3, 4]}
    made: dict[int, str] = {}
    for number in range(8):
        labels = {"team": "a" if number in teams["a"] else "b"}
        queue = "odd" if number % 2 else "even"
        made[number] = (await desk.create(labels=labels, queue=queue))["id"]
        await desk.create()
    for team, numbers in teams.items():
        upwards = [made[number] for number in numbers]
        for sort, found in (("newest", upwards[::-1]), ("oldest", upwards)):
            assert await ids(desk, label=f"team:{team}", sort=sort) == found
            pages, cursor = list[str](), None
            while cursor or not pages:
                params = {"label": f"team:{team}", "sort": sort, "limit": 2}
                params |= {"cursor": cursor} if cursor else {}
                page = await desk.call("GET", "tasks", params=params)
                pages += [task["id"] for task in page["items"]]
                cursor = page["next"]
            assert pages == found
        assert await ids(desk, label=f"team:{team}", sort="priority") == upwards[::-1]
        odd = [made[number] for number in numbers if number % 2]
        for wanted in ({"queue": "odd"}, {"queue": "odd", "agent": "echo"}):
            assert await ids(desk, label=f"team:{team}", **wanted) == odd[::-1]
    listing._page.cache_clear()
    listing._chosen.cache_clear()


async def test_tasks_of_a_deleted_agent_are_found_by_its_name(desk: Desk) -> None:
    task = await desk.create()
    await desk.call("DELETE", "agents/echo", 204)
    assert await ids(desk, agent="echo") == [task["id"]]
    await desk.agent()
    other = await desk.create()
    assert await ids(desk, agent="echo") == [other["id"], task["id"]]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"agent": "nobody"}, 404),
        ({"state": "done"}, 422),
        ({"label": "team"}, 422),
        ({"label": ["team:a", "team:b"]}, 422),
        ({"limit": 0}, 422),
        ({"limit": 1001}, 422),
        ({"cursor": "x"}, 422),
        ({"created_after": "2026-01-01T00:00:00"}, 422),
        ({"created_before": "0001-01-01T00:00:00+14:00"}, 422),
    ],
)
async def test_refuses_what_is_no_filter(desk: Desk, wrong: dict[str, Any], status: int) -> None:
    await desk.call("GET", "tasks", status, params=wrong)


async def test_shows_only_its_project(desk: Desk) -> None:
    mine = await desk.create()
    other = f"{desk.project}-o"
    await desk.call("POST", "projects", 201, json={"name": other})
    agent = {"name": "echo", "runtime": "function", "config": {"function": "worker_agents:echo"}}
    await desk.call("POST", "agents", 201, json=agent, params={"project": other})
    theirs = await desk.create(project=other)
    assert await ids(desk) == [mine["id"]]
    assert await ids(desk, project=other) == [theirs["id"]]
    assert await ids(desk, project=other, state="queued") == [theirs["id"]]


async def test_a_last_page_that_is_full_has_no_next(desk: Desk) -> None:
    await desk.agent()
    made = (await desk.bulk([{"agent": "echo"}] * 4))["ids"]
    first = await desk.call("GET", "tasks", params={"limit": 2})
    assert first["next"]
    rest = await desk.call("GET", "tasks", params={"limit": 2, "cursor": first["next"]})
    assert rest["next"] is None
    assert {task["id"] for page in (first, rest) for task in page["items"]} == set(made)


@pytest.mark.parametrize("states", [[], ["queued"], ["queued", "pending", "succeeded"]])
async def test_pages_miss_nothing_while_tasks_come_in(desk: Desk, states: list[str]) -> None:
    await desk.agent()
    tasks = [{"agent": "echo"}, {"agent": "echo", "delay": 60}] * 60
    there = set((await desk.bulk(tasks))["ids"])
    if states == ["queued"]:
        there = set(await ids(desk, state="queued"))
    ended = asyncio.Event()

    async def submit_more() -> None:
        while not ended.is_set():
            await desk.create()

    busy = asyncio.create_task(submit_more())
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 7, "state": states}
    while True:
        page = await desk.call("GET", "tasks", params=params)
        seen += [task["id"] for task in page["items"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    ended.set()
    await busy
    assert seen == sorted(set(seen), reverse=True)
    assert there <= set(seen)
    assert len(seen) < len(there) + 20


async def test_a_row_says_what_a_list_needs(desk: Desk) -> None:
    task = await desk.create(title="T", labels={"a": "b"}, priority=4)
    [row] = (await desk.call("GET", "tasks"))["items"]
    assert row == {
        **{name: task[name] for name in row.keys() - {"error_code"}},
        "error_code": None,
    }
