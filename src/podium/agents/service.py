"""The registry of agents: register, change, probe, look up."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from socket import gethostname
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents import store
from podium.agents.directory import Directory, missing
from podium.agents.model import CODE_RUNTIMES, Agent, AgentFilter, AgentVersion, Definition
from podium.agents.runtime import AgentSpec, Health, RuntimeSet
from podium.agents.stickiness import Stickiness, Wish
from podium.events import store as events
from podium.events.model import NewEvent
from podium.kernel.errors import Conflict, InvalidInput, NotFound, within
from podium.kernel.ids import uuid7
from podium.kernel.json_text import same_json
from podium.kernel.shared_reads import SharedReads
from podium.principals.model import Principal
from podium.projects import service as projects
from podium.scheduler import store as scheduling
from podium.scheduler.model import TALKS
from podium.storage.database import Database, after_commit

_PROBE_SECONDS = 15.0
_SPECS = 4096


class AgentService:
    """Agents of projects. A version never changes, so its lookup is remembered for ever."""

    def __init__(self, database: Database, runtimes: RuntimeSet) -> None:
        self._database = database
        self._runtimes = runtimes
        self._directory = Directory(database)
        self._stickiness = Stickiness(database, self._directory)
        self._specs: dict[tuple[UUID, int], AgentSpec] = {}
        self._read_specs = SharedReads(self._read_spec)
        self._found: dict[tuple[UUID, int], bool] = {}
        """Whether attempts run in processes, where this process has recorded it."""
        self._records = SharedReads(self._record)

    async def demand(
        self, project_id: UUID, agent: str | None, capabilities: Sequence[str]
    ) -> tuple[UUID | None, frozenset[str]]:
        """The named agent's id (None when capabilities were given) and the runtimes that the
        task may come to run on; ``NotFound`` for a name that is not registered."""
        return await self._directory.demand(project_id, agent, capabilities)

    async def stick(self, project_id: UUID, wishes: Sequence[Wish]) -> Mapping[Wish, UUID]:
        """The agent that each wish's key stays with; none where nobody has its capabilities."""
        return await self._stickiness.agents(project_id, wishes)

    async def spec(self, agent_id: UUID, version: int) -> AgentSpec:
        """One version of an agent's definition."""
        key = (agent_id, version)
        known = self._specs.get(key)
        return await self._read_specs.get(key) if known is None else known

    async def _read_spec(self, key: tuple[UUID, int]) -> AgentSpec:
        async with self._database.connect() as conn:
            spec = await store.spec(conn, *key)
        if spec is None:
            raise NotFound(f"There is no version {key[1]} of agent {key[0]}.")
        if len(self._specs) >= _SPECS:
            del self._specs[next(iter(self._specs))]
        self._specs[key] = spec
        return spec

    async def found_isolated(self, agent_id: UUID, version: int, *, isolated: bool) -> None:
        """Record whether attempts of a version run in processes of their own, for claims to come,
        unless this process has recorded it before."""
        if self._found.get((agent_id, version)) is not isolated:
            await self._records.get((agent_id, version, isolated))

    async def _record(self, found: tuple[UUID, int, bool]) -> None:
        agent_id, version, isolated = found
        async with self._database.transaction() as conn:
            await store.set_isolated(conn, agent_id, version, isolated=isolated)
        if len(self._found) >= _SPECS:
            del self._found[next(iter(self._found))]
        self._found[agent_id, version] = isolated

    async def get(self, conn: AsyncConnection, project_id: UUID, key: str) -> Agent:
        """An agent by name or id."""
        return await _found(conn, project_id, key)

    async def list(
        self,
        conn: AsyncConnection,
        project_id: UUID,
        wanted: AgentFilter,
        after: str | None,
        limit: int,
    ) -> Sequence[Agent]:
        """Those agents of the project that are meant, in order of name."""
        return await store.read_page(conn, project_id, wanted, after, limit)

    async def versions(
        self, conn: AsyncConnection, project_id: UUID, key: str, before: int | None, limit: int
    ) -> Sequence[AgentVersion]:
        """Versions of an agent, newest first."""
        agent = await _found(conn, project_id, key)
        return await store.versions(conn, agent.id, before, limit)

    async def version(
        self, conn: AsyncConnection, project_id: UUID, key: str, version: int
    ) -> AgentVersion:
        """One version of an agent."""
        agent = await _found(conn, project_id, key)
        return (await _versions(conn, agent, version))[0]

    async def compared(
        self,
        conn: AsyncConnection,
        project_id: UUID,
        key: str,
        old: int | None,
        new: int | None,
    ) -> tuple[AgentVersion, AgentVersion]:
        """Two versions of an agent: unless told the one in force, and the one before the other."""
        agent = await _found(conn, project_id, key)
        new = new or agent.version
        old = old or max(1, new - 1)
        first, second = await _versions(conn, agent, old, new)
        return first, second

    async def roll_back(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        key: str,
        version: int,
        expected: int | None,
    ) -> Agent:
        """Put what an earlier version held in force again, as a new version; see ``change``."""
        agent = await _found(conn, project_id, key)
        (old,) = await _versions(conn, agent, version)
        wanted = {"runtime": old.runtime, "config": old.config}
        return await self.change(
            conn, asker, project_id, key, wanted, expected, restored=old.version
        )

    async def register(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, new: Definition
    ) -> Agent:
        """Register an agent; ``Conflict`` when its name is taken."""
        new = self.checked(asker, new)
        await scheduling.lock_gates(conn)
        await projects.hold(conn, project_id)
        agent_id = uuid7()
        if not await store.insert(conn, agent_id, project_id, new, asker.name):
            raise Conflict(
                f"There is an agent {new.name!r} already.",
                hint="Change it with `podium agent edit`, or choose another name.",
                agent=new.name,
            )
        await scheduling.follow_agent(conn, agent_id)
        data = {"name": new.name, "runtime": new.runtime}
        await _tell(conn, "agent.registered", agent_id, project_id, asker.name, data)
        after_commit(conn, partial(self._directory.forget, project_id))
        return await _found(conn, project_id, new.name)

    async def change(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        key: str,
        wanted: Mapping[str, Any],
        expected: int | None,
        *,
        restored: int | None = None,
    ) -> Agent:
        """Change the given fields of a definition. Another runtime or config is a new version.

        An agent that runs code is changed only by who may register one: its capabilities decide
        which tasks come to it, its limits how many.

        Raises ``Conflict`` when ``expected`` is not the version in force. ``restored`` is told
        with the event: the version that holds what is wanted.
        """
        agent = await _found(conn, project_id, key, for_update=True)
        require_power(asker, agent.runtime)
        _demand_version(agent, expected)
        old = _definition(agent)
        new = replace(old, **wanted)
        renewed = not same_json((new.runtime, new.config), (old.runtime, old.config))
        if renewed:
            new = self.checked(asker, new)
            renewed = not same_json((new.runtime, new.config), (old.runtime, old.config))
        fields = [name for name in wanted if not same_json(getattr(new, name), getattr(old, name))]
        if not fields:
            return agent
        version = agent.version + renewed
        if renewed:
            await store.add_version(conn, agent.id, version, new, asker.name)
        await store.update(conn, agent.id, version, new)
        await scheduling.follow_agent(conn, agent.id)
        data = {"name": agent.name, "version": version, "fields": fields}
        if restored is not None:
            data["restored"] = restored
        await _tell(conn, "agent.updated", agent.id, project_id, asker.name, data)
        after_commit(conn, partial(self._directory.forget, project_id))
        return await _found(conn, project_id, agent.name)

    async def configured(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        key: str,
        changes: Mapping[str, Any] | None,
    ) -> Mapping[str, Any] | None:
        """The agent's configuration with these fields changed, for one session, or None without
        changes. Asks the power to change the agent; raises ``InvalidInput`` when such an agent
        cannot be talked to."""
        agent = await _found(conn, project_id, key)
        config = agent.config
        if changes is not None:
            asker.demand("agents:write")
            changed = replace(_definition(agent), config={**agent.config, **changes})
            with within("config"):
                config = self.checked(asker, changed).config
        runtime = self._runtimes.by_name.get(agent.runtime)
        if runtime is not None and not runtime.converses(config):
            raise InvalidInput(
                f"The agent {agent.name!r} cannot be talked to.",
                hint="Tell in its configuration how: session.",
                field="agent",
            )
        return None if changes is None else config

    async def require_talker(
        self, conn: AsyncConnection, project_id: UUID, capabilities: Sequence[str]
    ) -> None:
        """Raise ``InvalidInput`` when no agent that has all the capabilities can be talked to."""
        wanted = AgentFilter((*capabilities, TALKS))
        if not await store.read_page(conn, project_id, wanted, None, 1):
            raise InvalidInput(
                f"No agent of this project that has {', '.join(capabilities)} can be talked to.",
                hint="Tell in the configuration of one how it is talked to: session.",
                field="capabilities",
            )

    async def delete(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, key: str
    ) -> None:
        """Delete an agent. What it runs goes on; what waits for it by name waits until it is
        cancelled, and its explanation says so."""
        agent = await _found(conn, project_id, key, for_update=True)
        require_power(asker, agent.runtime)
        await store.delete(conn, agent.id)
        await scheduling.follow_agent(conn, agent.id)
        await _tell(conn, "agent.deleted", agent.id, project_id, asker.name, {"name": agent.name})
        after_commit(conn, partial(self._directory.forget, project_id))

    async def probe(self, agent: Agent) -> Health:
        """Whether the agent could run an attempt on this machine now. Changes nothing."""
        if agent.runtime not in self._runtimes:
            return Health(ok=False, detail=f"This server has no runtime {agent.runtime!r}.")
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return await self._runtimes[agent.runtime].probe(agent.config)
        except TimeoutError:
            return Health(ok=False, detail=f"The probe took longer than {_PROBE_SECONDS:.0f} s.")

    async def unhealthy(self, conn: AsyncConnection, limit: int) -> Sequence[Agent]:
        """Agents of all projects that are enabled and were found unhealthy, those first that were
        not probed for longest."""
        return await store.unhealthy(conn, limit)

    async def due(self, conn: AsyncConnection, seconds: float, limit: int) -> Sequence[Agent]:
        """Agents of all projects that are enabled and were found healthy by a probe on this
        machine, so long ago, those first that were not probed for longest."""
        return await store.due(conn, gethostname(), seconds, limit)

    async def record(self, conn: AsyncConnection, who: str, agent: Agent, health: Health) -> None:
        """Keep what a probe on this machine found, unless the agent was changed meanwhile."""
        await scheduling.lock_gates(conn)
        kept = await store.set_health(
            conn, agent.id, agent.version, gethostname(), healthy=health.ok, detail=health.detail
        )
        if kept:
            await scheduling.follow_agent(conn, agent.id)
        if kept and health.ok != agent.healthy:
            data = {"name": agent.name, "healthy": health.ok, "detail": health.detail}
            await _tell(conn, "agent.health", agent.id, agent.project_id, who, data)

    def checked(self, asker: Principal, new: Definition) -> Definition:
        """The definition with the runtime's defaults filled in, and with its guards unless an
        administrator asks."""
        require_power(asker, new.runtime)
        if new.runtime not in self._runtimes:
            raise InvalidInput(
                f"There is no runtime {new.runtime!r}.",
                hint=f"Choose one of: {', '.join(sorted(self._runtimes.by_name))}.",
                field="runtime",
            )
        runtime = self._runtimes[new.runtime]
        config = runtime.validate(new.config)
        if not asker.has("admin"):
            config = runtime.restricted(config)
        return replace(new, config=dict(config), talks=runtime.converses(config))


