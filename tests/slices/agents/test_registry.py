"""The registry: versions, health, who may register what, and how tasks find agents."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents import directory as directory_module
from podium.agents import service as service_module
from podium.agents import store
from podium.agents.model import Listed
from podium.agents.runtime import AgentSpec, RuntimeSet
from podium.agents.service import AgentService
from podium.kernel.errors import NotFound
from podium.kernel.ids import uuid7
from podium.kernel.web import page_cursor
from podium.projects.service import ProjectService
from podium.storage.database import Database

BODY = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}


async def register(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/agents", json={**BODY, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def token(api: httpx.AsyncClient, *scopes: str) -> dict[str, str]:
    """The headers of somebody who may do no more than this."""
    made = await api.post("/tokens", json={"name": "t", "scopes": list(scopes)})
    return {"Authorization": f"Bearer {made.json()['token']}"}


@pytest.fixture
def agents(app: FastAPI) -> AgentService:
    return app.state.services[AgentService]


@pytest.fixture
async def default(app: FastAPI, api: httpx.AsyncClient) -> UUID:
    projects: ProjectService = app.state.services[ProjectService]
    return (await projects.resolve("default")).id


async def test_an_agent_is_registered_with_its_runtimes_defaults(api: httpx.AsyncClient) -> None:
    made = await register(
        api,
        description="Reviews.",
        capabilities=["review", "python", "review"],
        labels={"team": "x"},
        max_concurrency=3,
    )
    assert made["version"] == 1
    assert made["capabilities"] == ["python", "review"]
    assert made["config"]["command"] == ["true"]
    assert len(made["config"]) > 1
    assert (made["enabled"], made["healthy"], made["running"]) == (True, True, 0)
    assert (made["project"], made["labels"], made["max_concurrency"]) == (
        "default",
        {"team": "x"},
        3,
    )
    for key in ("a", made["id"]):
        assert (await api.get(f"/agents/{key}")).json() == made
    assert (await api.get("/agents")).json()["items"] == [made]


async def test_only_another_runtime_or_config_is_a_new_version(api: httpx.AsyncClient) -> None:
    made = await register(api)
    same = await api.put(
        "/agents/a", json={"description": "x", "max_concurrency": 2, "weight": 2.5}
    )
    assert (same.json()["version"], same.json()["description"]) == (1, "x")
    again = await api.put("/agents/a", json={"config": {"command": ["true"]}, "runtime": "command"})
    assert again.json() == same.json()
    changed = (await api.put("/agents/a", json={"config": {"command": ["false"]}})).json()
    assert changed["version"] == 2
    assert changed["max_concurrency"] == 2
    assert changed["weight"] == 2.5
    assert changed["updated_at"] > made["updated_at"]
    versions = (await api.get("/agents/a/versions")).json()["items"]
    assert [(each["version"], each["config"]["command"]) for each in versions] == [
        (2, ["false"]),
        (1, ["true"]),
    ]
    assert versions[0]["created_by"] == "admin:local"


async def test_a_change_of_something_else_than_was_read_is_refused(
    api: httpx.AsyncClient,
) -> None:
    await register(api)
    await api.put("/agents/a", json={"config": {"command": ["false"]}, "version": 1})
    late = await api.put("/agents/a", json={"config": {"command": ["cat"]}, "version": 1})
    assert (late.status_code, late.json()["version"]) == (409, 2)
    assert late.json()["code"] == "conflict"


async def test_changes_at_the_same_time_make_one_version_each(api: httpx.AsyncClient) -> None:
    await register(api)
    answers = await asyncio.gather(
        *(
            api.put("/agents/a", json={"config": {"command": ["echo", str(number)]}})
            for number in range(6)
        )
    )
    assert sorted(answer.json()["version"] for answer in answers) == [2, 3, 4, 5, 6, 7]


async def test_a_name_is_taken_once_per_project(api: httpx.AsyncClient) -> None:
    await register(api)
    assert (await api.post("/agents", json=BODY)).status_code == 409
    await api.post("/projects", json={"name": "other"})
    answer = await api.post("/agents", json=BODY, params={"project": "other"})
    assert answer.status_code == 201
    made = answer.json()
    assert (await api.get(f"/agents/{made['id']}")).status_code == 404
    found = await api.get(f"/agents/{made['id']}", params={"project": "other"})
    assert found.json()["project"] == "other"


async def test_a_deleted_agent_is_gone_and_its_name_is_free(
    api: httpx.AsyncClient, agents: AgentService
) -> None:
    first = await register(api)
    task = (await api.post("/tasks", json={"agent": "a"})).json()
    assert (await api.delete("/agents/a")).status_code == 204
    assert (await api.get("/agents/a")).status_code == 404
    assert (await api.delete("/agents/a")).status_code == 404
    assert (await api.post("/tasks", json={"agent": "a"})).status_code == 404
    assert (await api.get(f"/tasks/{task['id']}")).json()["state"] == "queued"
    assert (await agents.spec(UUID(first["id"]), 1)).name == "a"
    assert (await register(api))["id"] != first["id"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "01a1fbe3-26d2-7fdc-85e3-f90f671b0784"}, "name"),
        ({"runtime": "spaceship"}, "runtime"),
        ({"config": {}}, "config.command"),
        ({"config": {"command": ["true"], "surprise": 1}}, "config.surprise"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"weight": 0}, "weight"),
        ({"max_concurrency": 2**40}, "max_concurrency"),
        ({"capabilities": ["a b"]}, "capabilities.0"),
        ({"labels": {"a b": "x"}}, "labels.a b.[key]"),
        ({"enabled": None}, "enabled"),
    ],
)
async def test_a_wrong_definition_is_refused(
    api: httpx.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    answer = await api.post("/agents", json={**BODY, **fields})
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "invalid_input")
    assert [each["field"] for each in told["errors"]] == [field]


async def test_registering_code_is_a_power_of_its_own(api: httpx.AsyncClient) -> None:
    await register(api)
    writer = await token(api, "agents:read", "agents:write")
    refused = await api.post("/agents", json={**BODY, "name": "b"}, headers=writer)
    assert (refused.status_code, refused.json()["missing"]) == (403, ["agents:execute"])
    changed = {"config": {"command": ["sh", "-c", "evil"]}}
    assert (await api.put("/agents/a", json=changed, headers=writer)).status_code == 403
    assert (await api.get("/agents/a")).json()["version"] == 1
    executor = await token(api, "agents:write", "agents:execute")
    assert (await api.put("/agents/a", json=changed, headers=executor)).status_code == 200
    reader = await token(api, "agents:read")
    assert (await api.delete("/agents/a", headers=reader)).status_code == 403
    assert (await api.get("/agents/a", headers=reader)).status_code == 200


async def test_a_probe_finds_out_and_is_remembered(
    api: httpx.AsyncClient, database: Database
) -> None:
    made = await register(api, config={"command": ["no-such-program-anywhere"]})
    probed = (await api.post("/agents/a/probe", params={"record": "healthy"})).json()
    assert probed["ok"] is False
    assert "no-such-program-anywhere" in probed["detail"]
    untold = (await api.get("/agents/a")).json()
    assert (untold["healthy"], untold["health_checked_at"]) == (True, None)
    for _ in range(2):
        assert (await api.post("/agents/a/probe")).json() == probed
    agent = (await api.get("/agents/a")).json()
    assert (agent["healthy"], agent["health_detail"]) == (False, probed["detail"])
    assert made["health_checked_at"] is None
    assert agent["health_checked_at"] > made["created_at"]
    renewed = (await api.put("/agents/a", json={"config": {"command": ["true"]}})).json()
    assert (renewed["healthy"], renewed["health_detail"]) == (True, None)
    assert renewed["health_checked_at"] is None
    assert (await api.post("/agents/a/probe", params={"record": "healthy"})).json()["ok"]
    assert (await api.get("/agents/a")).json()["health_checked_at"]
    rows = await database.call(
        "select type, data from event where subject = $1 order by epoch, xid, id", UUID(made["id"])
    )
    assert [row["type"] for row in rows] == ["agent.registered", "agent.health", "agent.updated"]


async def test_a_probe_that_hangs_or_has_no_runtime_is_told(
    app: FastAPI, api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging:
        async def probe(self, _config: Any) -> None:
            await asyncio.sleep(60)

    agent_id = (await register(api))["id"]
    agents: AgentService = app.state.services[AgentService]
    async with database.connect() as conn:
        [project] = await database.call("select id from project")
        agent = await agents.get(conn, project["id"], agent_id)
    monkeypatch.setattr(service_module, "_PROBE_SECONDS", 0.05)
    hanging: Any = {"command": Hanging()}
    health = await AgentService(database, RuntimeSet(hanging)).probe(agent)
    assert not health.ok
    assert "took longer" in health.detail
    assert not (await AgentService(database, RuntimeSet({})).probe(agent)).ok


async def test_a_probe_of_a_version_that_was_replaced_meanwhile_is_not_recorded(
    app: FastAPI, api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(api)
    agents: AgentService = app.state.services[AgentService]
    probe = agents.probe

    async def meanwhile(agent: Any) -> Any:
        found = await probe(agent)
        await api.put("/agents/a", json={"config": {"command": ["cat"]}})
        return service_module.Health(ok=False, detail="old: " + found.detail)

    monkeypatch.setattr(agents, "probe", meanwhile)
    assert (await api.post("/agents/a/probe")).json()["ok"] is False
    assert (await api.get("/agents/a")).json()["healthy"] is True


async def test_versions_are_remembered_for_ever(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await register(api)
    agents = AgentService(database, RuntimeSet({}))
    spec = await agents.spec(UUID(made["id"]), 1)
    assert spec == AgentSpec("a", 1, "command", made["config"])
    await database.call("delete from agent_version")
    assert await agents.spec(UUID(made["id"]), 1) is spec
    with pytest.raises(NotFound):
        await agents.spec(UUID(made["id"]), 2)
    monkeypatch.setattr(service_module, "_SPECS", 1)
    other = await register(api, name="b")
    await agents.spec(UUID(other["id"]), 1)
    assert list(agents._specs) == [(UUID(other["id"]), 1)]


async def test_tasks_find_agents_by_name_and_capability(
    api: httpx.AsyncClient, agents: AgentService, default: UUID
) -> None:
    made = await register(api, capabilities=["x", "y"])
    assert await agents.demand(default, "a", ()) == (UUID(made["id"]), frozenset({"command"}))
    assert await agents.demand(default, None, ("y",)) == (None, frozenset({"command"}))
    assert await agents.demand(default, None, ("y", "z")) == (None, frozenset())
    with pytest.raises(NotFound):
        await agents.demand(default, "b", ())
    with pytest.raises(NotFound):
        await agents.demand(uuid7(), "a", ())
    await api.put("/agents/a", json={"capabilities": ["z"]})
    assert await agents.demand(default, None, ("y",)) == (None, frozenset())


async def test_another_process_finds_a_new_agent_at_once_and_forgets_an_old_one_soon(
    api: httpx.AsyncClient, database: Database, default: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "_TRUSTED_SECONDS", 0.2)
    elsewhere = AgentService(database, RuntimeSet({}))
    with pytest.raises(NotFound):
        await elsewhere.demand(default, "a", ())
    await register(api)
    await elsewhere.demand(default, "a", ())
    await api.delete("/agents/a")
    await asyncio.sleep(0.25)
    with pytest.raises(NotFound):
        await elsewhere.demand(default, "a", ())


async def test_tasks_that_come_at_once_read_the_agents_once(
    api: httpx.AsyncClient, database: Database, default: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await register(api)
    reads = 0

    async def counted(conn: AsyncConnection, project_id: UUID) -> list[Listed]:
        nonlocal reads
        reads += 1
        return await store.directory(conn, project_id)

    monkeypatch.setattr(directory_module, "store", SimpleNamespace(directory=counted))
    elsewhere = AgentService(database, RuntimeSet({}))
    found = await asyncio.gather(*(elsewhere.demand(default, "a", ()) for _ in range(20)))
    assert {agent_id for agent_id, _ in found} == {UUID(made["id"])}
    assert reads == 1


async def test_attempts_that_begin_at_once_look_their_agent_up_once(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And record once how it runs: else hundreds of them would wait for one row in turn."""
    key = (UUID((await register(api))["id"]), 1)
    reads, writes = [], []

    async def spec(*args: Any) -> AgentSpec | None:
        reads.append(args)
        return await store.spec(*args)

    async def set_isolated(*args: Any, **named: Any) -> None:
        writes.append(named)
        await store.set_isolated(*args, **named)

    counted = SimpleNamespace(spec=spec, set_isolated=set_isolated)
    monkeypatch.setattr(service_module, "store", counted)
    worker = AgentService(database, RuntimeSet({}))
    await asyncio.gather(*(worker.spec(*key) for _ in range(20)))
    for found in (False, True):
        await asyncio.gather(*(worker.found_isolated(*key, isolated=found) for _ in range(20)))
        rows = await database.call("select isolated from agent where id = $1", key[0])
        assert rows[0]["isolated"] is found
    assert (len(reads), len(writes)) == (1, 2)


