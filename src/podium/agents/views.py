"""Agents as clients see and send them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, JsonValue

from podium.agents import model
from podium.agents.difference import differences
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

_Weight = Annotated[
    float,
    Field(ge=0.001, le=1000, description="Its share of what queues share out by weight."),
]

_VARIABLES = "/config/env"
"""What is there or below may hold secrets."""


class AgentNew(Body):
    """An agent to register."""

    name: Annotated[Word, AfterValidator(_no_uuid)] = Field(examples=["reviewer"])
    runtime: str = Field(max_length=50, examples=["command"])
    config: _Config
    description: _Description = ""
    capabilities: _Capabilities = Field(default=[])
    labels: Labels = Field(default={})
    max_concurrency: _Concurrency = None
    weight: _Weight = 1.0
    enabled: bool = True


class AgentEdit(Body):
    """What to change of an agent. Fields that are not given stay as they are."""

    runtime: str = Field(default="", max_length=50)
    config: _Config = Field(default={})
    description: _Description = ""
    capabilities: _Capabilities = Field(default=[])
    labels: Labels = Field(default={})
    max_concurrency: _Concurrency = None
    weight: _Weight = Field(default_factory=lambda: 1.0)
    enabled: bool = True
    version: int | None = Field(
        default=None,
        ge=1,
        lt=2**31,
        description="The version that you read; the change is refused when another is in force.",
    )


class Rollback(Body):
    """Which version of an agent to put in force again."""

    version: int = Field(ge=1, lt=2**31, description="Its runtime and config become a new version.")
    expected: int | None = Field(
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
    weight: float
    enabled: bool
    healthy: bool = Field(
        description="False once a probe found that it cannot run: then it is given no tasks. True "
        "while nothing is known against it."
    )
    health_detail: str | None = Field(description="What the newest probe found.")
    health_checked_at: datetime | None = Field(
        description="When that was; null while this version was not probed."
    )
    health_host: str | None = Field(description="The machine on which that was.")
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


class AgentDifference(BaseModel):
    """A place where two versions of an agent are not the same."""

    pointer: str = Field(
        description="Where, as a JSON pointer into an object with `runtime` and `config`.",
        examples=["/config/command"],
    )
    change: Literal["added", "removed", "changed"]
    before: JsonValue = Field(description="What was there; null where something was added.")
    after: JsonValue = Field(description="What is there; null where something was removed.")


class AgentDiff(BaseModel):
    """What two versions of an agent differ in. Lists are compared whole."""

    old: int
    new: int
    differences: list[AgentDifference]


class Probe(BaseModel):
    """What a probe found."""

    ok: bool
    detail: str = Field(description="What was tried and, when not ok, what to do.")


class AgentChecked(BaseModel):
    """What would be in force."""

    runtime: str
    config: Mapping[str, Any]
    capabilities: list[str]


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


def diff_view(old: model.AgentVersion, new: model.AgentVersion, reader: Principal) -> AgentDiff:
    """What they differ in, compared before anything is masked: that a secret is another one shows,
    what it is does not."""
    found = differences(old, new)
    return AgentDiff(
        old=old.version, new=new.version, differences=[_difference(each, reader) for each in found]
    )


def _difference(found: model.Difference, reader: Principal) -> AgentDifference:
    before, after = found.before, found.after
    is_variable = found.pointer == _VARIABLES or found.pointer.startswith(f"{_VARIABLES}/")
    if is_variable and not reader.has("agents:execute"):
        before, after = (None if value is None else MASK for value in (before, after))
    return AgentDifference(
        pointer=found.pointer,
        change=found.change,
        before=cast("JsonValue", before),
        after=cast("JsonValue", after),
    )


def _shown(config: Mapping[str, Any], reader: Principal) -> Mapping[str, Any]:
    """The configuration; variables, which may hold secrets, only for who may set them."""
    variables = config.get("env")
    if not isinstance(variables, dict) or reader.has("agents:execute"):
        return config
    return {**config, "env": dict.fromkeys(cast("dict[str, Any]", variables), MASK)}
