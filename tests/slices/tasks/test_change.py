"""PUT, DELETE, cancel and retry."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from podium.kernel.errors import Unavailable
from podium.tasks import store
from slices.tasks.conftest import NOBODY, Desk


async def events(desk: Desk, task: dict[str, Any]) -> list[dict[str, Any]]:
    return (await desk.get(task, "history"))["items"]


# -- edit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [{}, {"delay": 60}, {"blocked": True}])
async def test_edits_every_field_wherever_a_task_waits(desk: Desk, place: dict[str, Any]) -> None:
    if place.pop("blocked", False):
        place["depends_on"] = [(await desk.create())["id"]]
    task = await desk.create(**place, timeouts={"queue": 60, "run": 5})
    change = {
        "title": "New",
        "priority": 9,
        "labels": {"a": "b"},
        "input": {"n": 1},
        "timeouts": {"heartbeat": 2},
        "deadline": "2999-01-01T00:00:00Z",
        "retry": {"max_retries": 3},
    }
    edited = await desk.call("PUT", f"tasks/{task['id']}", json=change)
    assert edited == await desk.get(task)
    assert edited["timeouts"] == {"queue": None, "run": None, "heartbeat": 2.0}
    assert edited["retry"] == task["retry"] | {"max_retries": 3}
    for name in ("title", "priority", "labels", "input", "deadline"):
        assert edited[name] == change[name]
    last = (await events(desk, task))[-1]
    assert (last["type"], last["actor"], last["data"]) == (
        "task.updated",
        "admin:local",
        {"fields": sorted(change)},
    )
    expiry = "select extract(year from expires_at) from expiry where task_id = :id"
    assert (await desk.run(expiry, id=task["id"]))[0][0] == 2999
    edited = await desk.call("PUT", f"tasks/{task['id']}", json={"deadline": None})
    assert edited["deadline"] is None
    assert (await desk.run(expiry, id=task["id"])) == []


async def test_what_is_left_out_or_null_stays(desk: Desk) -> None:
    task = await desk.create(title="T", input=1, priority=2, retry={"max_retries": 1})
    same = await desk.call("PUT", f"tasks/{task['id']}", json={"title": None, "priority": 2})
    assert same == task
    assert len(await events(desk, task)) == 1
    changed = await desk.call("PUT", f"tasks/{task['id']}", json={"input": None})
    assert changed == task | {"input": None}


async def test_edited_inputs_are_checked(desk: Desk) -> None:
    task = await desk.create(input="x", input_schema={"type": "string"})
    path = f"tasks/{task['id']}"
    assert (await desk.call("PUT", path, 422, json={"input": 5}))["code"] == "schema_mismatch"
    refused = await desk.call("PUT", path, 413, json={"input": "x" * 1030})
    assert refused["errors"][0]["field"] == "input"
    await desk.call("PUT", path, 422, json={"queue": "other"})
    assert await desk.get(task) == task


async def test_a_queue_timeout_counts_from_the_edit(desk: Desk) -> None:
    task = await desk.create(timeouts={"queue": 3600})
    await desk.call("PUT", f"tasks/{task['id']}", json={"timeouts": {"queue": 0.3}})
    ended = await desk.until(task, "failed", seconds=5)
    assert ended["error"]["code"] == "queue_timeout"


async def test_a_higher_priority_comes_first(own_desk: Desk) -> None:
    desk = own_desk
    tasks = [await desk.create(priority=0) for _ in range(3)]
    await desk.call("PUT", f"tasks/{tasks[2]['id']}", json={"priority": 5})
    async with desk.worker(worker_concurrency=1):
        ended = [await desk.until(task) for task in tasks]
    starts = [task["started_at"] for task in ended]
    assert sorted(range(3), key=lambda n: starts[n]) == [2, 0, 1]


async def test_only_pending_and_queued_tasks_can_be_edited(own_desk: Desk) -> None:
    desk = own_desk
    await desk.create(input=1)
    async with desk.worker():
        running = await desk.create("sleep", input=30)
        parked = await desk.create("park", input="k")
        for task, state in ((running, "running"), (parked, "waiting")):
            await desk.until(task, state)
            problem = await desk.call("PUT", f"tasks/{task['id']}", 409, json={"priority": 1})
            assert problem["state"] == state
        retrying = await desk.create(
            "fail", input={}, retry={"max_retries": 1, "initial": 60, "jitter": 0}
        )
        await desk.until(retrying, "pending")
        changed = await desk.call("PUT", f"tasks/{retrying['id']}", json={"priority": 1})
        assert (changed["priority"], changed["attempt"], changed["state"]) == (1, 1, "pending")
        for task in (running, parked, retrying):
            await desk.call("POST", f"tasks/{task['id']}/cancel")
            await desk.until(task, "cancelled")
            problem = await desk.call("PUT", f"tasks/{task['id']}", 409, json={"priority": 1})
            assert problem["state"] == "cancelled"
    await desk.call("PUT", f"tasks/{NOBODY}", 404, json={"priority": 1})


async def test_edits_at_the_same_time_all_count(desk: Desk) -> None:
    task = await desk.create()
    path = f"tasks/{task['id']}"
    await asyncio.gather(*(desk.call("PUT", path, json={"priority": n}) for n in range(1, 21)))
    assert (await desk.get(task))["priority"] in range(1, 21)
    assert (await desk.get(task))["state"] == "queued"
    assert len(await events(desk, task)) in range(2, 22)


async def test_edits_and_claims_do_not_lose_tasks(own_desk: Desk) -> None:
    """While a worker takes tasks as fast as it can, edits succeed or find them begun."""
    desk = own_desk
    await desk.agent()
    made = await desk.bulk([{"agent": "echo"}] * 300)
    statuses: set[int] = set()

    async def edit(task: str, n: int) -> None:
        answer = await desk.api.put(f"tasks/{task}", json={"priority": n % 100, "input": n})
        statuses.add(answer.status_code)

    async with desk.worker():
        await asyncio.gather(*(edit(task, n) for n, task in enumerate(made["ids"])))
        ended = [await desk.until(task) for task in made["ids"]]
    assert {task["state"] for task in ended} == {"succeeded"}
    assert all(task["output"] == task["input"] for task in ended)
    assert statuses <= {200, 409}


# -- delete ------------------------------------------------------------------------------------


async def ended_task(desk: Desk, **fields: Any) -> dict[str, Any]:
    task = await desk.create(**fields)
    await desk.call("POST", f"tasks/{task['id']}/cancel")
    return task


async def test_deletes_ended_tasks_only(desk: Desk) -> None:
    task = await desk.create()
    path = f"tasks/{task['id']}"
    assert (await desk.call("DELETE", path, 409))["code"] == "conflict"
    await desk.call("POST", f"{path}/cancel")
    await desk.call("DELETE", path, 204)
    for method, part in (
        *(("GET", part) for part in ("", "/history", "/attempts", "/logs", "/explain")),
        *(("GET", part) for part in ("/artifacts", "/artifacts/x", "/logs/stream")),
        *(("POST", "/retry"), ("POST", "/cancel"), ("DELETE", "")),
    ):
        await desk.call(method, path + part, 404)
    page = await desk.call("GET", "tasks")
    assert page["items"] == []
    told = await desk.run(
        "select type, actor, project_id from event where subject = :id order by epoch, xid, id",
        id=task["id"],
    )
    assert [row.type for row in told] == ["task.created", "task.cancelled", "task.deleted"]
    assert told[-1].actor == "admin:local"
    assert told[-1].project_id == told[0].project_id


async def _with_logs(desk: Desk, count: int) -> dict[str, Any]:
    """An ended task with so many lines of output."""
    task = await ended_task(desk)
    await desk.run(
        "insert into log (task_id, attempt, stream, text) select :id, 1, 'stdout', 'x'"
        " from generate_series(1, :count)",
        id=task["id"],
        count=count,
    )
    return task


async def _lines(desk: Desk, task: dict[str, Any]) -> int:
    return len(await desk.run("select id from log where task_id = :id", id=task["id"]))


async def test_logs_are_deleted_in_chunks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_LOG_CHUNK", 3)
    task, other = await _with_logs(desk, 10), await _with_logs(desk, 4)
    await desk.call("DELETE", f"tasks/{task['id']}", 204)
    assert (await _lines(desk, task), await _lines(desk, other)) == (0, 4)


async def test_deleting_long_logs_holds_back_no_events(own_desk: Desk) -> None:
    desk = own_desk
    task = await _with_logs(desk, 10)
    async with desk.database.engine.begin() as conn:  # it takes as long as this holds a line
        await conn.execute(
            text("select from log where task_id = :id for update"), {"id": task["id"]}
        )
        deleting = asyncio.create_task(desk.call("DELETE", f"tasks/{task['id']}", 204))
        async with asyncio.timeout(5):
            while not await desk.database.call("select from event where type = 'task.deleted'"):
                await asyncio.sleep(0.02)
        [(held,)] = await desk.database.call("select held from feed_edge()")
        assert not held
        assert not deleting.done()
        await desk.call("GET", f"tasks/{task['id']}/logs", 404)
    await deleting
    assert await _lines(desk, task) == 0


async def test_logs_that_cannot_be_deleted_now_are_left_to_retention(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("It is away.")

    monkeypatch.setattr(store, "delete_logs", away)
    task = await _with_logs(desk, 2)
    await desk.call("DELETE", f"tasks/{task['id']}", 204)
    assert await _lines(desk, task) == 2
    await desk.call("GET", f"tasks/{task['id']}/logs", 404)


async def test_a_history_has_pages_and_the_last_one_reaches_the_newest(desk: Desk) -> None:
    task = await desk.create()
    await desk.run(
        "insert into event (type, project_id, subject, data) select 'task.progress', project_id,"
        " id, '{}' from task, generate_series(1, 10050) where id = :id",
        id=task["id"],
    )
    await desk.call("POST", f"tasks/{task['id']}/cancel")
    seen: list[str] = []
    page: dict[str, Any] = {"next": None}
    while not seen or page["next"]:
        query = {"cursor": page["next"]} if page["next"] else {}
        page = await desk.get(task, "history", **query)
        seen += [each["type"] for each in page["items"]]
    assert (seen[0], len(seen), seen[-1]) == ("task.created", 10052, "task.cancelled")
    page = await desk.get(task, "history", limit=1)
    assert page["next"] == page["items"][0]["cursor"]
    query = {"cursor": "x"}
    answer = await desk.call("GET", f"tasks/{task['id']}/history", 422, params=query)
    assert "'x' is no event cursor" in answer["detail"]


async def test_a_task_that_others_wait_for_cannot_be_deleted(desk: Desk) -> None:
    first = await ended_task(desk)
    held = await desk.create(depends_on=[first["id"]], on_dependency_failure="hold")
    run = await desk.create(depends_on=[first["id"]], on_dependency_failure="run")
    problem = await desk.call("DELETE", f"tasks/{first['id']}", 409)
    assert problem["dependents"] == [held["id"], run["id"]]
    for task in (held, run):
        await desk.call("POST", f"tasks/{task['id']}/cancel")
    await desk.call("DELETE", f"tasks/{first['id']}", 204)
    assert (await desk.get(held))["depends_on"] == []
    again = await desk.call("POST", f"tasks/{held['id']}/retry")
    assert again["state"] == "queued"


async def test_deleting_and_depending_at_the_same_time(desk: Desk) -> None:
    """Either the dependent is refused or the deletion; no task is left without its dependency."""
    for _ in range(20):
        first = await ended_task(desk)
        body = {"agent": "echo", "depends_on": [first["id"]], "on_dependency_failure": "run"}
        deleted, made = await asyncio.gather(
            desk.api.delete(f"tasks/{first['id']}"), desk.api.post("tasks", json=body)
        )
        assert (deleted.status_code, made.status_code) in {(204, 404), (409, 201)}
        if made.status_code == 201:
            assert [one["id"] for one in made.json()["depends_on"]] == [first["id"]]


# -- cancel ------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [{}, {"delay": 60}, {"blocked": True}])
async def test_cancels_what_waits_at_once(desk: Desk, place: dict[str, Any]) -> None:
    if place.pop("blocked", False):
        place["depends_on"] = [(await desk.create())["id"]]
    task = await desk.create(**place)
    path = f"tasks/{task['id']}/cancel"
    assert await desk.call("POST", path, json={"reason": "Not wanted."}) == {"result": "cancelled"}
    ended = await desk.get(task)
    assert (ended["state"], ended["error"]["message"]) == ("cancelled", "Not wanted.")
    assert ended["finished_at"] is not None
    assert await desk.call("POST", path) == {"result": "ended"}
    assert [each["type"] for each in await events(desk, task)][-1] == "task.cancelled"


async def test_cancels_what_runs(own_desk: Desk) -> None:
    desk = own_desk
    async with desk.worker():
        task = await desk.create("sleep", input=30)
        await desk.until(task, "running")
        path = f"tasks/{task['id']}/cancel"
        assert await desk.call("POST", path) == {"result": "cancelling"}
        ended = await desk.until(task)
    assert (ended["state"], ended["error"]["message"]) == ("cancelled", "Cancelled on request.")
    assert [each["type"] for each in await events(desk, task)] == [
        "task.created", "task.started", "task.cancelling", "task.cancelled"
    ]  # fmt: skip


async def test_cancelling_ends_those_that_depend_on_it(desk: Desk) -> None:
    first = await desk.create()
    second = await desk.create(depends_on=[first["id"]])
    third = await desk.create(depends_on=[second["id"]])
    await desk.call("POST", f"tasks/{first['id']}/cancel")
    for task in (second, third):
        ended = await desk.get(task)
        assert (ended["state"], ended["error"]["code"]) == ("cancelled", "dependency_failed")


async def test_a_reason_is_text(desk: Desk) -> None:
    task = await desk.create()
    path = f"tasks/{task['id']}/cancel"
    await desk.call("POST", path, 422, json={"reason": "x" * 1001})
    await desk.call("POST", path, 422, json={"reason": "a\0b"})
    await desk.call("POST", f"tasks/{NOBODY}/cancel", 404)


# -- retry -------------------------------------------------------------------------------------


async def test_gives_ended_tasks_another_life(own_desk: Desk) -> None:
    desk = own_desk
    async with desk.worker():
        failed = await desk.until(await desk.create("fail", input={}))
        dead = await desk.until(
            await desk.create("fail", input={}, retry={"max_retries": 1, "initial": 0})
        )
        cancelled = await desk.create(delay=60)
        await desk.call("POST", f"tasks/{cancelled['id']}/cancel")
        assert (failed["state"], dead["state"]) == ("failed", "dead")
        for task, attempts in ((failed, 2), (dead, 4), (cancelled, 1)):
            again = await desk.call("POST", f"tasks/{task['id']}/retry")
            assert again["state"] in ("queued", "running", "pending", "failed", "dead", "succeeded")
            ended = await desk.until(task)
            assert ended["attempt"] == attempts
        done = await desk.get(cancelled)
        assert (done["state"], done["error"]) == ("succeeded", None)
        problem = await desk.call("POST", f"tasks/{cancelled['id']}/retry", 409)
        assert problem["state"] == "succeeded"
    types = [each["type"] for each in await events(desk, cancelled)]
    assert types == [
        "task.created", "task.cancelled", "task.redriven", "task.started", "task.completed"
    ]  # fmt: skip


async def test_open_tasks_cannot_be_retried(desk: Desk) -> None:
    task = await desk.create()
    problem = await desk.call("POST", f"tasks/{task['id']}/retry", 409)
    assert (problem["state"], "Cancel" in problem["hint"]) == ("queued", True)
    await desk.call("POST", f"tasks/{NOBODY}/retry", 404)


async def test_a_retry_that_would_be_cancelled_at_once_is_refused(own_desk: Desk) -> None:
    desk = own_desk
    first = await desk.create(delay=60)
    task = await desk.create(depends_on=[first["id"]])
    await desk.call("POST", f"tasks/{first['id']}/cancel")
    before = (await desk.get(task), await events(desk, task))
    problem = await desk.call("POST", f"tasks/{task['id']}/retry", 409)
    assert f"depends on {first['id']} (cancelled)." in problem["detail"]
    assert f"first: `podium task retry {first['id']}`." in problem["hint"]
    assert (await desk.get(task), await events(desk, task)) == before
    await desk.call("POST", f"tasks/{first['id']}/retry")
    again = await desk.call("POST", f"tasks/{task['id']}/retry")
    assert again["state"] == "pending"