async def test_lists_have_pages(api: httpx.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        await register(api, name=name)
    page = (await api.get("/agents", params={"limit": 2})).json()
    assert [each["name"] for each in page["items"]] == ["a", "b"]
    query = {"limit": 2, "cursor": page["next"]}
    rest = (await api.get("/agents", params=query)).json()
    assert ([each["name"] for each in rest["items"]], rest["next"]) == (["c"], None)
    for number in range(3):
        await api.put("/agents/a", json={"config": {"command": ["echo", str(number)]}})
    page = (await api.get("/agents/a/versions", params={"limit": 3})).json()
    query = {"limit": 3, "cursor": page["next"]}
    rest = (await api.get("/agents/a/versions", params=query)).json()
    assert [each["version"] for each in page["items"] + rest["items"]] == [4, 3, 2, 1]


@pytest.mark.parametrize("key", [99999999999999999, 1e300, -1, 0, 2**31, True, "1", None, [1]])
async def test_cursors_of_versions_are_checked(api: httpx.AsyncClient, key: Any) -> None:
    await register(api)
    answer = await api.get("/agents/a/versions", params={"cursor": page_cursor(key)})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


async def test_an_agent_that_is_code_is_in_the_hands_of_who_may_run_code(
    api: httpx.AsyncClient,
) -> None:
    await register(api)
    writer = await token(api, "agents:read", "agents:write")
    refused = [
        await api.put("/agents/a", json={"capabilities": ["mine"]}, headers=writer),
        await api.put("/agents/a", json={"enabled": False}, headers=writer),
        await api.post("/agents/a/probe", headers=writer),
        await api.delete("/agents/a", headers=writer),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["missing"]) == (403, ["agents:execute"])
    executor = await token(api, "agents:write", "agents:execute")
    assert (await api.post("/agents/a/probe", headers=executor)).json()["ok"]
    assert (await api.delete("/agents/a", headers=executor)).status_code == 204


async def test_a_deleted_agent_has_no_turn(api: httpx.AsyncClient, database: Database) -> None:
    made = await register(api)
    await database.call(
        "insert into turn select project_id, 'q', id, 1 from agent where id = $1", UUID(made["id"])
    )
    assert (await api.delete("/agents/a")).status_code == 204
    assert not await database.call("select from turn")
