"""Agents, queues, limits, filters, projects, tokens and workers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from podium.client._async.resource import AsyncResource
from podium.client.models import (
    Agent,
    AgentChecked,
    AgentDiff,
    AgentVersion,
    Applied,
    Limit,
    Probe,
    Project,
    Queue,
    SavedFilter,
    Token,
    TokenCreated,
    Worker,
)
from podium.client.wire import Request, segment

if TYPE_CHECKING:
    from podium.client.inputs import (
        AgentEdit,
        AgentNew,
        FilterPut,
        LimitPut,
        ProjectEdit,
        ProjectNew,
        QueueEdit,
        SetPut,
        TokenNew,
    )


class AsyncAgents(AsyncResource):
    """The agents of one project. ``agent`` is a name or an id."""

    async def create(self, **agent: "Unpack[AgentNew]") -> Agent:
        """Register an agent; ``Conflict`` when the name is taken."""
        request = Request("POST", "agents", self._query(), agent, repeatable=False)
        return await self._transport.call(request, Agent)

    def list(
        self,
        *,
        capabilities: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        runtime: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Agent]:
        """Agents by name: all, or those that have these capabilities, labels and this runtime."""
        query = self._query(
            capability=list(capabilities),
            label=[f"{key}:{value}" for key, value in (labels or {}).items()],
            runtime=runtime,
        )
        return self._pages("agents", Agent, query, limit)

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

    async def version(self, agent: str, version: int) -> AgentVersion:
        """One version of the agent's configuration."""
        path = f"agents/{segment(agent)}/versions/{version}"
        return await self._get(path, AgentVersion, self._query())

    async def diff(self, agent: str, old: int | None = None, new: int | None = None) -> AgentDiff:
        """What two versions differ in: unless given, ``new`` is the one in force, and ``old`` the
        one before it."""
        query = self._query(**{"from": old, "to": new})
        return await self._get(f"agents/{segment(agent)}/diff", AgentDiff, query)

    async def rollback(self, agent: str, version: int, *, expected: int | None = None) -> Agent:
        """Put an earlier version in force again, as a new one.

        With ``expected``, the version that was read, it is ``Conflict`` when another is in force.
        """
        body = {"version": version, "expected": expected}
        path = f"agents/{segment(agent)}/rollback"
        # Sent twice, the second would find the version that the first has made.
        request = Request("POST", path, self._query(), body, repeatable=expected is None)
        return await self._transport.call(request, Agent)

    async def check(self, **agent: "Unpack[AgentNew]") -> AgentChecked:
        """What would be in force; refuses what ``create`` refuses, and registers nothing."""
        return await self._transport.call(Request("POST", "agents/check", {}, agent), AgentChecked)

    async def probe(self, agent: str, *, record: str | None = None) -> Probe:
        """Try whether the agent could start now; with ``record="healthy"`` one that could not goes
        on being given tasks."""
        query = self._query(record=record)
        request = Request("POST", f"agents/{segment(agent)}/probe", query)
        return await self._transport.call(request, Probe)


class AsyncQueues(AsyncResource):
    """The queues of one project: those that tasks came to, or that something was set for."""

    def list(self, *, limit: int | None = None) -> AsyncIterator[Queue]:
        """All queues, by name."""
        return self._pages("queues", Queue, self._query(), limit)

    async def get(self, name: str) -> Queue:
        """One queue with its limits, and how many of its tasks are ready and run."""
        return await self._get(f"queues/{segment(name)}", Queue, self._query())

    async def set(self, name: str, **rules: "Unpack[QueueEdit]") -> Queue:
        """Limit, pause, drain or open a queue; what is left out stays, None takes a limit away."""
        request = Request("PUT", f"queues/{segment(name)}", self._query(), rules)
        return await self._transport.call(request, Queue)

    async def reset(self, name: str) -> None:
        """Open the queue and take all its limits away."""
        await self._transport.send(Request("DELETE", f"queues/{segment(name)}", self._query()))


class AsyncLimits(AsyncResource):
    """The limits of one project that tasks name; one whose name ends in ``*`` is a family's."""

    def list(self, *, limit: int | None = None) -> AsyncIterator[Limit]:
        """All limits, by name."""
        return self._pages("limits", Limit, self._query(), limit)

    async def get(self, name: str) -> Limit:
        """One limit, and how many tasks use it and wait for it."""
        return await self._get(f"limits/{segment(name)}", Limit, self._query())

    async def set(self, name: str, **rule: "Unpack[LimitPut]") -> Limit:
        """Set a limit; what is given replaces all that was set."""
        request = Request("PUT", f"limits/{segment(name)}", self._query(), rule)
        return await self._transport.call(request, Limit)

    async def delete(self, name: str) -> None:
        """Delete a limit; tasks that wait for it may go on."""
        await self._transport.send(Request("DELETE", f"limits/{segment(name)}", self._query()))


class AsyncFilters(AsyncResource):
    """Filters of tasks, kept under a name."""

    def list(self, *, limit: int | None = None) -> AsyncIterator[SavedFilter]:
        """The saved filters of the project."""
        return self._pages("filters", SavedFilter, self._query(), limit)

    async def get(self, name: str) -> SavedFilter:
        """One filter."""
        return await self._get(f"filters/{segment(name)}", SavedFilter, self._query())

    async def save(self, name: str, **saved: "Unpack[FilterPut]") -> SavedFilter:
        """Save a filter in place of the one that had the name."""
        request = Request("PUT", f"filters/{segment(name)}", self._query(), saved)
        return await self._transport.call(request, SavedFilter)

    async def delete(self, name: str) -> None:
        """Delete a filter."""
        await self._transport.send(Request("DELETE", f"filters/{segment(name)}", self._query()))


class AsyncAppliedThings(AsyncResource):
    """What came from files, in all projects, and by which set of them."""

    def list(
        self, *, set_name: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Applied]:
        """The records of one set or of all."""
        return self._pages("applied", Applied, {"set": set_name}, limit)

    async def record(self, set_name: str, **change: "Unpack[SetPut]") -> None:
        """Let things belong to a set, and others no more."""
        await self._transport.send(Request("PUT", f"applied/{segment(set_name)}", {}, change))


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
