"""Versions of agents: read one, compare two, put an earlier one in force again."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from podium.agents.difference import differences
from podium.agents.model import AgentVersion, Difference
from podium.storage.database import Database

FIRST = {"command": ["true"], "env": {"KEY": "CANARY-1", "OLD": "CANARY-2"}}
SECOND = {"command": ["false"], "prompt": "stdin", "env": {"KEY": "CANARY-3", "NEW": "CANARY-4"}}


@pytest.fixture
async def agent_id(api: httpx.AsyncClient) -> UUID:
    """Of the agent ``a``, which has two versions."""
    body = {"name": "a", "runtime": "command", "config": FIRST}
    made = await api.post("/agents", json={**body, "capabilities": ["x"]})
    assert made.status_code == 201, made.text
    await api.put("/agents/a", json={"config": SECOND, "capabilities": ["y"]})
    return UUID(made.json()["id"])


async def headers(api: httpx.AsyncClient, *scopes: str) -> dict[str, str]:
    made = await api.post("/tokens", json={"name": "t", "scopes": list(scopes)})
    return {"Authorization": f"Bearer {made.json()['token']}"}


def places(diff: Any) -> list[tuple[Any, ...]]:
    return [
        (each["change"], each["pointer"], each["before"], each["after"])
        for each in diff["differences"]
    ]


@pytest.mark.usefixtures("agent_id")
async def test_one_version_is_read(api: httpx.AsyncClient) -> None:
    first = (await api.get("/agents/a/versions/1")).json()
    assert (first["version"], first["config"]["command"]) == (1, ["true"])
    listed = (await api.get("/agents/a/versions")).json()["items"]
    assert listed[1] == first
    missing = await api.get("/agents/a/versions/3")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert "no version 3" in missing.json()["detail"]
    for wrong in ("0", "x", str(2**31)):
        assert (await api.get(f"/agents/a/versions/{wrong}")).status_code == 422
    assert (await api.get("/agents/b/versions/1")).status_code == 404


async def test_true_is_another_value_than_1(api: httpx.AsyncClient) -> None:
    form: dict[str, Any] = {"flag": 1}
    config = {"command": ["cat"], "session": {"input": form}}
    await api.post("/agents", json={"name": "b", "runtime": "command", "config": config})
    form["flag"] = True
    edited = await api.put("/agents/b", json={"config": config})
    assert edited.json()["version"] == 2
    diff = (await api.get("/agents/b/diff")).json()
    assert [each["pointer"] for each in diff["differences"]] == ["/config/session/input/flag"]
    assert (await api.put("/agents/b", json={"config": config})).json()["version"] == 2


@pytest.mark.usefixtures("agent_id")
async def test_two_versions_are_compared(api: httpx.AsyncClient) -> None:
    diff = (await api.get("/agents/a/diff")).json()
    assert (diff["old"], diff["new"]) == (1, 2)
    assert places(diff) == [
        ("changed", "/config/command", ["true"], ["false"]),
        ("changed", "/config/env/KEY", "CANARY-1", "CANARY-3"),
        ("added", "/config/env/NEW", None, "CANARY-4"),
        ("removed", "/config/env/OLD", "CANARY-2", None),
        ("changed", "/config/prompt", "none", "stdin"),
    ]
    back = (await api.get("/agents/a/diff", params={"from": 2, "to": 1})).json()
    assert ("changed", "/config/command", ["false"], ["true"]) in places(back)
    same = (await api.get("/agents/a/diff", params={"from": 2})).json()
    assert (same["old"], same["new"], same["differences"]) == (2, 2, [])
    assert (await api.get("/agents/a/diff", params={"to": 1})).json()["old"] == 1
    assert (await api.get("/agents/a/diff", params={"from": 9})).status_code == 404


@pytest.mark.usefixtures("agent_id")
async def test_that_a_secret_is_another_one_shows_and_what_it_is_does_not(
    api: httpx.AsyncClient,
) -> None:
    await api.put("/agents/a", json={"config": {**SECOND, "env_allow": ["PATH"]}})
    reader = await headers(api, "agents:read")
    shown = await api.get("/agents/a/diff", params={"from": 1}, headers=reader)
    assert "CANARY" not in shown.text
    assert places(shown.json())[1:4] == [
        ("changed", "/config/env/KEY", "***", "***"),
        ("added", "/config/env/NEW", None, "***"),
        ("removed", "/config/env/OLD", "***", None),
    ]
    assert places(shown.json())[4][3] == ["PATH"]
    assert "CANARY" not in (await api.get("/agents/a/versions/1", headers=reader)).text


def test_pointers_tell_the_way_into_what_two_versions_hold() -> None:
    def version(config: dict[str, Any]) -> AgentVersion:
        return AgentVersion(1, "command", config, datetime.now(UTC), "who")

    old = version({"a/b": {"~": 1}, "same": {"x": [1]}, "list": [1, {"b": 1}], "null": None})
    new = version({"a/b": {"~": 2}, "same": {"x": [1]}, "list": [1, {"b": 2}]})
    assert differences(old, new) == [
        Difference("/config/a~1b/~0", "changed", 1, 2),
        Difference("/config/list", "changed", [1, {"b": 1}], [1, {"b": 2}]),
        Difference("/config/null", "removed", None, None),
    ]
    assert differences(old, old) == []


async def test_a_rollback_is_a_new_version_of_the_old_kind(
    api: httpx.AsyncClient, agent_id: UUID, database: Database
) -> None:
    first = (await api.get("/agents/a/versions/1")).json()
    back = await api.post("/agents/a/rollback", json={"version": 1})
    assert back.status_code == 200, back.text
    assert (back.json()["version"], back.json()["config"]) == (3, first["config"])
    assert back.json()["capabilities"] == ["y"]
    again = await api.post("/agents/a/rollback", json={"version": 1})
    assert again.json()["version"] == 3
    versions = (await api.get("/agents/a/versions")).json()["items"]
    assert [each["version"] for each in versions] == [3, 2, 1]
    rows = await database.call(
        "select data from event where subject = $1 and type = 'agent.updated'"
        " order by epoch, xid, id",
        agent_id,
    )
    assert [row["data"].get("restored") for row in rows] == [None, 1]
    assert rows[1]["data"] == {"name": "a", "version": 3, "fields": ["config"], "restored": 1}


@pytest.mark.usefixtures("agent_id")
async def test_a_rollback_is_refused_where_a_change_would_be(api: httpx.AsyncClient) -> None:
    late = await api.post("/agents/a/rollback", json={"version": 1, "expected": 1})
    assert (late.status_code, late.json()["version"]) == (409, 2)
    missing = await api.post("/agents/a/rollback", json={"version": 7})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    writer = await headers(api, "agents:read", "agents:write")
    refused = await api.post("/agents/a/rollback", json={"version": 1}, headers=writer)
    assert (refused.status_code, refused.json()["missing"]) == (403, ["agents:execute"])
    for wrong in ({}, {"version": 0}, {"version": 1, "surprise": 2}):
        assert (await api.post("/agents/a/rollback", json=wrong)).status_code == 422
    assert (await api.get("/agents/a")).json()["version"] == 2


async def test_who_may_not_lift_a_guard_cannot_do_so_by_a_rollback(api: httpx.AsyncClient) -> None:
    config = {"command": ["true"], "confinement": "none"}
    await api.post("/agents", json={"name": "a", "runtime": "command", "config": config})
    await api.put("/agents/a", json={"config": {"command": ["true"]}})
    executor = await headers(api, "agents:read", "agents:write", "agents:execute")
    refused = await api.post("/agents/a/rollback", json={"version": 1}, headers=executor)
    assert (refused.status_code, refused.json()["code"]) == (403, "needs_admin")
    back = await api.post("/agents/a/rollback", json={"version": 1})
    assert back.json()["config"]["confinement"] == "none"


async def test_agents_are_listed_by_what_they_have(api: httpx.AsyncClient) -> None:
    for name, capabilities, labels in (
        ("a", ["x", "y"], {"team": "core", "env": "prod"}),
        ("b", ["x"], {"team": "core"}),
        ("c", [], {"team": "web"}),
    ):
        body = {"name": name, "runtime": "command", "config": {"command": ["true"]}}
        made = await api.post(
            "/agents", json={**body, "capabilities": capabilities, "labels": labels}
        )
        assert made.status_code == 201, made.text

    async def names(**wanted: Any) -> list[str]:
        return [each["name"] for each in (await api.get("/agents", params=wanted)).json()["items"]]

    assert await names(capability="x") == ["a", "b"]
    assert await names(capability=["x", "y"]) == ["a"]
    assert await names(label="team:core") == ["a", "b"]
    assert await names(label=["team:core", "env:prod"]) == ["a"]
    assert await names(label="team:core", capability="y", runtime="command") == ["a"]
    assert await names(runtime="function") == []
    assert await names(label="team:") == []
    page = (await api.get("/agents", params={"capability": "x", "limit": 1})).json()
    assert [each["name"] for each in page["items"]] == ["a"]
    assert await names(capability="x", limit=1, cursor=page["next"]) == ["b"]
    for wrong in ("team", ["team:a", "team:b"]):
        answer = await api.get("/agents", params={"label": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "label")
