"""Agents, projects, tokens and workers."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Unpack

from podium.client._async.resource import AsyncResource
from podium.client.models import (
    Agent,
    AgentVersion,
    Probe,
    Project,
    Token,
    TokenCreated,
    Worker,
)
from podium.client.wire import Request, segment

if TYPE_CHECKING:
    from podium.client.inputs import AgentEdit, AgentNew, ProjectEdit, ProjectNew, TokenNew


class AsyncAgents(AsyncResource):
    """The agents of one project. ``agent`` is a name or an id."""

    async def create(self, **agent: "Unpack[AgentNew]") -> Agent:
        """Register an agent; ``Conflict`` when the name is taken."""
        request = Request("POST", "agents", self._query(), agent, repeatable=False)
        return await self._transport.call(request, Agent)

    def list(self, *, limit: int | None = None) -> AsyncIterator[Agent]:
        """All agents, by name."""
        return self._pages("agents", Agent, self._query(), limit)

    async def get(self, agent: str) -> Agent:
        """One agent with its health and how many tasks it runs."""
        return await self._get(f"agents/{segment(agent)}", Agent, self._query())

    async def update(self, agent: str, **changes: "Unpack[AgentEdit]") -> Agent:
        """Change an agent. A changed runtime or configuration becomes a new version.

        With the ``version`` that was read it is ``Conflict`` when another one is in force.
        """
        # Sent twice, the second would find the version that the first has made.
        repeatable = changes.get("version") is None
        path = f"agents/{segment(agent)}"
        request = Request("PUT", path, self._query(), changes, repeatable=repeatable)
        return await self._transport.call(request, Agent)

    async def delete(self, agent: str) -> None:
        """Remove an agent."""
        await self._transport.send(Request("DELETE", f"agents/{segment(agent)}", self._query()))

    async def versions(self, agent: str) -> Sequence[AgentVersion]:
        """Every version of the agent's configuration, newest first."""
        path = f"agents/{segment(agent)}/versions"
        return [each async for each in self._pages(path, AgentVersion, self._query(), None)]

    async def probe(self, agent: str) -> Probe:
        """Try whether the agent could start now."""
        request = Request("POST", f"agents/{segment(agent)}/probe", self._query())
        return await self._transport.call(request, Probe)


class AsyncProjects(AsyncResource):
    """Projects: namespaces of everything else, with a share of the workers' time."""

    async def create(self, **project: "Unpack[ProjectNew]") -> Project:
        """Make a project; ``Conflict`` when the name is taken."""
        request = Request("POST", "projects", {}, project, repeatable=False)
        return await self._transport.call(request, Project)

    def list(self, *, limit: int | None = None) -> AsyncIterator[Project]:
        """All projects."""
        return self._pages("projects", Project, {}, limit)

    async def get(self, name: str) -> Project:
        """One project."""
        return await self._get(f"projects/{segment(name)}", Project)

    async def update(self, name: str, **changes: "Unpack[ProjectEdit]") -> Project:
        """Change a project."""
        request = Request("PUT", f"projects/{segment(name)}", {}, changes)
        return await self._transport.call(request, Project)

    async def delete(self, name: str) -> None:
        """Remove an empty project."""
        await self._transport.send(Request("DELETE", f"projects/{segment(name)}"))


class AsyncTokens(AsyncResource):
    """Access tokens."""

    async def create(self, **token: "Unpack[TokenNew]") -> TokenCreated:
        """Make a token. Its text is in ``token`` and is never shown again."""
        request = Request("POST", "tokens", {}, token, repeatable=False)
        return await self._transport.call(request, TokenCreated)

    def list(self, *, limit: int | None = None) -> AsyncIterator[Token]:
        """All tokens, without their texts."""
        return self._pages("tokens", Token, {}, limit)

    async def revoke(self, token_id: str) -> None:
        """End a token now."""
        await self._transport.send(Request("DELETE", f"tokens/{segment(token_id)}"))


class AsyncWorkers(AsyncResource):
    """Worker processes."""

    async def list(self) -> Sequence[Worker]:
        """The workers that the server knows."""
        return await self._items("workers", Worker)
