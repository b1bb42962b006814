"""Agents as clients see and send them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, JsonValue

from podium.agents import model
from podium.kernel.fields import Body, Labels, Page, Prose, Word
from podium.kernel.redaction import MASK
from podium.principals.model import Principal


def _no_uuid(name: str) -> str:
    try:
        UUID(name)
    except ValueError:
        return name
    raise ValueError("must not look like an id")


_Config = Annotated[
    dict[str, JsonValue],
    Field(
        description="What the runtime needs to run it.",
        examples=[{"command": ["my-agent", "--print"], "prompt": "stdin"}],
    ),
]
_Description = Annotated[Prose, Field(max_length=2000, description="What it is good at.")]
_Capabilities = Annotated[
    list[Word],
    Field(max_length=100, description="What it can do; tasks may ask for these instead of it."),
]
_Concurrency = Annotated[
    int | None,
    Field(ge=1, le=100_000, description="Attempts that it runs at once; null: no limit."),
]


class AgentNew(Body):
    """An agent to register."""

    name: Annotated[Word, AfterValidator(_no_uuid)] = Field(examples=["reviewer"])
    runtime: str = Field(max_length=50, examples=["command"])
    config: _Config
    description: _Description = ""
    capabilities: _Capabilities = Field(default=[])
    labels: Labels = Field(default={})
    max_concurrency: _Concurrency = None
    enabled: bool = True


class AgentEdit(Body):
    """What to change of an agent. Fields that are not given stay as they are."""

    runtime: str = Field(default="", max_length=50)
    config: _Config = Field(default={})
    description: _Description = ""
    capabilities: _Capabilities = Field(default=[])
    labels: Labels = Field(default={})
    max_concurrency: _Concurrency = None
    enabled: bool = True
    version: int | None = Field(
        default=None,
        ge=1,
        lt=2**31,
        description="The version that you read; the change is refused when another is in force.",
    )


class Agent(BaseModel):
    """An agent with the version in force."""

    id: UUID
    project: str
    name: str
    version: int
    runtime: str
    config: Mapping[str, Any] = Field(
        description="As it is in force. Values of `env` show only to who has `agents:execute`."
    )
    description: str
    capabilities: list[str]
    labels: Mapping[str, str]
    max_concurrency: int | None
    enabled: bool
    healthy: bool = Field(
        description="False once a probe found that it cannot run: then it is given no tasks. True "
        "while nothing is known against it."
    )
    health_detail: str | None = Field(description="What the newest probe found.")
    health_checked_at: datetime | None = Field(
        description="When that was; null while this version was not probed."
    )
    running: int = Field(description="Attempts that it runs now.")
    created_at: datetime
    updated_at: datetime


class AgentVersion(BaseModel):
    """What an agent was at a time."""

    version: int
    runtime: str
    config: Mapping[str, Any]
    created_at: datetime
    created_by: str


class Probe(BaseModel):
    """What a probe found."""

    ok: bool
    detail: str = Field(description="What was tried and, when not ok, what to do.")


class AgentPage(Page[Agent]):
    """Agents in order of name."""


class AgentVersionPage(Page[AgentVersion]):
    """Versions, newest first."""


def agent_view(agent: model.Agent, project: str, reader: Principal) -> Agent:
    """The agent with the name of its project."""
    fields = {name: getattr(agent, name) for name in Agent.model_fields if name != "project"}
    fields["config"] = _shown(agent.config, reader)
    return Agent(project=project, **fields)


def version_view(version: model.AgentVersion, reader: Principal) -> AgentVersion:
    fields = {name: getattr(version, name) for name in AgentVersion.model_fields}
    fields["config"] = _shown(version.config, reader)
    return AgentVersion(**fields)


def _shown(config: Mapping[str, Any], reader: Principal) -> Mapping[str, Any]:
    """The configuration; variables, which may hold secrets, only for who may set them."""
    variables = config.get("env")
    if not isinstance(variables, dict) or reader.has("agents:execute"):
        return config
    return {**config, "env": dict.fromkeys(cast("dict[str, Any]", variables), MASK)}
