"""What every request passes through: ids, headers, hosts, origins, sizes, rates, errors."""

import json
from collections.abc import AsyncIterator

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
    odd = await small.post("/projects", content=b"{}", headers={"Content-Length": "two"})
    assert (odd.status_code, "in bytes" in odd.json()["hint"]) == (400, True)


async def test_a_request_with_too_large_a_head_is_refused(live_server: str) -> None:
    async with httpx.AsyncClient(base_url=live_server) as http:
        answer = await http.get("/health/live", headers={"X-Much": "x" * 70_000})
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "malformed_request"
        assert answer.status_code == 400
        assert (await http.get("/health/live")).status_code == 200


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


async def test_documents_need_nothing_from_elsewhere(api: httpx.AsyncClient) -> None:
    page = await api.get("http://localhost/docs")
    assert "http" not in page.text.replace("https://json-schema.org", "")
    spec = (await api.get("http://localhost/openapi.json")).json()
    assert spec["openapi"].startswith("3.1")


def test_every_route_is_strict(app: FastAPI) -> None:
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
