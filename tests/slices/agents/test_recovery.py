"""Agents that a probe found unhealthy are probed again by themselves."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from socket import gethostname
from typing import Any
from uuid import UUID

import httpx
import pytest

from podium.agents import recovery
from podium.agents.runtime import Health
from podium.agents.runtimes.command import CommandRuntime
from podium.storage.database import Database


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "SECONDS", 0.2)


async def register(api: httpx.AsyncClient, name: str, program: Path) -> str:
    body = {"name": name, "runtime": "command", "config": {"command": [str(program)]}}
    answer = await api.post("/agents", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.mark.usefixtures("quickly")
async def test_an_agent_is_healthy_again_once_its_program_is_there(
    api: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    tool = tmp_path / "tool"
    names = ("late", "never", "disabled")
    ids = {
        name: await register(api, name, tool if name != "never" else tool / "x") for name in names
    }
    for name in ids:
        assert (await api.post(f"/agents/{name}/probe")).json()["ok"] is False
    await api.put("/agents/disabled", json={"enabled": False})
    await asyncio.sleep(0.5)
    assert (await api.get("/agents/late")).json()["healthy"] is False
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    async with asyncio.timeout(10):
        while not (await api.get("/agents/late")).json()["healthy"]:
            await asyncio.sleep(0.05)
    for name in ("never", "disabled"):
        assert (await api.get(f"/agents/{name}")).json()["healthy"] is False
    rows = await database.call(
        "select actor, data from event where type = 'agent.health' and subject = $1"
        " order by epoch, xid, id",
        UUID(ids["late"]),
    )
    assert [row["actor"] for row in rows] == ["admin:local", "system"]


@pytest.mark.usefixtures("quickly")
async def test_an_agent_that_cannot_be_probed_does_not_keep_the_others(
    api: httpx.AsyncClient, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, odd = tmp_path / "tool", tmp_path / "odd"
    ids = {name: await register(api, name, path) for name, path in (("odd", odd), ("late", tool))}
    probe = CommandRuntime.probe

    async def probe_all_but_one(self: CommandRuntime, config: Mapping[str, Any]) -> Health:
        if config["command"] == [str(odd)]:
            raise RuntimeError("not this one")
        return await probe(self, config)

    await database.call(
        "update agent set healthy = false, health_checked_at = case name when 'late' then now() end"
        " where id = any ($1)",
        [UUID(each) for each in ids.values()],
    )
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setattr(CommandRuntime, "probe", probe_all_but_one)
    monkeypatch.setattr(recovery, "_MOST", 1)
    async with asyncio.timeout(10):
        while not (await api.get("/agents/late")).json()["healthy"]:
            await asyncio.sleep(0.05)
    found = (await api.get("/agents/odd")).json()
    assert found["healthy"] is False
    assert "RuntimeError: not this one" in found["health_detail"]


@pytest.mark.usefixtures("quickly")
async def test_a_healthy_agent_is_probed_now_and_then_where_it_was_found_so(
    api: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    ids = {name: await register(api, name, tool) for name in ("here", "recent", "away", "untried")}
    for name in ("here", "recent", "away"):
        assert (await api.post(f"/agents/{name}/probe")).json()["ok"] is True
    assert (await api.get("/agents/here")).json()["health_host"] == gethostname()
    tool.unlink()
    await database.call("update agent set health_host = 'elsewhere' where name = 'away'")
    await database.call(
        "update agent set health_checked_at = now() - interval '11 minutes'"
        " where name in ('here', 'away')"
    )
    async with asyncio.timeout(10):
        while (await api.get("/agents/here")).json()["healthy"]:
            await asyncio.sleep(0.05)
    for name in ("recent", "away", "untried"):
        assert (await api.get(f"/agents/{name}")).json()["healthy"] is True
    rows = await database.call(
        "select actor from event where type = 'agent.health' and subject = any ($1)",
        [UUID(each) for each in ids.values()],
    )
    assert [row["actor"] for row in rows] == ["system"]
