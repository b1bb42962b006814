"""Probes agents again that a probe found unhealthy: what they lacked may be there by now."""

import asyncio

from podium.agents.model import Agent
from podium.agents.service import AgentService
from podium.scheduler.service import Scheduler
from podium.storage.database import Database

SECONDS = 60.0
_ACTOR = "system"
_MOST = 20
_AT_ONCE = 4


async def probe_unhealthy(database: Database, agents: AgentService, scheduler: Scheduler) -> None:
    """Probe those that were not probed for longest, and wake workers for those that are healthy
    again. The probes run on this process's machine."""
    async with database.connect() as conn:
        found = await agents.unhealthy(conn, _MOST)
    places = asyncio.Semaphore(_AT_ONCE)

    async def probe(agent: Agent) -> None:
        async with places:
            health = await agents.probe(agent)
        async with database.transaction() as conn:
            await agents.record(conn, _ACTOR, agent, health)
            if health.ok:
                scheduler.feed_after(conn)

    async with asyncio.TaskGroup() as probes:
        for agent in found:
            probes.create_task(probe(agent))
