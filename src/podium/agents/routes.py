"""``agents``."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query

from podium.agents.model import AgentFilter, Definition
from podium.agents.service import AgentService, require_power
from podium.agents.views import (
    Agent,
    AgentChecked,
    AgentDiff,
    AgentEdit,
    AgentNew,
    AgentPage,
    AgentVersion,
    AgentVersionPage,
    Probe,
    Rollback,
    agent_view,
    diff_view,
    version_view,
)
from podium.events.http import Change
from podium.kernel.web import (
    Limit,
    PageCursor,
    api_router,
    label_filter,
    page_cursor,
    page_key,
    provided,
)
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import CurrentProject
from podium.scheduler.service import Scheduler
from podium.storage.database import Database

router = api_router("/agents", "agents")

_Agents = Annotated[AgentService, Depends(provided(AgentService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Scheduler = Annotated[Scheduler, Depends(provided(Scheduler))]
_Reader = Annotated[Principal, Depends(require("agents:read"))]
_Writer = Annotated[Principal, Depends(require("agents:write"))]
_Key = Annotated[str, Path(alias="agent", max_length=100, description="Name or id.")]


@router.get("", summary="List agents by name")
async def list_agents(
    reader: _Reader,
    project: CurrentProject,
    agents: _Agents,
    database: _Database,
    capability: Annotated[list[str], Query(description="They have all of these.")] = [],  # noqa: B006
    label: Annotated[list[str], Query(description="key:value")] = [],  # noqa: B006
    runtime: Annotated[str | None, Query(max_length=50)] = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> AgentPage:
    key = page_key(cursor, str)
    wanted = AgentFilter(tuple(capability), label_filter(label), runtime)
    async with database.connect() as conn:
        found = await agents.list(conn, project.id, wanted, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].name) if len(found) > limit else None
    return AgentPage(items=[agent_view(agent, project.name, reader) for agent in page], next=more)


@router.post("", status_code=201, summary="Register an agent")
async def register_agent(
    new: AgentNew,
    writer: _Writer,
    project: CurrentProject,
    agents: _Agents,
    change: Change,
    scheduler: _Scheduler,
) -> Agent:
    """Agents that run code on a worker's machine also need the scope `agents:execute`."""
    async with change() as conn:
        agent = await agents.register(conn, writer, project.id, _definition(new))
        scheduler.feed_after(conn)
    return agent_view(agent, project.name, writer)


@router.post("/check", summary="Check an agent without registering it")
async def check_agent(new: AgentNew, writer: _Writer, agents: _Agents) -> AgentChecked:
    """Tells the agent as it would be in force, with the defaults of its runtime."""
    found = agents.checked(writer, _definition(new))
    capabilities = sorted(set(found.capabilities))
    return AgentChecked(runtime=found.runtime, config=found.config, capabilities=capabilities)


def _definition(new: AgentNew) -> Definition:
    return Definition(
        name=new.name,
        runtime=new.runtime,
        config=new.config,
        description=new.description,
        capabilities=tuple(new.capabilities),
        labels=new.labels,
        max_concurrency=new.max_concurrency,
        weight=new.weight,
        enabled=new.enabled,
    )


@router.get("/{agent}", summary="Read an agent")
async def get_agent(
    key: _Key, reader: _Reader, project: CurrentProject, agents: _Agents, database: _Database
) -> Agent:
    async with database.connect() as conn:
        return agent_view(await agents.get(conn, project.id, key), project.name, reader)


@router.put("/{agent}", summary="Change an agent")
async def edit_agent(
    key: _Key,
    edit: AgentEdit,
    writer: _Writer,
    project: CurrentProject,
    agents: _Agents,
    change: Change,
    scheduler: _Scheduler,
) -> Agent:
    """Another runtime or config makes a new version; running attempts keep theirs. Agents that run
    code on a worker's machine also need the scope `agents:execute`."""
    wanted = edit.model_dump(exclude_unset=True, exclude={"version"})
    if "capabilities" in wanted:
        wanted["capabilities"] = tuple(sorted(set(edit.capabilities)))
    async with change() as conn:
        agent = await agents.change(conn, writer, project.id, key, wanted, edit.version)
        scheduler.feed_after(conn)
    return agent_view(agent, project.name, writer)


