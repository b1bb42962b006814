"""Tokens: issued with at most one's own powers, for all or one project, listed and revoked."""

import asyncio
from datetime import datetime

import httpx
import pytest

from podium.principals.credentials import hash_secret, parse
from podium.principals.model import GLOBAL_SCOPES, PRESETS, SCOPES, Preset
from podium.storage.database import Database
from slices.principals.tokens import Made, as_token


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


async def test_who_lacks_a_scope_is_told_which_token_can_hold_it(
    api: httpx.AsyncClient, make: Made
) -> None:
    """No token of one project ever holds what reaches beyond it."""
    everywhere = await make("tasks:read")
    bound = await make("tasks:read", project="default", name="bound")
    for token, path, advice in (
        (everywhere, "/status", "Use a token that holds it"),
        (bound, "/status", "one for all projects"),
        (bound, "/agents", "Use a token that holds it"),
    ):
        hint = (await as_token(api, token["token"], path)).json()["hint"]
        assert advice in hint, hint
        assert "Ask whoever administers this installation" in hint


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
    for name in ("theirs", "nowhere"):  # nothing tells which of them exists
        refused = await as_token(api, bound, f"/tasks?project={name}")
        assert refused.status_code == 404
        assert "podium project list" in refused.json()["hint"]
    assert (await as_token(api, bound, "/tasks")).status_code == 200

    child = await make("tasks:read", by=bound)
    assert child["project"] == "ours"
    refused = await make("tasks:read", by=bound, project="theirs")
    assert (refused["status"], "podium project list" in refused["hint"]) == (404, True)
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


def test_presets_name_scopes_that_exist() -> None:
    for scopes in PRESETS.values():
        assert set(scopes) <= set(SCOPES)
    assert set(PRESETS["viewer"]) < set(PRESETS["member"]) < set(PRESETS["operator"])
    assert not any(scope.endswith((":write", ":execute")) for scope in PRESETS["viewer"])
    # Only whoever may register code decides what members run.
    assert not any(scope.startswith("agents:w") for scope in PRESETS["member"])
    assert "agents:execute" not in PRESETS["member"]


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_preset_stands_for_its_scopes(make: Made, preset: Preset) -> None:
    assert (await make(preset=preset))["scopes"] == sorted(PRESETS[preset])
    more = await make("tokens:write", preset=preset)
    assert more["scopes"] == sorted({*PRESETS[preset], "tokens:write"})


async def test_a_preset_for_one_project_leaves_out_what_reaches_beyond(make: Made) -> None:
    token = await make(preset="operator", project="default")
    assert token["scopes"] == sorted(set(PRESETS["operator"]) - GLOBAL_SCOPES)
    problem = await make(preset="admin", project="default")
    assert (problem["status"], problem["errors"][0]["field"]) == (422, "scopes")
    assert "admin has none" in problem["detail"]


async def test_a_token_needs_a_scope_and_a_preset_no_more_than_its_maker_holds(make: Made) -> None:
    assert (await make())["status"] == 422
    keeper = await make("tokens:write", preset="member")
    assert (await make(preset="member", by=keeper["token"]))["status"] == 201
    refused = await make(preset="operator", by=keeper["token"])
    assert refused["status"] == 403
    assert "agents:execute" in refused["missing"]


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
        "select type, project_id from event where subject = $1 order by epoch, xid, id", made["id"]
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


async def test_revoking_a_token_revokes_all_that_came_from_it(
    api: httpx.AsyncClient, make: Made, database: Database
) -> None:
    keeper = await make("tokens:write", "tasks:read", name="keeper")
    child = await make("tokens:write", "tasks:read", by=keeper["token"])
    grandchild = await make("tasks:read", by=child["token"])
    other = await make("tasks:read")
    for each in (child, grandchild):  # now the server remembers them
        assert (await as_token(api, each["token"], "/whoami")).status_code == 200
    assert (await api.delete(f"/tokens/{keeper['id']}")).status_code == 204
    for each in (keeper, child, grandchild):
        assert (await as_token(api, each["token"], "/whoami")).status_code == 401
    assert (await as_token(api, other["token"], "/whoami")).status_code == 200
    told = await database.call("select subject::text from event where type = 'token.revoked'")
    assert {row["subject"] for row in told} == {keeper["id"], child["id"], grandchild["id"]}


async def test_a_token_that_is_being_revoked_makes_no_other(
    api: httpx.AsyncClient, make: Made, database: Database
) -> None:
    keeper = await make("tokens:write", "tasks:read")
    assert (await as_token(api, keeper["token"], "/whoami")).status_code == 200
    await database.call("update token set revoked_at = now() where id = $1", keeper["id"])
    refused = await make("tasks:read", by=keeper["token"])  # it is trusted for a moment
    assert (refused["status"], refused["code"]) == (401, "unauthenticated")


async def test_a_token_without_a_known_maker_stays_valid(
    api: httpx.AsyncClient, make: Made, database: Database
) -> None:
    keeper = await make("tokens:write", "tasks:read")
    child = await make("tasks:read", by=keeper["token"])
    await database.call("update token set granted_by = null where id = $1", child["id"])
    assert (await api.delete(f"/tokens/{keeper['id']}")).status_code == 204
    assert (await as_token(api, child["token"], "/whoami")).status_code == 200


async def test_expired_tokens_are_not_listed(api: httpx.AsyncClient, make: Made) -> None:
    made = await make("tasks:read", expires_in=0.2)
    later = await make("tasks:read", expires_in=3600)
    await asyncio.sleep(0.25)
    listed = [each["id"] for each in (await api.get("/tokens")).json()["items"]]
    assert later["id"] in listed
    assert made["id"] not in listed
