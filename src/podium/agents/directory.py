"""Which agents a project has, from memory: every submitted task asks."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from podium.agents import store
from podium.agents.model import Listed
from podium.kernel.errors import NotFound
from podium.kernel.shared_reads import SharedReads
from podium.storage.database import Database

_TRUSTED_SECONDS = 2.0
"""For so long another process may miss a change; the claim always sees it."""


@dataclass(slots=True)
class _Known:
    until: float
    agents: dict[str, Listed]
    matching: dict[frozenset[str], frozenset[str]] = field(
        default_factory=dict[frozenset[str], frozenset[str]]
    )

    def runtimes(self, capabilities: frozenset[str]) -> frozenset[str]:
        found = self.matching.get(capabilities)
        if found is None:
            found = frozenset(
                each.runtime for each in self.agents.values() if each.capabilities >= capabilities
            )
            self.matching[capabilities] = found
        return found


class Directory:
    """Agents of each project as they were at most two seconds ago."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[UUID, _Known] = {}
        self._reads = SharedReads(self._read)

    async def demand(
        self, project_id: UUID, agent: str | None, capabilities: Sequence[str]
    ) -> tuple[UUID | None, frozenset[str]]:
        """The named agent's id (None when capabilities were given) and the runtimes that the
        task may come to run on; ``NotFound`` for a name that is not registered."""
        known = await self._of(project_id)
        if agent is None:
            return None, known.runtimes(frozenset(capabilities))
        entry = known.agents.get(agent)
        if entry is None:  # it may have been registered this moment, by another process
            entry = (await self._read(project_id)).agents.get(agent)
        if entry is None:
            raise missing(agent)
        return entry.id, frozenset({entry.runtime})

    async def agents(self, project_id: UUID) -> Collection[Listed]:
        """All agents of the project."""
        return (await self._of(project_id)).agents.values()

    def forget(self, project_id: UUID) -> None:
        self._known.pop(project_id, None)

    async def _of(self, project_id: UUID) -> _Known:
        known = self._known.get(project_id)
        if known is None or known.until < time.monotonic():
            known = await self._reads.get(project_id)
        return known

    async def _read(self, project_id: UUID) -> _Known:
        asked = time.monotonic()
        async with self._database.connect() as conn:
            rows = await store.directory(conn, project_id)
        known = _Known(asked + _TRUSTED_SECONDS, {row.name: row for row in rows})
        self._known[project_id] = known
        return known


def missing(key: object) -> NotFound:
    """The error for an agent that is not registered."""
    return NotFound(
        f"There is no agent {str(key)[:100]!r} in this project.",
        hint="`podium agent list` shows those that are registered.",
        agent=str(key)[:100],
    )
