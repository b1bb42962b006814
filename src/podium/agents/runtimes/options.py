"""What every agent that runs as a process can be told, and which of it needs an administrator."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from podium.agents.runtimes import environment
from podium.kernel.errors import InvalidInput, NeedsAdmin
from podium.kernel.fields import MOST_TOLD, and_more, told
from podium.kernel.redaction import MASK

_MIB = 2**20
_YEAR = 366 * 86400
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]


class Limits(BaseModel):
    """What an attempt may use. Passing a limit ends it with the class ``resource``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_seconds: float | None = Field(
        default=None,
        gt=0,
        le=_YEAR,
        description="Time that an attempt may run; then class timeout.",
    )
    cpu_seconds: int | None = Field(
        default=None, ge=1, le=_YEAR, description="CPU time of the whole process tree."
    )
    memory_bytes: int | None = Field(
        default=None,
        ge=16 * _MIB,
        le=2**50,
        description="Memory of each process, and of all together.",
    )
    output_bytes: int = Field(
        default=64 * _MIB,
        ge=1,
        le=2**40,
        description="Bytes of standard output and error together, in a session for each input.",
    )
    open_files: int | None = Field(
        default=None, ge=16, le=2**20, description="Files open in one process."
    )
    processes: int | None = Field(
        default=None, ge=1, le=2**22, description="Processes at once, counted a few times a second."
    )

    def of_processes(self) -> dict[str, int]:
        """Those that the supervisor sets or watches."""
        chosen = self.model_dump(include={"cpu_seconds", "memory_bytes", "open_files", "processes"})
        return {name: value for name, value in chosen.items() if value is not None}


class ProcessOptions(BaseModel):
    """What every agent that runs as a process can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: dict[Variable, str] = Field(
        default={}, description="Variables for the agent, besides those passed on and Podium's."
    )
    env_allow: list[str] = Field(
        default=list(environment.DEFAULT_ALLOWED),
        description="Names (with * as wildcard) that are passed on from the worker's environment.",
    )
    limits: Limits = Field(default=Limits(), description="What an attempt may use.")
    grace_seconds: float = Field(
        default=5,
        ge=0,
        le=300,
        description="Time between SIGTERM and SIGKILL when an attempt is ended.",
    )
    confinement: Literal["inherit", "required", "none"] = Field(
        default="inherit",
        description="`inherit`: as the worker's machine can and the setting `confinement` says. "
        "`required`: never unconfined for want of a way to confine. `none`: the agent sees "
        "Podium's own files; needs the scope `admin`.",
    )

    @field_validator("env")
    @classmethod
    def _usable(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            if name.startswith(environment.RESERVED):
                raise ValueError(f"{name} is reserved: PODIUM_ variables are set by Podium")
            if "\0" in content:
                raise ValueError(f"{name} holds a NUL character")
        return value

    @field_validator("env_allow")
    @classmethod
    def _not_reserved(cls, value: list[str]) -> list[str]:
        for name in value:
            if name.startswith(environment.RESERVED):
                raise ValueError(f"{name} cannot be passed on: it may hold Podium's own secrets")
        return value


Options = TypeVar("Options", bound=ProcessOptions)


def validated(model: type[Options], config: Mapping[str, Any], runtime: str) -> Options:
    """The configuration as its model, or ``InvalidInput`` that names each wrong field."""
    try:
        options = model.model_validate(config)
    except ValidationError as error:
        found = error.errors(include_url=False)
        fields = [
            (".".join(map(str, ("config", *each["loc"]))), told(each, model))
            for each in found[:MOST_TOLD]
        ]
        more = and_more(len(found) - 1)
        raise InvalidInput(
            f"This {runtime} agent cannot be used: {': '.join(fields[0])}{more}.",
            hint=f"Correct it; the fields of {runtime} agents are in the documentation.",
            errors=[{"field": field, "message": message} for field, message in fields],
        ) from None
    for name, content in options.env.items():
        if content == MASK:
            raise InvalidInput(
                f"The value of {name} is {MASK}, as Podium shows values that it does not tell.",
                hint="Give the value itself, or leave the variable out.",
                field=f"config.env.{name}",
            )
    return options


def restricted(options: Options) -> Options:
    """The options as somebody without the scope ``admin`` may have them: never unconfined for
    want of a way to confine. Raises ``NeedsAdmin`` for what lifts a guard."""
    if options.confinement == "none":
        raise _needs_admin("confinement", "lets the agent see Podium's own files")
    if beyond := [name for name in options.env_allow if not _usual(name)]:
        danger = "passes on variables of the worker that may hold secrets"
        raise _needs_admin("env_allow", f"{danger} ({', '.join(beyond)[:200]})")
    return options.model_copy(update={"confinement": "required"})


def _usual(name: str) -> bool:
    return any(fnmatchcase(name, each) for each in environment.DEFAULT_ALLOWED)


def _needs_admin(field: str, why: str) -> NeedsAdmin:
    return NeedsAdmin(
        f"This value of config.{field} {why}; it needs the scope admin.",
        hint=f"Leave {field} out, or have an administrator register the agent.",
        field=f"config.{field}",
        missing=["admin"],
    )
