"""What every request passes through: ids, headers, hosts, origins, sizes, rates, errors, logs."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import Message

from podium import app as composition
from podium.api.errors import problem_response
from podium.api.middleware.limit import RateLimiter
from podium.kernel.errors import PodiumError, RateLimited
from podium.kernel.settings import Settings
from podium.kernel.web import StrictRoute, page_key
from podium.storage.database import Database

PROBLEM = "application/problem+json"


async def test_every_answer_has_an_id_and_headers_that_keep_browsers_careful(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.get("/whoami", headers={"X-Request-Id": "my-id.1"})
    assert answer.headers["x-request-id"] == "my-id.1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    first, second = [(await api.get("/nope")).headers["x-request-id"] for _ in range(2)]
    assert first != second
    for wrong in ("a" * 101, "x y", ""):
        answer = await api.get("/whoami", headers={"X-Request-Id": wrong})
        assert answer.headers["x-request-id"] not in (wrong, "")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nope", None, 404, "not_found"),
        ("PATCH", "/projects", None, 405, "method_not_allowed"),
        ("GET", "/projects/nowhere", None, 404, "not_found"),
        ("GET", "/projects?limit=0", None, 422, "invalid_input"),
        ("GET", "/projects?limit=99999999999999999999", None, 422, "invalid_input"),
        ("POST", "/projects", b"{", 400, "malformed_request"),
        ("POST", "/projects", b'{"name": NaN}', 400, "malformed_request"),
        ("POST", "/projects", b'{"name": "\\ud800"}', 400, "malformed_request"),
        ("POST", "/projects", b"\xff", 400, "malformed_request"),
        ("POST", "/projects", b"[" * 3000, 400, "malformed_request"),
        ("POST", "/projects", b"[" * 200 + b"]" * 200, 422, "invalid_input"),
        ("POST", "/projects", b"", 422, "invalid_input"),
        ("POST", "/projects", b"[]", 422, "invalid_input"),
        ("GET", "/tasks/no-id", None, 422, "invalid_input"),
        ("GET", "/events?after=x", None, 422, "invalid_input"),
        ("GET", "/events?after=1.999999999999.1", None, 410, "gone"),
        ("GET", "/projects/a%00b", None, 400, "malformed_request"),
        ("GET", "/tasks?label=a:%00", None, 400, "malformed_request"),
    ],
)
async def test_errors_are_problems(
    api: httpx.AsyncClient, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.request(method, path, content=body, headers=headers)
    assert answer.headers["content-type"] == PROBLEM
    told = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (status, status, code)
    assert told["type"] == f"https://podium.dev/errors/{code}"
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["title"]
    assert told["detail"].endswith(".")


@pytest.mark.parametrize(
    "declared", ["application/x-www-form-urlencoded", "text/plain; charset=utf-8", None]
)
async def test_a_body_that_is_not_declared_as_json_is_told(
    api: httpx.AsyncClient, declared: str | None
) -> None:
    """As ``curl -d`` sends it."""
    headers = {"Content-Type": declared} if declared else {}
    answer = await api.post("/projects", content=b'{"name": "CANARY"}', headers=headers)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (415, "unsupported_media_type")
    assert "Content-Type: application/json" in told["hint"]
    assert (declared or "not declared") in told["detail"]
    assert "CANARY" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/projects", {"GET", "POST"}),
        ("PATCH", "/projects/x", {"GET", "PUT", "DELETE"}),
        ("PUT", "/tasks/bulk", {"POST"}),
        ("GET", "/tasks/bulk", {"POST"}),
        ("PATCH", "/tasks/bulk", {"POST"}),
    ],
)
async def test_a_wrong_method_names_the_right_ones(
    api: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = await api.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


async def test_wrong_fields_are_named_and_never_repeated(api: httpx.AsyncClient) -> None:
    body = {"name": "CANARY-1", "weight": "CANARY-2", "CANARY3": 1}
    answer = await api.post("/projects", json=body)
    fields = {error["field"] for error in answer.json()["errors"]}
    assert fields == {"name", "weight", "CANARY3"}
    assert "CANARY-" not in answer.text


@pytest.mark.parametrize(
    ("input_", "where"),
    [
        ("a\x00b", "input"),
        ({"x": [1, {"y": "\x00"}]}, "input.x.1.y"),
        ({"x": {"a\x00": 1}}, "A name in input.x"),
    ],
)
async def test_nul_characters_are_refused_where_they_are(
    api: httpx.AsyncClient, input_: Any, where: str
) -> None:
    answer = await api.post("/tasks", json={"agent": "a", "input": input_})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(where)
    literal = {"agent": "a", "input": "\\u0000 is written with a backslash"}
    assert (await api.post("/tasks", json=literal)).status_code == 404  # no such agent


async def test_the_host_must_be_known(api: httpx.AsyncClient) -> None:
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""):
        answer = await api.get("/whoami", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "misdirected")
    for host in ("localhost", "LOCALHOST:8250", "127.0.0.1:1", "[::1]:8250", "[::1]"):
        assert (await api.get("/whoami", headers={"Host": host})).status_code == 200


async def test_pages_of_other_sites_change_nothing(api: httpx.AsyncClient) -> None:
    async def ask(method: str, origin: str) -> int:
        answer = await api.request(
            method, "/projects", json={"name": "x"}, headers={"Origin": origin}
        )
        return answer.status_code

    malformed = ("http://[", "http://[::1", "http://[x]y")
    for origin in ("https://evil.example", "null", "http://localhost:9999", "http://", *malformed):
        assert await ask("POST", origin) == 403
    assert await ask("GET", "https://evil.example") == 200
    assert await ask("POST", "http://localhost") == 201


async def test_named_sites_may_call_the_api(settings: Settings, database: Database) -> None:
    site = "https://app.example"
    open_settings = settings.model_copy(update={"cors_origins": [site]})
    await composition.prepare(open_settings)
    app = composition.create_api(open_settings)
    token = (settings.data_dir / "admin-token").read_text().strip()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost/api/v1/orchestration"
        ) as client,
    ):
        asked = {"Origin": site, "Access-Control-Request-Method": "POST"}
        preflight = await client.options("/projects", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == site
        sent = {"Origin": site, "Authorization": f"Bearer {token}"}
        answer = await client.post("/projects", json={"name": "x"}, headers=sent)
        assert answer.status_code == 201
        foreign = {**sent, "Origin": "https://evil.example"}
        refused = await client.get("/projects", headers=foreign)
        assert "access-control-allow-origin" not in refused.headers


@pytest.fixture
async def small(settings: Settings, prepared: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server with small limits."""
    limits = {"max_body_bytes": 2000, "requests_per_second": 1.0, "request_burst": 5}
    app = composition.create_api(settings.model_copy(update=limits))
    token = (settings.data_dir / "admin-token").read_text().strip()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://localhost/api/v1/orchestration",
            headers={"Authorization": f"Bearer {token}"},
        ) as client,
    ):
        yield client


