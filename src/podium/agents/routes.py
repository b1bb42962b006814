"""``agents``."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from pydantic import AfterValidator, BaseModel, Field, JsonValue

from podium.agents.model import Agent, Definition
from podium.agents.service import AgentService
from podium.events.http import Change
from podium.events.live import Wakeups
from podium.kernel.web import Body, Limit, Page, PageCursor, page_cursor, page_key, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import CurrentProject
from podium.storage.database import Database

router = APIRouter(prefix="/agents", tags=["agents"])

_Agents = Annotated[AgentService, Depends(provided(AgentService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Wakeups = Annotated[Wakeups, Depends(provided(Wakeups))]
_Reader = Annotated[Principal, Depends(require("agents:read"))]
_Writer = Annotated[Principal, Depends(require("agents:write"))]
_Key = Annotated[str, Path(alias="agent", max_length=100, description="Name or id.")]


def _no_uuid(name: str) -> str:
    try:
        UUID(name)
    except ValueError:
        return name
    raise ValueError("must not look like an id")


_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
_Config = Annotated[
    dict[str, JsonValue],
    Field(
        description="What the runtime needs to run it.",
        examples=[{"argv": ["my-agent", "--print"], "prompt": "stdin"}],
    ),
]
_Description = Annotated[str, Field(max_length=2000, description="What it is good at.")]
_Capabilities = Annotated[
    list[_Word],
    Field(max_length=100, description="What it can do; tasks may ask for these instead of it."),
]
_Labels = Annotated[dict[_LabelKey, Annotated[str, Field(max_length=200)]], Field(max_length=64)]
_Concurrency = Annotated[
    int | None,
    Field(ge=1, le=100_000, description="Attempts that it runs at once; null: no limit."),
]


class AgentNew(Body):
    """An agent to register."""

    name: Annotated[_Word, AfterValidator(_no_uuid)] = Field(examples=["reviewer"])
    runtime: str = Field(max_length=50, examples=["command"])
    config: _Config
    description: _Description = ""
    capabilities: _Capabilities = Field(default=[])
    labels: _Labels = Field(default={})
    max_concurrency: _Concurrency = None
    enabled: bool = True


class AgentEdit(Body):
    """What to change of an agent. Fields that are not given stay as they are."""

    runtime: str = Field(default="", max_length=50)
    config: _Config = Field(default={})
    description: _Description = ""
    capabilities: _Capabilities = Field(default=[])
    labels: _Labels = Field(default={})
    max_concurrency: _Concurrency = None
    enabled: bool = True
    version: int | None = Field(
        default=None,
        ge=1,
        lt=2**31,
        description="The version that you read; the change is refused when another is in force.",
    )


class AgentOut(BaseModel):
    """An agent with the version in force."""

    id: UUID
    project: str
    name: str
    version: int
    runtime: str
    config: Mapping[str, Any]
    description: str
    capabilities: list[str]
    labels: Mapping[str, str]
    max_concurrency: int | None
    enabled: bool
    healthy: bool
    health_detail: str | None
    running: int = Field(description="Attempts that it runs now.")
    created_at: datetime
    updated_at: datetime


class AgentVersionOut(BaseModel):
    """What an agent was at a time."""

    version: int
    runtime: str
    config: Mapping[str, Any]
    created_at: datetime
    created_by: str


class ProbeResult(BaseModel):
    """What a probe found."""

    ok: bool
    detail: str = Field(description="What was tried and, when not ok, what to do.")


@router.get("", summary="List agents by name")
async def list_agents(
    _reader: _Reader,
    project: CurrentProject,
    agents: _Agents,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> Page[AgentOut]:
    key = page_key(cursor, str)
    async with database.connect() as conn:
        found = await agents.list(conn, project.id, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].name) if len(found) > limit else None
    return Page(items=[_out(agent, project.name) for agent in page], next=more)


@router.post("", status_code=201, summary="Register an agent")
async def register_agent(
    new: AgentNew,
    writer: _Writer,
    project: CurrentProject,
    agents: _Agents,
    change: Change,
    wakeups: _Wakeups,
) -> AgentOut:
    """Agents that run code on a worker's machine also need the scope `agents:execute`."""
    definition = Definition(
        name=new.name,
        runtime=new.runtime,
        config=new.config,
        description=new.description,
        capabilities=tuple(new.capabilities),
        labels=new.labels,
        max_concurrency=new.max_concurrency,
        enabled=new.enabled,
    )
    async with change() as conn:
        agent = await agents.register(conn, writer, project.id, definition)
    wakeups.work(())
    return _out(agent, project.name)


@router.get("/{agent}", summary="Read an agent")
async def get_agent(
    key: _Key, _reader: _Reader, project: CurrentProject, agents: _Agents, database: _Database
) -> AgentOut:
    async with database.connect() as conn:
        return _out(await agents.get(conn, project.id, key), project.name)


@router.put("/{agent}", summary="Change an agent")
async def edit_agent(
    key: _Key,
    edit: AgentEdit,
    writer: _Writer,
    project: CurrentProject,
    agents: _Agents,
    change: Change,
    wakeups: _Wakeups,
) -> AgentOut:
    """Another runtime or config makes a new version; running attempts keep theirs."""
    wanted = edit.model_dump(exclude_unset=True, exclude={"version"})
    if "capabilities" in wanted:
        wanted["capabilities"] = tuple(sorted(set(edit.capabilities)))
    async with change() as conn:
        agent = await agents.change(conn, writer, project.id, key, wanted, edit.version)
    wakeups.work(())
    return _out(agent, project.name)


@router.delete("/{agent}", status_code=204, summary="Delete an agent")
async def delete_agent(
    key: _Key, writer: _Writer, project: CurrentProject, agents: _Agents, change: Change
) -> None:
    """What it runs goes on; tasks that wait for it by name wait until they are cancelled."""
    async with change() as conn:
        await agents.delete(conn, writer, project.id, key)


@router.get("/{agent}/versions", summary="List versions of an agent, newest first")
async def list_agent_versions(
    key: _Key,
    _reader: _Reader,
    project: CurrentProject,
    agents: _Agents,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> Page[AgentVersionOut]:
    before = page_key(cursor, int)
    async with database.connect() as conn:
        start = before[0] if before else None
        found = await agents.versions(conn, project.id, key, start, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].version) if len(found) > limit else None
    items = [AgentVersionOut.model_validate(each, from_attributes=True) for each in page]
    return Page(items=items, next=more)


@router.post("/{agent}/probe", summary="Find out whether an agent could run now")
async def probe_agent(
    key: _Key,
    writer: _Writer,
    project: CurrentProject,
    agents: _Agents,
    database: _Database,
    change: Change,
    wakeups: _Wakeups,
) -> ProbeResult:
    """The probe runs on the server's machine; an unhealthy agent is given no tasks."""
    async with database.connect() as conn:
        agent = await agents.get(conn, project.id, key)
    health = await agents.probe(agent)
    async with change() as conn:
        await agents.record(conn, writer, agent, health)
    wakeups.work(())
    return ProbeResult(ok=health.ok, detail=health.detail)


def _out(agent: Agent, project: str) -> AgentOut:
    fields = {name: getattr(agent, name) for name in AgentOut.model_fields if name != "project"}
    return AgentOut(project=project, **fields)