@router.delete("/{agent}", status_code=204, summary="Delete an agent")
async def delete_agent(
    key: _Key,
    writer: _Writer,
    project: CurrentProject,
    agents: _Agents,
    change: Change,
    scheduler: _Scheduler,
) -> None:
    """What it runs goes on; tasks that wait for it by name wait until they are cancelled. Agents
    that run code on a worker's machine also need the scope `agents:execute`."""
    async with change() as conn:
        await agents.delete(conn, writer, project.id, key)
        scheduler.feed_after(conn)  # what its tasks held is free for others


@router.get("/{agent}/versions", summary="List versions of an agent, newest first")
async def list_agent_versions(
    key: _Key,
    reader: _Reader,
    project: CurrentProject,
    agents: _Agents,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> AgentVersionPage:
    before = page_key(cursor, _version)
    async with database.connect() as conn:
        start = before[0] if before else None
        found = await agents.versions(conn, project.id, key, start, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].version) if len(found) > limit else None
    items = [version_view(each, reader) for each in page]
    return AgentVersionPage(items=items, next=more)


@router.get("/{agent}/versions/{version}", summary="Read a version of an agent")
async def get_agent_version(
    key: _Key,
    version: Annotated[int, Path(ge=1, lt=2**31)],
    reader: _Reader,
    project: CurrentProject,
    agents: _Agents,
    database: _Database,
) -> AgentVersion:
    async with database.connect() as conn:
        return version_view(await agents.version(conn, project.id, key, version), reader)


@router.get("/{agent}/diff", summary="Compare two versions of an agent")
async def diff_agent(
    key: _Key,
    reader: _Reader,
    project: CurrentProject,
    agents: _Agents,
    database: _Database,
    old: Annotated[
        int | None,
        Query(alias="from", ge=1, lt=2**31, description="Unset: the version before the other."),
    ] = None,
    new: Annotated[
        int | None, Query(alias="to", ge=1, lt=2**31, description="Unset: the one in force.")
    ] = None,
) -> AgentDiff:
    async with database.connect() as conn:
        return diff_view(*await agents.compared(conn, project.id, key, old, new), reader)


@router.post("/{agent}/rollback", summary="Put an earlier version of an agent in force again")
async def roll_back_agent(
    key: _Key,
    rollback: Rollback,
    writer: _Writer,
    project: CurrentProject,
    agents: _Agents,
    change: Change,
    scheduler: _Scheduler,
) -> Agent:
    """What that version held becomes a new one; when it is in force already, nothing changes.
    Running attempts keep theirs. It needs what changing the agent to that would need."""
    async with change() as conn:
        agent = await agents.roll_back(
            conn, writer, project.id, key, rollback.version, rollback.expected
        )
        scheduler.feed_after(conn)
    return agent_view(agent, project.name, writer)


@router.post("/{agent}/probe", summary="Find out whether an agent could run now")
async def probe_agent(
    key: _Key,
    writer: _Writer,
    project: CurrentProject,
    agents: _Agents,
    database: _Database,
    change: Change,
    scheduler: _Scheduler,
    record: Annotated[
        Literal["always", "healthy"],
        Query(description="healthy: one that is not stays as it was, and is given tasks."),
    ] = "always",
) -> Probe:
    """The probe runs on the server's machine; an unhealthy agent is given no tasks until a probe
    finds it healthy, which Podium tries each minute. Agents that run code on a worker's machine
    also need the scope `agents:execute`."""
    async with database.connect() as conn:
        agent = await agents.get(conn, project.id, key)
    require_power(writer, agent.runtime)
    health = await agents.probe(agent)
    if record == "healthy" and not health.ok:
        return Probe(ok=False, detail=health.detail)
    async with change() as conn:
        await agents.record(conn, writer.name, agent, health)
        scheduler.feed_after(conn)
    return Probe(ok=health.ok, detail=health.detail)


def _version(part: Any) -> int:
    if type(part) is not int or not 0 < part < 2**31:
        raise ValueError("no version has this number")
    return part
