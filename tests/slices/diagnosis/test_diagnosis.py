"""Every check is shown the trouble that it looks for, and sees it; without trouble none does."""

import asyncio
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI

from podium.diagnosis import servers as server_checks
from podium.diagnosis.service import CHECKS, DiagnosisService
from podium.events.live import Feed
from podium.kernel.ids import least_uuid7, uuid7
from podium.kernel.settings import Settings
from podium.scheduler import store as scheduling
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from servers import ValkeyProcess
from slices.tasks.conftest import Desk

HOUR_AGO = "clock_timestamp() - interval '1 hour'"


async def found(desk: Desk, code: str, where: str | None = None) -> dict[str, Any]:
    """The one finding with the code, there."""
    findings = (await desk.call("GET", "diagnosis"))["findings"]
    (one,) = [each for each in findings if each["code"] == code and where in (None, each["where"])]
    assert one["detail"].endswith(".")
    assert one["advice"]
    return one


async def metrics(desk: Desk) -> list[str]:
    return (await desk.api.get("http://localhost/metrics")).text.splitlines()


async def codes(desk: Desk) -> set[str]:
    """What is wrong, but for what any worker of these tests is: without confinement."""
    findings = (await desk.call("GET", "diagnosis"))["findings"]
    assert {each["check"] for each in findings} <= set(CHECKS)
    return {each["code"] for each in findings} - {"unconfined"}


async def age(database: Database) -> None:
    """Have all that waits wait for an hour already."""
    await database.call(f"update ready set queued_at = {HOUR_AGO}")


async def test_nothing_is_wrong_with_an_installation_at_work(desk: Desk) -> None:
    diagnosis = await desk.call("GET", "diagnosis")
    assert diagnosis["findings"] == []
    assert diagnosis["checks"] == list(CHECKS)
    await desk.agent("fail")
    await desk.call(
        "POST",
        "schedules",
        201,
        json={"name": "s", "every": 3600, "task": {"agent": "fail", "input": {}}},
    )
    async with desk.worker():
        for _ in range(3):
            await desk.until(await desk.create("echo"))
        await desk.until(await desk.create("fail", input={"class": "invalid_input"}))
        await desk.create("echo", delay=60)
        await desk.create("fail", depends_on=[(await desk.create("echo", delay=60))["id"]])
        assert await codes(desk) == set()


async def test_tasks_that_can_never_run(desk: Desk) -> None:
    await desk.agent("echo")
    await desk.agent("fail")
    await desk.agent("flaky")
    await desk.create(None, capabilities=["flying"])
    await desk.create(None, capabilities=["flying"])
    await desk.create("echo")
    await desk.create("fail")
    await desk.create("flaky")
    await desk.call("DELETE", "agents/echo", 204)
    await desk.call("PUT", "agents/fail", json={"enabled": False})
    await desk.run("update agent set healthy = false where name = 'flaky'")
    no_agent = await found(desk, "no_agent")
    assert no_agent["outcome"] == "failed"
    assert no_agent["where"] == "default/the capability flying"
    assert no_agent["detail"].startswith("2 tasks of the project default")
    assert (await found(desk, "agent_removed"))["where"] == "default/echo"
    assert (
        "podium agent edit fail -p default --enable"
        in (await found(desk, "agent_disabled"))["advice"]
    )
    assert (await found(desk, "agent_unhealthy"))["where"] == "default/flaky"
    assert await codes(desk) == {"no_agent", "agent_removed", "agent_disabled", "agent_unhealthy"}


async def test_queues_that_no_worker_serves(desk: Desk) -> None:
    await desk.create("echo", queue="night")
    assert await codes(desk) == set(), "a worker that starts anew may be away for a moment"
    await age(desk.database)
    async with desk.worker(worker_queues=["day"]):
        unserved = await found(desk, "queue_unserved")
        assert unserved["where"] == "default/night"
        assert "the runtime function" in unserved["detail"]
    async with desk.worker(worker_queues=["night"]), asyncio.timeout(20):
        while await codes(desk):
            await asyncio.sleep(0.05)


async def test_queues_that_are_paused_or_full_for_long(desk: Desk) -> None:
    await desk.agent("sleep")
    await desk.call("PUT", "queues/shut", json={"state": "paused"})
    await desk.call("PUT", "queues/narrow", json={"concurrency": 1})
    async with desk.worker():
        running = await desk.create("sleep", input=60, queue="narrow")
        await desk.until(running, "running")
        await desk.create("sleep", input=0, queue="narrow")
        await desk.create("sleep", input=0, queue="shut")
        assert await codes(desk) == set()
        await age(desk.database)
        paused, full = await found(desk, "queue_paused"), await found(desk, "queue_full")
        assert paused["advice"] == "Open it: podium queue open shut -p default."
        assert "1 of at most 1 tasks" in full["detail"]
        await desk.call("POST", f"tasks/{running['id']}/cancel", json={})


