"""Who a token proves to be: expired, revoked, wrong and guessed ones, and what is remembered."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from podium import app as composition
from podium.kernel.errors import Unauthenticated
from podium.kernel.settings import Settings
from podium.kernel.web import PREFIX
from podium.principals import service as service_module
from podium.principals.service import PrincipalService
from podium.storage.database import Database
from slices.principals.tokens import Made, as_token


async def test_a_revoked_token_stops_working_at_once_here_and_soon_elsewhere(
    app: FastAPI,
    api: httpx.AsyncClient,
    make: Made,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_module, "TRUSTED_SECONDS", 0.3)
    made = await make("tasks:read")
    elsewhere = PrincipalService(database)
    assert (await elsewhere.authenticate(made["token"])).name == "token:t"
    assert (await as_token(api, made["token"], "/whoami")).status_code == 200
    for _ in range(2):
        assert (await api.delete(f"/tokens/{made['id']}")).status_code == 204
    refused = await as_token(api, made["token"], "/whoami")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    await asyncio.sleep(0.35)
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate(made["token"])
    listed = (await api.get("/tokens")).json()["items"]
    assert made["id"] not in [each["id"] for each in listed]
    rows = await database.call(
        "select type from event where subject = $1 order by epoch, xid, id", made["id"]
    )
    assert [row["type"] for row in rows] == ["token.created", "token.revoked"]


async def test_an_expired_token_is_refused_although_it_is_remembered(
    api: httpx.AsyncClient, make: Made
) -> None:
    made = await make("tasks:read", expires_in=0.4)
    assert (await as_token(api, made["token"], "/whoami")).status_code == 200
    await asyncio.sleep(0.45)
    refused = await as_token(api, made["token"], "/whoami")
    assert refused.status_code == 401
    assert "expired" in refused.json()["detail"]


async def test_a_wrong_secret_is_refused_after_the_right_one_was_seen(
    api: httpx.AsyncClient, make: Made
) -> None:
    made = await make("tasks:read")
    assert (await as_token(api, made["token"], "/whoami")).status_code == 200
    assert (await as_token(api, made["token"][:-4] + "AAAA", "/whoami")).status_code == 401


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "podium_",
        "podium_00000000000000000000000000000000_" + "a" * 43,
        "pat_x_1_y",
        "\u00fc",
    ],
)
async def test_what_is_no_token_is_refused(api: httpx.AsyncClient, token: str) -> None:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    answer = await api.get("/whoami", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"


async def test_another_kind_of_authorization_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/whoami", headers={"Authorization": "Basic eDp5"})
    assert answer.status_code == 401
    assert "Bearer" in answer.json()["detail"]


async def test_without_a_token_nothing_but_health_and_documents_is_shown(
    api: httpx.AsyncClient,
) -> None:
    del api.headers["Authorization"]
    assert (await api.get("/tasks")).status_code == 401
    assert (await api.get("/no/such/path")).status_code == 401
    assert (await api.get("http://localhost/metrics")).status_code == 401
    for path in ("/health/live", "/health/ready", "/openapi.json", "/docs"):
        assert (await api.get(f"http://localhost{path}")).status_code == 200


async def test_use_is_recorded_now_and_then(
    app: FastAPI, api: httpx.AsyncClient, make: Made, database: Database
) -> None:
    made = await make("tasks:read")
    await as_token(api, made["token"], "/whoami")
    principals: PrincipalService = app.state.services[PrincipalService]
    await principals._record()
    [row] = await database.call("select last_used_at from token where id = $1", made["id"])
    assert datetime.now(UTC) - row["last_used_at"] < timedelta(seconds=10)
    await principals._record()


async def test_many_who_ask_at_once_cost_one_query(
    make: Made, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make("tasks:read")
    principals, asked = PrincipalService(database), 0
    look_up = service_module._look_up

    async def counted(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return await look_up(*arguments)

    monkeypatch.setattr(service_module, "_look_up", counted)
    found = await asyncio.gather(*(principals.authenticate(made["token"]) for _ in range(50)))
    assert len(set(found)) == 1
    assert asked == 1


async def test_a_caller_that_gives_up_does_not_spoil_it_for_others(
    make: Made, database: Database
) -> None:
    made = await make("tasks:read")
    principals = PrincipalService(database)
    first = asyncio.create_task(principals.authenticate(made["token"]))
    second = asyncio.create_task(principals.authenticate(made["token"]))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).name == "token:t"


async def test_memory_of_tokens_is_bounded(
    database: Database, make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_REMEMBERED", 2)
    principals = PrincipalService(database)
    for _ in range(4):
        await principals.authenticate((await make("tasks:read"))["token"])
    assert len(principals._known) == 2


async def test_those_who_guess_do_not_push_out_what_was_proven(
    database: Database, make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    principals = PrincipalService(database)
    monkeypatch.setattr(service_module, "_REMEMBERED", 3)
    monkeypatch.setattr(service_module, "_REMEMBERED_ABSENT", 3)
    asked = 0

    def count() -> None:
        nonlocal asked
        asked += 1

    good = (await make("tasks:read"))["token"]
    await principals.authenticate(good, count)
    assert asked == 1
    for number in range(10):
        with pytest.raises(Unauthenticated):
            await principals.authenticate(f"podium_{number:032x}_{'x' * 43}", count)
    assert asked == 11
    await principals.authenticate(good, count)
    assert asked == 11
    assert len(principals._absent) == 3


async def test_guesses_are_limited_before_the_database_is_asked(
    settings: Settings, prepared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []

    async def look_up(_database: Database, key: object) -> tuple[None, bytes]:
        looked.append(key)
        return None, b""

    monkeypatch.setattr(service_module, "_look_up", look_up)
    limits = {"requests_per_second": 0.1, "request_burst": 3}
    app = composition.create_api(settings.model_copy(update=limits))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=f"http://localhost{PREFIX}") as client,
    ):
        answers = [
            (await as_token(client, f"podium_{number:032x}_{'x' * 43}", "/whoami")).status_code
            for number in range(6)
        ]
    assert answers == [401, 401, 401, 429, 429, 429]
    assert len(looked) == 3