async def test_bodies_have_a_limit_also_when_they_come_in_pieces(small: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"name": "'
        for _ in range(30):
            yield b"x" * 100

    for answer in (
        await small.post("/projects", content=b'{"name": "' + b"x" * 2000 + b'"}'),
        await small.post(
            "/projects", content=pieces(), headers={"Content-Type": "application/json"}
        ),
    ):
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert answer.json()["limit"] == 2000


async def test_requests_have_a_rate_per_token(small: httpx.AsyncClient) -> None:
    answers = [await small.get("/whoami") for _ in range(7)]
    assert [answer.status_code for answer in answers[:5]] == [200] * 5
    assert answers[6].status_code == 429
    assert answers[6].json()["code"] == "rate_limited"
    assert int(answers[6].headers["retry-after"]) >= 1
    del small.headers["Authorization"]  # who has no token is counted apart
    assert (await small.get("/whoami")).status_code == 401
    guesses = [await small.get("/whoami", headers={"Authorization": "Bearer x"}) for _ in range(6)]
    assert guesses[-1].status_code == 429


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    limiter = RateLimiter(10, 2)
    limiter.take("a")
    limiter.take("a")
    with pytest.raises(RateLimited):
        limiter.take("a")
    limiter.take("b")
    now += 0.1
    limiter.take("a")
    with pytest.raises(RateLimited):
        limiter.take("a")


def test_full_buckets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("podium.api.middleware.limit._MOST_BUCKETS", 10)
    limiter = RateLimiter(10, 20)
    for number in range(10):
        limiter.take(number)
    now += 3
    limiter.take("late")
    assert list(limiter._buckets) == ["late"]


async def test_what_nobody_caught_is_answered_without_detail(
    app: FastAPI, api: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken() -> None:
        raise ZeroDivisionError("CANARY")

    app.add_api_route("/api/v1/orchestration/broken", broken)
    answer = await api.get("/broken")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert answer.json()["code"] == "internal"
    assert "CANARY" not in answer.text
    printed = capsys.readouterr().out
    assert answer.headers["x-request-id"] in printed
    assert "ZeroDivisionError" in printed


async def test_a_database_that_is_away_is_told_as_such(
    api: httpx.AsyncClient, database: Database, server_url: str
) -> None:
    await api.get("/whoami")
    name = database.engine.url.database
    others = Database(server_url.format("postgres"))
    kill = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    try:
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
    await api.get("/whoami?token=CANARY", headers={"X-Request-Id": "logged-1"})
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
        "/api/v1/orchestration/whoami",
        200,
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


async def test_health_checks_do_not_keep_an_idle_server_alive(
    app: FastAPI, api: httpx.AsyncClient
) -> None:
    app.state.last_request = 0.0
    await api.get("http://localhost/health/live")
    await api.get("http://localhost/health/ready")
    assert app.state.last_request == 0.0
    await api.get("/whoami")
    assert app.state.last_request > 0


async def test_documents_need_nothing_from_elsewhere(api: httpx.AsyncClient) -> None:
    page = await api.get("http://localhost/docs")
    assert "http" not in page.text.replace("https://json-schema.org", "")
    spec = (await api.get("http://localhost/openapi.json")).json()
    assert spec["openapi"].startswith("3.1")


async def test_settings_are_listed_with_secrets_masked(
    api: httpx.AsyncClient, settings: Settings
) -> None:
    items = {item["name"]: item for item in (await api.get("/settings")).json()["items"]}
    assert items["database_url"]["value"] == "***"
    assert items["valkey_url"]["env"] == "PODIUM_VALKEY_URL"
    assert items["home"]["value"] == str(settings.home)
    assert items["allowed_hosts"]["value"] == ["localhost", "127.0.0.1", "[::1]"]
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


def test_every_route_reads_its_body_strictly(app: FastAPI) -> None:
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    assert len(routes) > 30
    assert all(isinstance(route, StrictRoute) for route in routes)


def test_errors_keep_their_own_members_out_of_the_standard_ones() -> None:
    error = PodiumError("What it was.", code="mine", status=1, extra={"a": 1})
    told = json.loads(bytes(problem_response(error, None).body))
    assert (told["code"], told["status"], told["extra"]) == ("internal", 500, {"a": 1})


def test_no_cursor_is_no_key() -> None:
    assert page_key(None, str) is None


@pytest.mark.parametrize("origin", [b"https://evil.example", b"http://["])
async def test_a_websocket_from_another_site_is_refused_before_it_opens(
    app: FastAPI, origin: bytes
) -> None:
    told: list[Message] = []

    async def send(message: Message) -> None:
        told.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    headers = [(b"host", b"localhost"), (b"origin", origin)]
    scope = {
        "type": "websocket",
        "path": "/ws/orchestration",
        "headers": headers,
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "subprotocols": [],
    }
    await app({**scope, "extensions": {}}, receive, send)
    assert told == [{"type": "websocket.close", "code": 1008}]
    told.clear()
    await app({**scope, "extensions": {"websocket.http.response": {}}}, receive, send)
    assert told[0]["type"] == "websocket.http.response.start"
    assert told[0]["status"] == 403
