"""Probes agents again: what an unhealthy one lacked may be there by now, and what a healthy one
needs may be gone.

Those that nobody ever probed are left alone, and so are those that were found healthy on another
machine: their programs may be on the workers' machines only, and a probe here would say otherwise.
"""

import asyncio

import structlog

from podium.agents.model import Agent
from podium.agents.runtime import Health
from podium.agents.service import AgentService
from podium.scheduler.service import Scheduler
from podium.storage.database import Database

_log = structlog.get_logger(__name__)

SECONDS = 60.0
HEALTHY_SECONDS = 600.0
_ACTOR = "system"
_MOST = 20
_AT_ONCE = 4


async def probe_again(database: Database, agents: AgentService, scheduler: Scheduler) -> None:
    """Probe those that were not probed for longest, on this process's machine, and wake workers
    where one's health changed: its tasks can run again, or leave what they held to others."""
    async with database.connect() as conn:
        found = [
            *await agents.unhealthy(conn, _MOST),
            *await agents.due(conn, HEALTHY_SECONDS, _MOST),
        ]
    places = asyncio.Semaphore(_AT_ONCE)

    async def probe(agent: Agent) -> None:
        async with places:
            health = await _probed(agents, agent)
        async with database.transaction() as conn:
            await agents.record(conn, _ACTOR, agent, health)
            if health.ok != agent.healthy:
                scheduler.feed_after(conn)

    async with asyncio.TaskGroup() as probes:
        for agent in found:
            probes.create_task(probe(agent))


async def _probed(agents: AgentService, agent: Agent) -> Health:
    """What the probe found. Its own failure is recorded as well: the others are probed all the
    same, and this agent is not the next one for ever."""
    try:
        return await agents.probe(agent)
    except Exception as error:  # noqa: BLE001 - a runtime's fault with this one agent
        _log.exception("agent.probe_failed", agent_id=str(agent.id))
        return Health(ok=False, detail=f"The probe failed: {type(error).__name__}: {error}")
