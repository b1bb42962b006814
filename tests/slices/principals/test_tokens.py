"""Tokens: issued with at most one's own powers, proven, expiring, revoked."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from podium import app as composition
from podium.kernel.errors import Unauthenticated
from podium.kernel.settings import Settings
from podium.kernel.web import PREFIX
from podium.principals import service as service_module
from podium.principals.credentials import hash_secret, parse
from podium.principals.model import GLOBAL_SCOPES, PRESETS, SCOPES, Preset
from podium.principals.service import PrincipalService, ensure_admin_token
from podium.storage.database import Database

Made = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def make(api: httpx.AsyncClient) -> Made:
    """Creates a token over HTTP, as the administrator unless another token is given."""

    async def make(*scopes: str, by: str | None = None, **more: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {by}"} if by else {}
        body = {"name": "t", "scopes": list(scopes), **more}
        answer = await api.post("/tokens", json=body, headers=headers)
        return {"status": answer.status_code, **answer.json()}

    return make


async def as_token(api: httpx.AsyncClient, token: str, path: str) -> httpx.Response:
    return await api.get(path, headers={"Authorization": f"Bearer {token}"})


async def test_a_token_does_what_its_scopes_allow(api: httpx.AsyncClient, make: Made) -> None:
    made = await make("projects:read", name="ci")
    assert made["status"] == 201
    who = (await as_token(api, made["token"], "/whoami")).json()
    assert who["principal"] == "token:ci"
    assert (who["kind"], who["scopes"], who["project"]) == ("token", ["projects:read"], None)
    assert (await as_token(api, made["token"], "/projects")).status_code == 200
    refused = await as_token(api, made["token"], "/agents")
    assert refused.status_code == 403
    assert refused.json()["code"] == "forbidden"
    assert refused.json()["missing"] == ["agents:read"]


async def test_the_secret_is_shown_once_and_only_its_hash_is_stored(
    api: httpx.AsyncClient, make: Made, database: Database
) -> None:
    made = await make("tasks:read")
    credential = parse(made["token"])
    assert credential is not None
    assert str(credential.id) == made["id"]
    rows = await database.call(
        "select t::text as row, secret_hash from token t where id = $1", credential.id
    )
    assert credential.secret not in rows[0]["row"]
    assert rows[0]["secret_hash"] == hash_secret(credential.secret)
    assert credential.secret not in (await api.get("/tokens")).text
    events = await database.call("select data::text from event")
    assert not any(credential.secret in row["data"] for row in events)


async def test_nobody_grants_what_they_do_not_hold(api: httpx.AsyncClient, make: Made) -> None:
    keeper = (await make("tokens:write", "tasks:read"))["token"]
    assert (await make("tasks:read", by=keeper))["status"] == 201
    refused = await make("tasks:write", "admin", by=keeper)
    assert refused["status"] == 403
    assert refused["missing"] == ["admin", "tasks:write"]
    plain = (await make("tasks:read"))["token"]
    assert (await make("tasks:read", by=plain))["status"] == 403


async def test_a_token_does_not_outlive_the_one_it_was_made_with(
    api: httpx.AsyncClient, make: Made
) -> None:
    keeper = await make("tokens:write", "tasks:read", expires_in=3600)
    limit = datetime.fromisoformat(keeper["expires_at"])
    for wanted in ({}, {"expires_in": 7200}):
        child = await make("tasks:read", by=keeper["token"], **wanted)
        assert datetime.fromisoformat(child["expires_at"]) == limit
    sooner = await make("tasks:read", by=keeper["token"], expires_in=60)
    assert datetime.fromisoformat(sooner["expires_at"]) < limit


async def test_a_project_token_sees_and_makes_only_what_is_of_its_project(
    api: httpx.AsyncClient, make: Made
) -> None:
    for name in ("ours", "theirs"):
        assert (await api.post("/projects", json={"name": name})).status_code == 201
    await make("tasks:read", name="foreign", project="theirs")
    bound = (await make("tokens:write", "projects:read", "tasks:read", project="ours"))["token"]
    assert (await as_token(api, bound, "/whoami")).json()["project"] == "ours"
    listed = (await as_token(api, bound, "/projects")).json()["items"]
    assert [each["name"] for each in listed] == ["ours"]
    for path in ("/projects/theirs", "/projects/default", "/projects/nowhere"):
        assert (await as_token(api, bound, path)).status_code == 404
    assert (await as_token(api, bound, "/tasks?project=theirs")).status_code == 404
    assert (await as_token(api, bound, "/tasks")).status_code == 200

    child = await make("tasks:read", by=bound)
    assert child["project"] == "ours"
    assert (await make("tasks:read", by=bound, project="theirs"))["status"] == 404
    seen = (await as_token(api, bound, "/tokens")).json()["items"]
    assert {each["project"] for each in seen} == {"ours"}

    foreign = next(t for t in (await api.get("/tokens")).json()["items"] if t["name"] == "foreign")
    headers = {"Authorization": f"Bearer {bound}"}
    assert (await api.delete(f"/tokens/{foreign['id']}", headers=headers)).status_code == 404
    assert (await api.delete(f"/tokens/{child['id']}", headers=headers)).status_code == 204


@pytest.mark.parametrize("scope", ["admin", "projects:write", "workers:read", "settings:read"])
async def test_a_project_token_cannot_hold_powers_beyond_it(make: Made, scope: str) -> None:
    refused = await make(scope, project="default")
    assert refused["status"] == 422
    assert scope in refused["detail"]


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
    rows = await database.call("select type from event where subject = $1 order by id", made["id"])
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


async def test_lists_have_pages(api: httpx.AsyncClient, make: Made) -> None:
    made = [(await make("tasks:read", name=f"t{number}"))["id"] for number in range(4)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await api.get("/tokens", params=query)).json()
        seen += [each["id"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen[:4] == made[::-1]
    assert len(seen) == 5  # with the local administrator's
    for wrong in ("x", "bnVsbA", "WzFd", "WyJcdTAwMDAiXQ"):
        assert (await api.get("/tokens", params={"cursor": wrong})).status_code == 422


async def test_the_local_admin_token_is_kept_private_and_replaced_when_lost(
    database: Database, tmp_path: Path
) -> None:
    async def ensure(folder: Path = tmp_path) -> str:
        async with database.transaction() as conn:
            path = await ensure_admin_token(folder, conn)
        assert path.stat().st_mode & 0o777 == 0o600
        return path.read_text().strip()

    first = await ensure()
    assert await ensure() == first
    other_machine = await ensure(tmp_path / "other")
    (tmp_path / "admin-token").unlink()
    second = await ensure()
    assert second != first
    (tmp_path / "admin-token").write_text("podium_garbage")
    third = await ensure()
    (tmp_path / "admin-token").chmod(0o644)  # others may have read it
    fourth = await ensure()

    principals = PrincipalService(database)
    for lost in (first, second, third):
        with pytest.raises(Unauthenticated):
            await principals.authenticate(lost)
    for valid in (fourth, other_machine):
        assert (await principals.authenticate(valid)).kind == "admin"


async def test_a_revoked_admin_token_is_replaced(database: Database, tmp_path: Path) -> None:
    async def ensure() -> str:
        async with database.transaction() as conn:
            return (await ensure_admin_token(tmp_path, conn)).read_text()

    token = await ensure()
    await database.call("update token set revoked_at = now()")
    assert await ensure() != token


async def test_several_processes_make_one_admin_token(database: Database, tmp_path: Path) -> None:
    async def ensure() -> None:
        async with database.transaction() as conn:
            await ensure_admin_token(tmp_path, conn)

    await asyncio.gather(*(ensure() for _ in range(8)))
    async with database.connect() as conn:
        count = await conn.execute(text("select count(*) from token where revoked_at is null"))
        assert count.scalar_one() == 1


def test_presets_name_scopes_that_exist() -> None:
    for scopes in PRESETS.values():
        assert set(scopes) <= set(SCOPES)
    assert not any(scope.endswith(":execute") for scope in PRESETS["member"])


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_preset_stands_for_its_scopes(make: Made, preset: Preset) -> None:
    assert (await make(preset=preset))["scopes"] == sorted(PRESETS[preset])
    more = await make("tokens:write", preset=preset)
    assert more["scopes"] == sorted({*PRESETS[preset], "tokens:write"})


async def test_a_preset_for_one_project_leaves_out_what_reaches_beyond(make: Made) -> None:
    token = await make(preset="operator", project="default")
    assert token["scopes"] == sorted(set(PRESETS["operator"]) - GLOBAL_SCOPES)
    problem = await make(preset="admin", project="default")
    assert (problem["status"], problem["field"]) == (422, "scopes")
    assert "admin has none" in problem["detail"]


async def test_a_token_needs_a_scope_and_a_preset_no_more_than_its_maker_holds(make: Made) -> None:
    assert (await make())["status"] == 422
    keeper = await make("tokens:write", preset="member")
    assert (await make(preset="member", by=keeper["token"]))["status"] == 201
    refused = await make(preset="operator", by=keeper["token"])
    assert refused["status"] == 403
    assert "tasks:execute" in refused["missing"]


async def test_one_revokes_only_what_one_could_have_granted(
    api: httpx.AsyncClient, make: Made
) -> None:
    keeper = await make("tokens:write", "tasks:read")
    headers = {"Authorization": f"Bearer {keeper['token']}"}
    everyone = (await api.get("/tokens", headers=headers)).json()["items"]
    local = next(each["id"] for each in everyone if each["name"] == "local")
    stronger = await make("tasks:read", "tasks:write")
    for token_id, missing in ((local, ["admin"]), (stronger["id"], ["tasks:write"])):
        refused = await api.delete(f"/tokens/{token_id}", headers=headers)
        assert (refused.status_code, refused.json()["missing"]) == (403, missing)
        assert "tasks" in refused.json()["detail"] or "admin" in refused.json()["detail"]
    weaker = await make("tasks:read")
    for token_id in (weaker["id"], keeper["id"]):
        assert (await api.delete(f"/tokens/{token_id}", headers=headers)).status_code == 204
    assert (await as_token(api, stronger["token"], "/whoami")).status_code == 200
    assert (await as_token(api, keeper["token"], "/whoami")).status_code == 401


async def test_both_events_of_a_token_are_its_projects(
    api: httpx.AsyncClient, make: Made, database: Database
) -> None:
    made = await make("tasks:read", project="default")
    assert (await api.delete(f"/tokens/{made['id']}")).status_code == 204
    rows = await database.call(
        "select type, project_id from event where subject = $1 order by id", made["id"]
    )
    assert [row["type"] for row in rows] == ["token.created", "token.revoked"]
    assert rows[0]["project_id"] == rows[1]["project_id"] is not None


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "a\u202eb", "a\u2028b", "a\x9bb", "a\n"])
async def test_names_of_tokens_hold_no_control_characters(make: Made, name: str) -> None:
    refused = await make("tasks:read", name=name)
    assert refused["status"] == 422
    assert refused["errors"][0]["field"] == "name"


async def test_names_of_tokens_may_be_in_any_language(make: Made) -> None:
    assert (await make("tasks:read", name="Größe 名前 👩‍💻"))["status"] == 201


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