def require_power(asker: Principal, runtime: str) -> None:
    """Raise ``Forbidden`` when an agent of this runtime is code and the asker may not run any."""
    if runtime in CODE_RUNTIMES:
        asker.demand("agents:execute")


def _demand_version(agent: Agent, expected: int | None) -> None:
    if expected is not None and expected != agent.version:
        raise Conflict(
            f"The agent {agent.name!r} is at version {agent.version}, not {expected}.",
            hint="Somebody changed it meanwhile: read it again.",
            version=agent.version,
        )


@lru_cache(maxsize=1024)
def _key(key: str) -> UUID | str:
    try:
        return UUID(key)
    except ValueError:
        return key


async def _found(
    conn: AsyncConnection, project_id: UUID, key: str, *, for_update: bool = False
) -> Agent:
    if for_update:
        await scheduling.lock_gates(conn)
        await store.lock(conn, project_id, _key(key))
    agent = await store.by_key(conn, project_id, _key(key))
    if agent is None:
        raise missing(key)
    return agent


async def _versions(conn: AsyncConnection, agent: Agent, *wanted: int) -> Sequence[AgentVersion]:
    """These versions, in the order in which they are asked for."""
    found = await store.versions_of(conn, agent.id, set(wanted))
    for number in wanted:
        if number not in found:
            raise NotFound(
                f"The agent {agent.name!r} has no version {number}.",
                hint=f"`podium agent versions {agent.name}` shows those that it has.",
                version=number,
            )
    return [found[number] for number in wanted]


def _definition(agent: Agent) -> Definition:
    return Definition(
        name=agent.name,
        runtime=agent.runtime,
        config=agent.config,
        description=agent.description,
        capabilities=agent.capabilities,
        labels=agent.labels,
        max_concurrency=agent.max_concurrency,
        weight=agent.weight,
        enabled=agent.enabled,
        talks=agent.talks,
    )


async def _tell(
    conn: AsyncConnection,
    kind: str,
    agent_id: UUID,
    project_id: UUID,
    who: str,
    data: Mapping[str, Any],
) -> None:
    await events.append(conn, [NewEvent(kind, agent_id, project_id, who, data)])
