"""Changes of all tasks that match, their export, and those that are kept no longer."""

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest

from podium.storage.artifact_directory import DirectoryStore
from podium.tasks.bulk import TaskBulk
from podium.tasks.finding import TaskFinder
from podium.tasks.pace import seconds_left
from podium.tasks.retention import Retention
from podium.tasks.service import TaskService
from slices.tasks.conftest import NOBODY, Desk, Office
from slices.tasks.test_search import indexed


async def steps(desk: Desk, what: str, **body: Any) -> tuple[list[str], list[str]]:
    """Go through all steps of a change; what matched and what was changed."""
    matched: list[str] = []
    changed: list[str] = []
    cursor = None
    while True:
        step = await desk.call("POST", f"tasks/{what}", json={**body, "cursor": cursor})
        assert set(step["changed"]) <= set(step["matched"])
        matched += step["matched"]
        changed += step["changed"]
        if (cursor := step["next"]) is None:
            return matched, changed


async def states(desk: Desk, ids: list[str]) -> list[str]:
    return [(await desk.get(each))["state"] for each in ids]


async def bulk(desk: Desk, count: int, **fields: Any) -> list[str]:
    await desk.agent("echo")
    made = await desk.bulk([{"agent": "echo", "title": f"t {n}", **fields} for n in range(count)])
    return made["ids"]


async def test_all_that_match_are_cancelled_step_by_step(desk: Desk) -> None:
    red = await bulk(desk, 7, labels={"colour": "red"})
    blue = (await desk.create(labels={"colour": "blue"}))["id"]
    wanted = {"filter": {"labels": {"colour": "red"}}, "limit": 3, "reason": "enough"}
    matched, changed = await steps(desk, "cancel", **wanted, dry_run=True)
    assert (matched, changed) == (red[::-1], [])
    matched, changed = await steps(desk, "cancel", **wanted)
    assert matched == changed == red[::-1]
    assert await states(desk, [*red, blue]) == ["cancelled"] * 7 + ["queued"]
    assert (await desk.get(red[0]))["error"]["message"] == "enough"
    assert await steps(desk, "cancel", **wanted) == (red[::-1], [])


Meanwhile = Callable[[], Awaitable[object]]


def once_found(monkeypatch: pytest.MonkeyPatch, meanwhile: Meanwhile) -> None:
    """Have something happen after the tasks of a step were found and before they are changed."""
    found = TaskFinder.ids

    async def ids(*given: Any) -> list[UUID]:
        try:
            return await found(*given)
        finally:
            await meanwhile()

    monkeypatch.setattr(TaskFinder, "ids", ids)


@pytest.mark.parametrize(
    ("wanted", "edit"),
    [
        ({"labels": {"env": "test"}, "agent": "echo"}, {"labels": {"env": "live"}}),
        ({"search": "staging", "state": ["queued"]}, {"title": "payroll"}),
    ],
)
@pytest.mark.parametrize("what", [("cancel", {}), ("reprioritise", {"priority": 5})])
async def test_what_matches_no_more_is_not_changed(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    wanted: dict[str, Any],
    edit: dict[str, Any],
    what: tuple[str, dict[str, Any]],
) -> None:
    task, other = [await desk.create(title="staging", labels={"env": "test"}) for _ in range(2)]
    await indexed(desk)
    once_found(monkeypatch, lambda: desk.call("PUT", f"tasks/{task['id']}", json=edit))
    matched, changed = await steps(desk, what[0], filter=wanted, **what[1])
    assert (matched, changed) == ([other["id"], task["id"]], [other["id"]])
    assert (await desk.get(task))["state"] == "queued"


