"""What operators look at: health, logs, metrics, settings and the status."""

import asyncio
import json
import os
import re
from pathlib import Path
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from podium.kernel.settings import Settings
from podium.scheduler import store as scheduler_store
from podium.scheduler.keeper import Chore
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from slices.scheduler.keepers import keeping

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "observing.md"


async def test_a_database_that_is_away_is_told_as_such(
    api: httpx.AsyncClient, database: Database, server_url: str
) -> None:
    await api.get("/whoami")
    name = database.engine.url.database
    others = Database(server_url.format("postgres"))
    kill = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    try:
        await others.call(f"alter database {name} allow_connections false")  # nor may any come back
        await others.call(kill)
        await others.call(f"alter database {name} rename to away_{name}")
        await asyncio.sleep(0.1)
        ready = await api.get("http://localhost/health/ready")
        assert ready.status_code == 503
        assert ready.json()["code"] == "unavailable"
        assert ready.headers["retry-after"] == "1"
        assert (await api.get("http://localhost/health/live")).status_code == 200
        assert (await api.get("/projects")).status_code == 503
    finally:
        await others.call(f"alter database away_{name} rename to {name}")
        await others.call(f"alter database {name} allow_connections true")
        await others.close()
    assert (await api.get("http://localhost/health/ready")).status_code == 200
    assert (await api.get("/projects")).status_code == 200


async def test_a_database_of_another_version_is_not_ready(
    api: httpx.AsyncClient, database: Database
) -> None:
    await database.call("update alembic_version set version_num = '9999'")
    assert (await api.get("http://localhost/health/ready")).status_code == 503
    await database.call("drop table alembic_version")
    answer = await api.get("http://localhost/health/ready")
    assert "none" in answer.json()["detail"]


async def test_each_request_is_logged_once_without_query_or_secrets(
    api: httpx.AsyncClient, settings: Settings, admin_token: str
) -> None:
    await api.get("/projects?cursor=CANARY", headers={"X-Request-Id": "logged-1"})
    await api.get("/projects/podium_0123456789abcdef0123456789abcdef_secret")
    path = settings.data_dir / "logs" / "podium.log"
    for _ in range(100):
        await asyncio.sleep(0.05)
        if path.exists() and path.read_text().count('"event":"request"') >= 2:
            break
    text = path.read_text()
    first, second = [json.loads(line) for line in text.splitlines()]
    assert (first["method"], first["path"], first["status"]) == (
        "GET",
        "/api/v1/orchestration/projects",
        422,
    )
    assert (first["request_id"], first["principal"]) == ("logged-1", "admin:local")
    assert first["ms"] > 0
    assert first["time"]
    assert second["status"] == 404
    assert "CANARY" not in text
    assert "_secret" not in text
    assert admin_token not in text


async def test_metrics_count_by_route_template(
    app: FastAPI, api: httpx.AsyncClient, admin_token: str
) -> None:
    for name in ("a", "b"):
        await api.get(f"/projects/{name}")
    await api.request("SURPRISE", "/projects")
    text = (await api.get("http://localhost/metrics")).text
    route = 'route="/api/v1/orchestration/projects/{name}"'
    assert f'podium_http_requests_total{{method="GET",{route},status="404"}} 2.0' in text
    assert 'podium_http_requests_total{method="(none)",route="' in text
    assert f'podium_http_request_seconds_count{{method="GET",{route}}} 2.0' in text
    assert "podium_feed_lag_seconds 0.0" in text
    assert 'podium_tasks{state="queued"} 0.0' in text
    assert 'podium_workers{state="active"} 0.0' in text


async def test_metrics_of_the_whole_process_are_there_once_and_in_the_guide(
    api: httpx.AsyncClient, database: Database, valkey: Valkey
) -> None:
    failed = asyncio.Event()

    async def fails() -> None:
        failed.set()
        raise RuntimeError("not now")

    async with keeping(database, valkey, Chore("fails", 60, fails)):
        await failed.wait()
    text = (await api.get("http://localhost/metrics")).text
    assert 'podium_keeper_errors_total{loop="fails"} 1.0' in text
    named = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(named) == len(set(named))
    assert {"process_cpu_seconds_total", "python_info"} <= set(named)
    documented = set(re.findall(r"^\| `(podium_\w+)`", GUIDE.read_text(), re.MULTILINE))
    assert documented == {name for name in named if name.startswith("podium_")}


async def test_health_checks_do_not_keep_an_idle_server_alive(
    app: FastAPI, api: httpx.AsyncClient
) -> None:
    app.state.last_request = 0.0
    await api.get("http://localhost/health/live")
    await api.get("http://localhost/health/ready")
    assert app.state.last_request == 0.0
    await api.get("/whoami")
    assert app.state.last_request > 0