async def test_tasks_that_hold_nothing_of_their_limits_meanwhile(desk: Desk) -> None:
    await desk.call("PUT", "limits/db", json={"concurrency": 5})
    await desk.create("echo", queue="shut", limits=["db"])
    await desk.call("PUT", "queues/shut", json={"state": "paused"})
    await desk.create("echo", queue="shut", limits=["db"])
    assert await codes(desk) == set()
    await desk.run("update wait set since = now() - interval '1 hour'")
    assert (await found(desk, "queue_paused"))["detail"].startswith("2 tasks of the project")


async def test_tasks_that_are_held_until_others_are_retried(desk: Desk) -> None:
    await desk.agent("fail")
    async with desk.worker():
        failed = await desk.create("fail", input={"class": "invalid_input"})
        held = [
            await desk.create("echo", depends_on=[failed["id"]], on_dependency_failure="hold")
            for _ in range(2)
        ]
        await desk.until(failed)
        told = await found(desk, "tasks_held")
        assert told["where"] == "default"
        assert told["detail"].startswith("2 tasks of the project default wait for tasks")
        assert f"podium task retry {failed['id']}" in told["advice"]
        for each in held:
            await desk.call("POST", f"tasks/{each['id']}/cancel", json={})
        assert "tasks_held" not in await codes(desk)


async def test_agents_that_are_full_for_long(desk: Desk) -> None:
    await desk.agent("sleep", max_concurrency=1)
    async with desk.worker():
        running = await desk.create("sleep", input=60)
        await desk.until(running, "running")
        await desk.create("sleep", input=0)
        assert await codes(desk) == set()
        await age(desk.database)
        assert (await found(desk, "agent_full"))["where"] == "default/sleep"
        await desk.call("POST", f"tasks/{running['id']}/cancel", json={})


async def test_workers_of_another_version_blocked_or_unconfined(desk: Desk) -> None:
    await desk.run(
        "insert into worker (id, name, host, pid, version, concurrency, runtimes, lease_until)"
        " values (:id, 'old', 'h', 7, '0.0.1', 5, '{command}', now() + interval '1 min')",
        id=(worker := uuid7()),
    )
    assert (await found(desk, "worker_version"))["where"] == "old at h (process 7)"
    assert (await found(desk, "unconfined"))["outcome"] == "warning"
    await scheduling.accuse(desk.database, worker, UUID(int=1), 1, "hog (a.py:7)", 60)
    assert "at hog (a.py:7)" in (await found(desk, "worker_blocked"))["detail"]