async def test_what_began_meanwhile_is_not_cancelled_with_what_is_queued(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await desk.create("sleep", input=30)

    async with AsyncExitStack() as stack:

        async def begin() -> None:
            await stack.enter_async_context(desk.worker())
            await desk.until(task, "running")

        once_found(monkeypatch, begin)
        matched, changed = await steps(desk, "cancel", filter={"state": ["queued"]})
        assert (matched, changed) == ([task["id"]], [])
        assert (await desk.get(task))["state"] == "running"


async def test_a_search_says_which(desk: Desk) -> None:
    ids = await bulk(desk, 4)
    await indexed(desk)
    matched, changed = await steps(desk, "cancel", filter={"search": "t 2"}, limit=1)
    assert matched == changed == [ids[2]]


async def test_retries_begin_with_what_others_depend_on(desk: Desk) -> None:
    first = (await desk.create())["id"]
    second = (await desk.create(depends_on=[first]))["id"]
    third = (await desk.create(depends_on=[second]))["id"]
    other = (await desk.create())["id"]
    for each in (first, other):
        await desk.call("POST", f"tasks/{each}/cancel")
    assert await states(desk, [first, second, third]) == ["cancelled"] * 3
    # Without the first, the others would only be cancelled again.
    assert (await steps(desk, "retry", filter={"created_after": "2999-01-01T00:00:00Z"}))[0] == []
    made = (await desk.get(second))["created_at"]
    later = {"created_after": (await desk.get(first))["created_at"]}
    matched, changed = await steps(desk, "retry", filter=later)
    assert (matched, changed) == ([second, third, other], [other]), made
    matched, changed = await steps(desk, "retry", filter={"state": ["cancelled"]}, limit=1)
    assert changed == [first, second, third]
    assert await states(desk, [first, second, third]) == ["queued", "pending", "pending"]


async def test_all_that_wait_get_another_priority(desk: Desk) -> None:
    ids = await bulk(desk, 3)
    delayed = (await desk.create(delay=60))["id"]
    blocked = (await desk.create(depends_on=[ids[0]]))["id"]
    await desk.call("POST", f"tasks/{ids[1]}/cancel")
    every = [*ids, delayed, blocked]
    matched, changed = await steps(desk, "reprioritise", priority=7)
    assert sorted(matched) == sorted(every)
    assert sorted(changed) == sorted({*every} - {ids[1]})
    for each in changed:
        assert (await desk.get(each))["priority"] == 7
        assert (await desk.get(each, "history"))["items"][-1]["data"] == {"fields": ["priority"]}
    assert (await desk.get(ids[1]))["priority"] == 0
    await desk.call("POST", f"tasks/{ids[0]}/cancel")
    rows = await desk.run("select priority from ready where task_id = :id", id=ids[2])
    assert [row[0] for row in rows] == [7]


async def test_what_has_ended_is_deleted_and_what_others_need_stays(desk: Desk) -> None:
    ids = await bulk(desk, 3)
    needed = (await desk.create())["id"]
    await desk.run("update task set outcome = 'failed' where id = :id", id=needed)
    await desk.run("delete from ready where task_id = :id", id=needed)
    await desk.create(depends_on=[needed], on_dependency_failure="hold")
    for each in ids[:2]:
        await desk.call("POST", f"tasks/{each}/cancel")
    matched, changed = await steps(desk, "delete", filter={"state": ["cancelled", "failed"]})
    assert sorted(matched) == sorted([*ids[:2], needed])
    assert sorted(changed) == sorted(ids[:2])
    await desk.call("GET", f"tasks/{ids[0]}", 404)
    await desk.get(needed)
    events = await desk.call("GET", "events", params={"type": "task.deleted", "limit": 10})
    assert {each["subject"] for each in events["items"]} == set(ids[:2])


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("cancel", {"filter": {"states": ["queued"]}}),
        ("cancel", {"filter": {"state": ["asleep"]}}),
        ("retry", {"limit": 501}),
        ("reprioritise", {}),
        ("reprioritise", {"priority": 101}),
        ("delete", {"cursor": "x"}),
        ("cancel", {"filter": {"search": "..."}}),
    ],
)
async def test_bad_bodies_are_refused_and_change_nothing(
    desk: Desk, what: str, body: dict[str, Any]
) -> None:
    task = await desk.create()
    await desk.call("POST", f"tasks/{what}", 422, json=body)
    assert (await desk.get(task))["state"] == "queued"


async def test_an_agent_that_never_was_is_told(desk: Desk) -> None:
    body = {"filter": {"agent": "nobody"}}
    answer = await desk.call("POST", "tasks/cancel", 404, json=body)
    assert "nobody" in answer["detail"]
    await desk.call("GET", "tasks/export", 404, params={"agent": "nobody"})
    await desk.call("GET", "tasks/count", 404, params={"agent": "nobody"})