async def test_settings_are_listed_with_secrets_masked(
    api: httpx.AsyncClient, settings: Settings
) -> None:
    items = {item["name"]: item for item in (await api.get("/settings")).json()["items"]}
    assert items["database_url"]["value"] == "***"
    assert items["valkey_url"]["env"] == "PODIUM_VALKEY_URL"
    assert items["home"]["value"] == str(settings.home)
    assert items["allowed_hosts"]["value"] == []
    assert all(item["description"] for item in items.values())


async def test_status_tells_of_servers_workers_and_tasks(
    api: httpx.AsyncClient, database: Database
) -> None:
    await database.call(
        "insert into worker (id, name, host, pid, version, concurrency, runtimes, confinement,"
        " lease_until) select gen_random_uuid(), x.name, 'h', $1, '1', 5, '{command}', 'none',"
        " now() + x.wait"
        " from (values ('w1', interval '1 min'), ('w0', '-2 days')) as x (name, wait)",
        os.getpid(),
    )
    await database.call("update worker set state = 'dead' where name = 'w0'")
    body = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}
    await api.post("/agents", json=body)
    first = (await api.post("/tasks", json={"agent": "a"})).json()
    await api.post("/tasks", json={"agent": "a", "depends_on": [first["id"]]})
    await api.post("/tasks", json={"agent": "a", "delay": 60})
    cancelled = (await api.post("/tasks", json={"agent": "a"})).json()
    await api.post(f"/tasks/{cancelled['id']}/cancel")
    status = (await api.get("/status")).json()
    assert status["version"]
    assert status["uptime_seconds"] > 0
    assert status["database"]["ok"]
    assert status["valkey"] == {"ok": True, "embedded": False}
    assert status["artifacts"]["ok"]
    assert status["artifacts"]["place"].startswith("file:///")
    assert status["counts"] == {
        "running": 0,
        "queued": 1,
        "waiting": 0,
        "pending": 2,
        "cancelled": 1,
    }
    assert [worker["name"] for worker in status["workers"]] == ["w1"]
    assert status["confinement"] == "none"
    assert (await api.get("/workers")).json()["items"] == status["workers"]


async def test_a_worker_tells_how_many_processes_it_runs_and_may(
    api: httpx.AsyncClient, database: Database
) -> None:
    """Its processes may be what holds tasks up long before its slots are taken."""
    await database.call(
        "insert into worker (id, name, host, pid, version, concurrency, processes, runtimes,"
        " lease_until) values (gen_random_uuid(), 'w', 'h', 1, '1', 600, 2, '{command}',"
        " now() + interval '1 min')"
    )
    await database.call(
        "insert into running (task_id, lane_id, priority, attempt, failures, losses, gated,"
        " worker_id, agent_id, agent_version, isolated, queued_at)"
        " select gen_random_uuid(), 1, 0, 1, 0, 0, false, w.id, gen_random_uuid(), 1, x.isolated,"
        " now()"
        " from worker w, (values (true), (true), (false)) as x (isolated)"
    )
    (worker,) = (await api.get("/status")).json()["workers"]
    assert (worker["running"], worker["concurrency"]) == (3, 600)
    assert (worker["running_processes"], worker["processes"]) == (2, 2)


async def test_a_worker_tells_what_blocks_it(api: httpx.AsyncClient, database: Database) -> None:
    await database.call(
        "insert into worker (id, name, host, pid, version, concurrency, runtimes, lease_until)"
        " values (gen_random_uuid(), 'w', 'h', 1, '1', 600, '{function}', now() + interval '9 s')"
    )
    (free,) = (await api.get("/status")).json()["workers"]
    assert free["blocked_by"] is None
    task = uuid4()
    await scheduler_store.accuse(database, UUID(free["id"]), task, 2, "hog (agents.py:7)", 60)
    (blocked,) = (await api.get("/workers")).json()["items"]
    assert blocked["blocked_by"] == {"task_id": str(task), "attempt": 2, "at": "hog (agents.py:7)"}


async def test_public_paths_ask_for_no_token_and_so_for_no_good_one(api: httpx.AsyncClient) -> None:
    for credential in ("Bearer pat_unknown", "Basic eDp5", "Bearer "):
        headers = {"Authorization": credential}
        for path in ("/health/live", "/health/ready", "/openapi.json", "/docs"):
            answer = await api.get(f"http://localhost{path}", headers=headers)
            assert answer.status_code == 200, path
