"""Deadlines of tasks over HTTP: held, changed, refused when they have passed."""

from datetime import UTC, datetime, timedelta

from slices.tasks.conftest import Desk


async def test_a_deadline_ends_a_task_that_waits(desk: Desk) -> None:
    moment = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    task = await desk.create(delay=60, deadline=moment)
    ended = await desk.until(task, "failed", seconds=5)
    assert ended["error"]["code"] == "deadline_passed"


async def test_a_deadline_comes_after_the_start(desk: Desk) -> None:
    await desk.agent("echo")
    times = {"start_at": "2999-01-01T00:00:00Z", "deadline": "2998-01-01T00:00:00Z"}
    refused = await desk.call("POST", "tasks", 422, json={"agent": "echo", **times})
    assert "the deadline must come after start_at" in refused["errors"][0]["message"]


async def test_a_deadline_that_has_passed_is_refused(desk: Desk) -> None:
    await desk.agent("echo")
    late = {"agent": "echo", "deadline": "2001-01-01T00:00:00Z"}
    refused = await desk.call("POST", "tasks", 422, json=late)
    assert refused["detail"].startswith("The deadline 2001-01-01T00:00:00+00:00 has passed")
    assert refused["errors"][0]["field"] == "deadline"
    many = {"tasks": [{"agent": "echo"}, late]}
    refused = await desk.call("POST", "tasks/bulk", 422, json=many)
    assert refused["errors"][0]["field"] == "tasks.1.deadline"
    every = {"name": "late", "cron": "0 * * * *", "task": late}
    refused = await desk.call("POST", "schedules", 422, json=every)
    assert refused["errors"][0]["field"] == "task.deadline"
    assert await desk.count() == 0


async def test_a_key_gives_the_task_of_before_its_deadline(desk: Desk) -> None:
    await desk.agent("echo")
    moment = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    headers = {"Idempotency-Key": "k"}
    late = {"agent": "echo", "deadline": moment, "delay": 60}
    made = await desk.call("POST", "tasks", 201, json=late, headers=headers)
    await desk.until(made, "failed", seconds=5)
    again = await desk.call("POST", "tasks", 201, json=late, headers=headers)
    assert again["id"] == made["id"]