async def test_an_export_has_every_task_with_all_that_is_known(desk: Desk) -> None:
    ids = await bulk(desk, 450, input={"n": [1, None, "ü"]})
    dependent = (await desk.create(depends_on=ids[:1]))["id"]
    answer = await desk.api.get("tasks/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    tasks = [json.loads(line) for line in answer.text.splitlines()]
    assert [task["id"] for task in tasks] == [dependent, *ids[::-1]]
    for at in (0, 1, -1):
        assert tasks[at] == await desk.get(tasks[at]["id"])
    answer = await desk.api.get("tasks/export", params={"state": "failed"})
    assert (answer.status_code, answer.content) == (200, b"")
    await desk.call("GET", "tasks/export", 422, params={"search": "-"})


def retention(office: Office, desk: Desk) -> Retention:
    services = office.app.state.services
    return Retention(desk.database, services[TaskService], services[TaskBulk])


async def test_old_and_surplus_tasks_are_deleted(desk: Desk, office: Office) -> None:
    ids = await bulk(desk, 6)
    for each, hours in zip(ids, (20, 16, 14, 10, 5), strict=False):
        await desk.call("POST", f"tasks/{each}/cancel")
        await desk.run(
            "update task set finished_at = now() - make_interval(hours => :hours) where id = :id",
            hours=hours,
            id=each,
        )
    await retention(office, desk).forget()
    assert await desk.count() == 6
    for keep, left in (
        ({"keep_tasks": 4}, ids[1:]),
        ({"keep_tasks": None, "keep_days": 0.5}, ids[3:]),
        ({"keep_days": None, "keep_tasks": 0}, ids[5:]),
    ):
        await desk.call("PUT", f"projects/{desk.project}", json=keep)
        await retention(office, desk).forget()
        page = await desk.call("GET", "tasks")
        assert [task["id"] for task in page["items"]] == left[::-1]


async def test_what_an_open_task_needs_is_kept_and_files_go(desk: Desk, office: Office) -> None:
    ids = await bulk(desk, 2)
    for each in ids:
        await desk.run(
            "update task set outcome = 'failed', finished_at = now() where id = :id", id=each
        )
        await desk.run("delete from ready where task_id = :id", id=each)
    await desk.create(depends_on=[ids[0]], on_dependency_failure="hold")
    store = DirectoryStore(office.settings.data_dir / "artifacts")
    for each in ids:
        stored = await store.put(UUID(each), 1, "x", b"1")
        await desk.run(
            "insert into artifact (id, task_id, attempt, name, content_type, size, sha256)"
            " values (gen_random_uuid(), :id, 1, 'x', 'text/plain', 1, :hash)",
            id=each,
            hash=stored.sha256,
        )
    await desk.call("PUT", f"projects/{desk.project}", json={"keep_tasks": 0})
    await retention(office, desk).forget()
    assert await desk.count() == 2
    await desk.get(ids[0])
    kept = [str(place.task_id) for place in await store.kept("", 1000)]
    assert ids[0] in kept
    assert ids[1] not in kept


async def test_the_time_left_is_learned_from_like_tasks(desk: Desk) -> None:
    done = [await desk.create() for _ in range(3)]
    for each in done:
        await desk.run("delete from ready where task_id = :id", id=each["id"])
        await desk.run(
            "update task set outcome = 'succeeded', started_at = now(),"
            " finished_at = now() + interval '100 s' where id = :id",
            id=each["id"],
        )
        await desk.run(
            "insert into event (type, project_id, subject, data)"
            " select 'task.completed', project_id, id, '{}' from task where id = :id",
            id=each["id"],
        )
    await indexed(desk)
    running = await desk.create()
    assert running["progress"] is None
    await desk.run("delete from ready where task_id = :id", id=running["id"])
    await desk.run(
        "insert into running (lane_id, priority, task_id, attempt, failures, losses, gated,"
        " worker_id, agent_id, agent_version, queued_at, started_at)"
        " select lane_id, priority, task.id, 1, 0, 0, false, :nobody, agent_id, 1, now(),"
        " now() - interval '20 s' from task join lane on lane.id = lane_id where task.id = :id",
        id=running["id"],
        nobody=NOBODY,
    )
    told = (await desk.get(running))["progress"]
    assert told["fraction"] is None
    assert 70 < told["seconds_left"] <= 80
    page = await desk.call("GET", "tasks", params={"state": "running"})
    assert 70 < page["items"][0]["progress"]["seconds_left"] <= 80
    await desk.run("update running set progress = 0.8 where task_id = :id", id=running["id"])
    assert (await desk.get(running))["progress"]["seconds_left"] < 30


def test_estimates_weigh_what_is_known() -> None:
    assert seconds_left(10, None, ()) is None
    assert seconds_left(10, None, [30, 30]) is None  # too few to learn from
    assert seconds_left(10, None, [30, 30, 40]) == 20
    assert seconds_left(10, None, [5, 5, 5]) is None  # it outlasted them all
    assert seconds_left(10, None, [5, 5, 50]) == 40
    assert seconds_left(10, 0.5, ()) == 10
    assert seconds_left(10, 0.001, ()) is None
    assert seconds_left(10, 0.5, [30, 30, 30]) == 15
    assert seconds_left(10, 1.0, [30, 30, 30]) == 0