async def test_search_and_the_feed_that_lag(
    desk: Desk, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.diagnosis.servers._SEARCH_SECONDS", 0.2)
    await desk.agent("echo")
    async with desk.database.transaction() as conn:  # the indexer passes over a locked place
        await conn.exec_driver_sql("update search_place set from_id = null")
        await desk.create("echo")
        await asyncio.sleep(0.3)
        assert (await found(desk, "search_lag"))["check"] == "search"
    monkeypatch.setattr(services[Feed], "_behind_since", time.monotonic() - 60)
    assert (await found(desk, "feed_lag"))["detail"] == "Events are 60 s late."


async def test_a_schedule_that_nobody_fires(
    prepared: Settings, database: Database, valkey: Valkey
) -> None:
    """No API process runs."""
    await database.call(
        "insert into schedule (id, project_id, name, every, timezone, anchor, jitter, catch_up,"
        " overlap, paused, task, may_run_code, next_at, fires_at, created_by)"
        " select gen_random_uuid(), id, 'late', 3600, 'UTC', now(), 0, 'latest', 'skip', false,"
        f" '{{}}', false, now(), {HOUR_AGO}, 'ada' from project"
    )
    feed = Feed(database, valkey)
    service = DiagnosisService(database, valkey, feed, prepared.data_dir)
    (late,) = await service.look(tokens=True)
    assert (late.code, late.where, late.outcome) == ("schedule_overdue", "default/late", "failed")
    assert "60 min ago" in late.detail
    await database.call("update schedule set paused = true, next_at = null, fires_at = null")
    assert await service.look(tokens=True) == []


async def test_schedules_whose_firings_come_to_nothing(desk: Desk) -> None:
    await desk.agent("echo")
    new = {"name": "failing", "every": 1, "task": {"agent": "echo"}}
    await desk.call("POST", "schedules", 201, json=new)
    await desk.call("DELETE", "agents/echo", 204)
    async with asyncio.timeout(40):
        while "schedule_failing" not in await codes(desk):
            await asyncio.sleep(0.2)
    failing = await found(desk, "schedule_failing")
    assert failing["where"] == "default/failing"
    assert "started no task the last " in failing["detail"]
    assert "echo" in failing["detail"]


async def test_agents_that_fail_again_and_again(desk: Desk) -> None:
    async with desk.worker():
        for _ in range(5):
            await desk.until(await desk.create("fail", input={"class": "invalid_input"}))
    failing = await found(desk, "agent_failing")
    assert failing["where"] == "default/fail"
    assert "5 of the last 5 attempts" in failing["detail"]
    assert "told_to" in failing["detail"]


async def test_dead_tasks(desk: Desk) -> None:
    async with desk.worker():
        made = await desk.create("fail", input={}, retry={"max_retries": 1, "initial": 0})
        await desk.until(made, "dead")
    dead = await found(desk, "dead_tasks")
    assert (dead["where"], dead["detail"].split(" of ")[0]) == ("default", "1 task")
    # It died now, whenever it was made.
    old = UUID(int=least_uuid7(datetime.now(UTC) - timedelta(days=2)).int | 7)
    await desk.run("update task set id = :old where id = :id", old=old, id=made["id"])
    assert (await found(desk, "dead_tasks"))["where"] == "default"
    await desk.run("update task set finished_at = now() - interval '2 days' where id = :o", o=old)
    assert await codes(desk) == set()


async def test_tokens_that_expire_soon_are_told_to_who_may_list_them(desk: Desk) -> None:
    new = {"name": "ci", "scopes": ["workers:read"], "expires_in": 90 * 86400}
    token = await desk.call("POST", "tokens", 201, json=new)
    assert await codes(desk) == set()
    await desk.run(
        "update token set created_at = now() - interval '80 days',"
        " expires_at = now() + interval '3 days' where name = 'ci'"
    )
    assert (await found(desk, "token_expires"))["where"] == "ci"
    headers = {"Authorization": f"Bearer {token['token']}"}
    seen = await desk.call("GET", "diagnosis", headers=headers)
    assert seen["findings"] == []
    assert "tokens" not in seen["checks"]


async def test_who_may_not_see_workers_is_told_nothing(desk: Desk) -> None:
    token = await desk.call("POST", "tokens", 201, json={"name": "t", "scopes": ["tasks:read"]})
    headers = {"Authorization": f"Bearer {token['token']}"}
    answer = await desk.call("GET", "diagnosis", 403, headers=headers)
    assert answer["code"] == "forbidden"


async def test_valkey_that_is_away(desk: Desk, valkey_process: ValkeyProcess) -> None:
    await valkey_process.kill()
    async with asyncio.timeout(20):
        while "valkey_away" not in await codes(desk):
            await desk.create("echo")
            await asyncio.sleep(0.2)


@pytest.mark.parametrize(("free", "outcome"), [(0, "failed"), (2**29, "warning")])
async def test_a_disk_that_is_short(
    desk: Desk, free: int, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=free)

    def disk_usage(_place: Path) -> object:
        return usage

    monkeypatch.setattr("podium.diagnosis.service.shutil.disk_usage", disk_usage)
    assert (await found(desk, "disk_short"))["outcome"] == outcome


async def test_a_database_that_is_slow_full_or_of_another_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apart,) = server_checks.clocks(30)
    assert "30 s behind" in apart.detail
    for name, value, code in (
        ("_SLOW_SECONDS", 0.0, "database_slow"),
        ("_FULL_SHARE", 0.0, "connections_short"),
        ("_APART_SECONDS", 0.0, "clocks_apart"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(server_checks, name, value)
            await found(desk, code)
    assert await codes(desk) == set()


async def test_many_findings_are_summed_up_and_a_million_tasks_cost_no_more(
    desk: Desk, app: FastAPI
) -> None:
    await desk.create("echo")
    await desk.run(
        "insert into lane (project_id, queue, agent_id, capabilities)"
        " select p.id, 'default', null, array['c' || n] from project p, generate_series(1, 30) n"
        " where p.name = 'default'"
    )
    await desk.run(
        "insert into ready (lane_id, priority, task_id)"
        " select l.id, 0, gen_random_uuid() from lane l, generate_series(1, 10000)"
        " where l.agent_id is null"
    )
    await desk.run("analyze ready")
    began = time.monotonic()
    findings = (await desk.call("GET", "diagnosis"))["findings"]
    assert time.monotonic() - began < 2
    waiting = [each for each in findings if each["check"] == "waiting tasks"]
    assert len(waiting) == 20
    assert waiting[-1]["detail"] == "There are 11 more of this kind."
    assert waiting[0]["detail"].startswith("100 or more tasks of the project default")
