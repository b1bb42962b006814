"""Tasks of one key stay with one agent."""

from collections import Counter
from uuid import UUID

import httpx
import pytest

from podium.agents import store
from podium.agents.model import Listed
from podium.agents.stickiness import chosen
from podium.kernel.ids import uuid7
from podium.storage.database import Database


def listed(weight: float) -> Listed:
    return Listed(uuid7(), "a", "command", frozenset("x"), usable=True, weight=weight)


def test_many_keys_are_shared_out_by_weight() -> None:
    """Of 40,000 keys each agent has what its weight promises, within 5 %."""
    agents = [listed(weight) for weight in (1, 1, 2, 4)]
    shares = Counter(chosen(f"customer:{n}", agents).id for n in range(40_000))
    for agent in agents:
        assert shares[agent.id] == pytest.approx(40_000 * agent.weight / 8, rel=0.05)


def test_a_key_moves_only_to_who_is_new_or_from_who_is_gone() -> None:
    agents = [listed(1) for _ in range(4)]
    keys = [f"k{n}" for n in range(2000)]
    before = {key: chosen(key, agents).id for key in keys}
    new = listed(1)
    after = {key: chosen(key, [*agents, new]).id for key in keys}
    moved = [key for key in keys if after[key] != before[key]]
    assert 300 < len(moved) < 500
    assert {after[key] for key in moved} == {new.id}


async def register(api: httpx.AsyncClient, name: str) -> str:
    body = {
        "name": name,
        "runtime": "command",
        "config": {"command": ["true"]},
        "capabilities": ["x"],
    }
    answer = await api.post("/agents", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def submit(api: httpx.AsyncClient, *keys: str | None) -> None:
    tasks = [
        {"capabilities": ["x"], "input": 1, **({"sticky": key} if key else {})} for key in keys
    ]
    answer = await api.post("/tasks/bulk", json={"tasks": tasks})
    assert answer.status_code == 201, answer.text


async def preferred(database: Database) -> list[tuple[str | None, UUID | None]]:
    rows = await database.call(
        "select t.spec ->> 'sticky' as key, l.prefers from task t join lane l on l.id = t.lane_id"
        " order by t.id"
    )
    return [(row["key"], row["prefers"]) for row in rows]


async def test_tasks_of_a_key_prefer_one_agent(api: httpx.AsyncClient, database: Database) -> None:
    agents = {UUID(await register(api, name)) for name in "abc"}
    await submit(api, *(f"k{n % 20}" for n in range(100)), None)
    *kept, (key, nobody) = await preferred(database)
    assert (key, nobody) == (None, None)
    by_key = {key: {agent for k, agent in kept if k == key} for key, _ in kept}
    assert all(len(found) == 1 for found in by_key.values())
    assert {agent for found in by_key.values() for agent in found} <= agents
    one = await api.post("/tasks", json={"capabilities": ["x"], "sticky": "k1"})
    assert one.json()["sticky"] == "k1"
    assert (await preferred(database))[-1] == ("k1", *by_key["k1"])
    assert len(await database.call("select from sticky")) == 20


async def test_a_key_stays_where_it_is_and_moves_when_it_must(
    api: httpx.AsyncClient, database: Database
) -> None:
    await register(api, "a")
    await submit(api, *(f"k{n}" for n in range(10)))
    for name in "bcd":
        await register(api, name)
    await submit(api, *(f"k{n}" for n in range(10)))
    found = await preferred(database)
    assert found[:10] == found[10:]  # though others came
    await api.put("/agents/a", json={"enabled": False})
    await submit(api, "k1", "k1")
    first, second = (await preferred(database))[-2:]
    assert first == second
    assert first != found[1]
    await api.put("/agents/a", json={"enabled": True})
    await submit(api, "k1")
    assert (await preferred(database))[-1] == first  # it does not come back


async def test_without_an_agent_that_can_nothing_is_kept(
    api: httpx.AsyncClient, database: Database
) -> None:
    await submit(api, "k1")
    assert await preferred(database) == [("k1", None)]
    assert not await database.call("select from sticky")


async def test_a_task_that_names_its_agent_has_no_key(api: httpx.AsyncClient) -> None:
    await register(api, "a")
    refused = await api.post("/tasks", json={"agent": "a", "sticky": "k"})
    assert refused.status_code == 422
    assert "sticky goes with capabilities" in refused.json()["detail"]


async def test_keys_that_nobody_uses_are_forgotten(
    api: httpx.AsyncClient, database: Database
) -> None:
    await register(api, "a")
    await submit(api, "old", "new")
    await database.call("update sticky set used_at = now() - interval '31 days' where key = 'old'")
    await store.forget_keys(database, 30)
    assert [row["key"] for row in await database.call("select key from sticky")] == ["new"]
    await database.call("update sticky set used_at = now() - interval '2 hours'")
    await submit(api, "new")
    rows = await database.call("select now() - used_at < interval '1 hour' as fresh from sticky")
    assert rows[0]["fresh"]


async def test_it_is_explained(api: httpx.AsyncClient, database: Database) -> None:
    for name in "ab":
        await register(api, name)
    task = (await api.post("/tasks", json={"capabilities": ["x"], "sticky": "k"})).json()
    (_, agent), *_ = await preferred(database)
    rows = await database.call("select name from agent where id = $1", agent)
    name = rows[0]["name"]
    await api.put(f"/agents/{name}", json={"max_concurrency": 1})
    lane = "(select lane_id from task limit 1)"
    await database.call(
        "insert into running (task_id, lane_id, priority, attempt, failures, losses, gated,"
        " worker_id, agent_id, agent_version, isolated, queued_at) select gen_random_uuid(),"
        f" {lane}, 0, 1, 0, 0, false, gen_random_uuid(), $1, 1, true, now()",
        agent,
    )
    explained = (await api.get(f"/tasks/{task['id']}/explain")).json()
    assert [each["detail"] for each in explained["blockers"]] == [
        f"Agent {name} runs 1 of at most 1 tasks."
    ]
