"""Keeps tasks of one key with one agent, as long as that agent can take them."""

import asyncio
import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from podium.agents import store
from podium.agents.directory import Directory
from podium.agents.model import Listed
from podium.storage.database import Database

_TURN = 20
Wish = tuple[str, frozenset[str]]
"""A key, and the capabilities that its agent must have."""


class Stickiness:
    """Knows which agent each key of a project belongs to, and finds one for new keys."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database = database
        self._directory = directory

    async def agents(self, project_id: UUID, wishes: Sequence[Wish]) -> Mapping[Wish, UUID]:
        """The agent of each wish; none where no agent has the capabilities yet.

        A key stays with its agent until that is disabled, not healthy, or has the capabilities no
        more; then it goes to another one that can take its tasks, and stays there.
        """
        everybody = await self._directory.agents(project_id)
        able = {
            capabilities: _able(everybody, capabilities)
            for capabilities in {capabilities for _, capabilities in wishes}
        }
        async with self._database.connect() as conn:
            bound = await store.stuck_to(conn, project_id, sorted({key for key, _ in wishes}))
        found: dict[Wish, UUID] = {}
        made: dict[str, UUID] = {}
        for place, wish in enumerate(wishes):
            key, capabilities = wish
            agents = able[capabilities]
            if not agents:
                continue
            known = bound.get(key)
            keeps = known is not None and known[0] in agents
            found[wish] = known[0] if known and keeps else chosen(key, agents.values()).id
            if not (known and keeps and known[1]):
                made[key] = found[wish]
            if place % _TURN == 0:
                await asyncio.sleep(0)  # let other requests have their turn
        if made:
            async with self._database.transaction() as conn:
                await store.stick(conn, project_id, made)
        return found


def _able(agents: Collection[Listed], capabilities: frozenset[str]) -> Mapping[UUID, Listed]:
    """By id those that can take tasks now; if there is none, those that could."""
    able = [each for each in agents if each.capabilities >= capabilities]
    return {each.id: each for each in [each for each in able if each.usable] or able}


def chosen(key: str, agents: Collection[Listed]) -> Listed:
    """One of the agents, always the same for a key while they are the same; of many keys each is
    given a part as large as its weight. (Weighted rendezvous hashing.)"""
    return max(agents, key=lambda each: -each.weight / math.log(_drawn(key, each.id)))


def _drawn(key: str, agent_id: UUID) -> float:
    """A number between 0 and 1, neither included."""
    digest = hashlib.blake2b(key.encode(), digest_size=8, key=agent_id.bytes).digest()
    return (int.from_bytes(digest) + 1) / (2**64 + 2)
