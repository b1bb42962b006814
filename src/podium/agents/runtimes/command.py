"""The ``command`` runtime: an agent is a program on the worker's machine."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from podium.agents.runtime import AttemptContext, Health, Json
from podium.agents.runtimes import environment
from podium.agents.runtimes.collect import OutputMode
from podium.agents.runtimes.hosting import Host
from podium.agents.runtimes.lines import LineRule
from podium.agents.runtimes.options import ProcessOptions, restricted, validated
from podium.agents.runtimes.talk import Session, Talk
from podium.kernel.errors import AttemptFailed, ErrorClass

_SHELL = "/bin/sh"
_PROMPT = "{prompt}"


class CommandConfig(ProcessOptions):
    """Configuration of a command agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: Annotated[list[str], Field(min_length=1)] | Annotated[str, Field(min_length=1)] = (
        Field(description="The program and its arguments; with `shell`, one line for /bin/sh.")
    )
    shell: bool = Field(
        default=False, description="Run `command` by /bin/sh. It then must be a single string."
    )
    prompt: Literal["stdin", "argument", "none"] = Field(
        default="none",
        description="How the agent gets the prompt: on standard input, or as an argument that "
        'replaces "{prompt}" or else comes last. In a shell line it is "$1".',
    )
    output: OutputMode = Field(
        default="text",
        description="What standard output means: text, one JSON value, protocol messages, or JSON "
        "lines of the program's own making, which `lines` tells how to read.",
    )
    lines: list[LineRule] = Field(
        default=[], max_length=50, description="With the output `lines`: how to read them."
    )
    session: Session | None = Field(
        default=None,
        description="How it is talked to in a session; without it, it takes none. Its standard "
        "input is then what people say, so `prompt` must not be `stdin`.",
    )
    cwd: str | None = Field(
        default=None,
        max_length=4096,  # Linux takes no longer one
        description="Working directory, an absolute path. Unset: the attempt's workspace.",
    )
    exit_codes: dict[str, ErrorClass] = Field(
        default={},
        description='Error classes of exit statuses, for example {"75": "transient"}.',
    )

    @field_validator("command", mode="wrap")
    @classmethod
    def _list_or_line(cls, value: Any, validate: Callable[[Any], Any]) -> Any:
        try:
            return validate(value)
        except ValidationError:  # it tells what is wrong with it as a list, and what as a line
            raise ValueError(
                "Must be a list of strings, the program and its arguments, or with shell one line"
            ) from None

    @field_validator("exit_codes")
    @classmethod
    def _statuses(cls, value: dict[str, ErrorClass]) -> dict[str, ErrorClass]:
        for status in value:
            if not status.isdecimal() or not 1 <= int(status) <= 255:
                raise ValueError(f"{status!r} is no exit status from 1 to 255")
        return value

    @field_validator("cwd")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not Path(value).is_absolute():
            raise ValueError("must be an absolute path")
        return value

    @model_validator(mode="after")
    def _argv_or_line(self) -> "CommandConfig":
        if self.shell is not isinstance(self.command, str):
            raise ValueError(
                "command must be a list of arguments, or with shell: true a single string"
            )
        if isinstance(self.command, str) and _PROMPT in self.command:
            raise ValueError(
                "command must not hold {prompt} in a shell line, where a prompt could run "
                'commands; use "$1" with prompt: "argument"'
            )
        return self

    @model_validator(mode="after")
    def _lines_and_rules(self) -> "CommandConfig":
        if self.lines and self.output != "lines":
            raise ValueError('lines need "output": "lines"')
        if self.output == "lines" and not self.lines:
            raise ValueError("output lines needs the rules by which they are read, in lines")
        return self

    @model_validator(mode="after")
    def _can_converse(self) -> "CommandConfig":
        if self.session is None:
            return self
        if self.prompt == "stdin":
            raise ValueError("a session has the standard input; let prompt be argument or none")
        if self.output == "json":
            raise ValueError("a session needs the output text, events or lines")
        if self.output == "lines" and not any(rule.turn_ends for rule in self.lines):
            raise ValueError("a session needs a rule in lines with turn_ends")
        return self

    def argv(self, value: Json) -> Sequence[str]:
        """The command for a task with this input."""
        if isinstance(self.command, str):
            line = (_SHELL, "-c", self.command, "sh")
            return (*line, environment.prompt(value)) if self.prompt == "argument" else line
        if self.prompt != "argument":
            return self.command
        text = environment.prompt(value)
        if any(_PROMPT in part for part in self.command):
            return [part.replace(_PROMPT, text) for part in self.command]
        return [*self.command, text]


class CommandRuntime:
    """Runs programs. See ``docs/guides/command-agents.md`` for what an author must know."""

    name = "command"

    def __init__(self, host: Host) -> None:
        self._host = host

    def validate(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The configuration with its defaults; ``InvalidInput`` names the field that is wrong."""
        return validated(CommandConfig, config, self.name).model_dump(mode="json")

    def restricted(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The configuration without an administrator's powers; see ``options.restricted``."""
        return restricted(CommandConfig.model_validate(config)).model_dump(mode="json")

    def converses(self, config: Mapping[str, Any]) -> bool:
        """Whether its configuration tells how."""
        return CommandConfig.model_validate(config).session is not None

    async def isolated(self, config: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Always: a program is a process."""
        return True

    async def conditions(self, config: Mapping[str, Any]) -> Mapping[str, str]:
        """Under which confinement an attempt runs: ``confinement`` and ``confinement_detail``."""
        return self._host.conditions(CommandConfig.model_validate(config))

    async def probe(self, config: Mapping[str, Any]) -> Health:
        """Look for the program and the working directory on this machine."""
        parsed = CommandConfig.model_validate(config)
        try:
            missing = _missing(parsed)
        except OSError as error:  # a name too long, or a folder that is closed to this process
            missing = f"{error.filename} cannot be looked at: {error.strerror}. Correct cwd."
        if missing:
            return Health(ok=False, detail=missing)
        if refusal := self._host.refusal(parsed):
            return Health(ok=False, detail=refusal)
        confinement = self._host.conditions(parsed)["confinement_detail"]
        return Health(ok=True, detail=f"{_program(parsed)} was found; confinement: {confinement}.")

    async def run(self, ctx: AttemptContext) -> Json:
        """Run the command to its end; see the port."""
        config = CommandConfig.model_validate(ctx.agent.config)
        text = environment.prompt(ctx.input) if config.prompt == "stdin" else None
        talk = None
        if ctx.session is not None:
            if config.session is None:
                raise _takes_no_session(ctx.agent.name)
            talk = Talk(ctx.session, config.session, by_silence=config.output == "text")
        return await self._host.run(
            ctx,
            config,
            argv=config.argv(ctx.input),
            stdin=None if text is None else text.encode(errors="replace"),
            directory=Path(config.cwd) if config.cwd else ctx.workspace,
            output=config.output,
            exit_codes={int(code): each for code, each in config.exit_codes.items()},
            rules=config.lines,
            talk=talk,
        )

    async def aclose(self) -> None:
        """Nothing is held between attempts."""


def _takes_no_session(agent: str) -> AttemptFailed:
    return AttemptFailed(
        ErrorClass.INVALID_INPUT,
        "agent_not_interactive",
        f"The agent {agent} takes no sessions.",
        hint="Tell in its configuration how it is talked to: session.",
    )


def _program(config: CommandConfig) -> str:
    """The path of the program where PATH tells it, else as the configuration names it."""
    program = config.argv("")[0]
    return shutil.which(program, path=config.env.get("PATH")) or program


def _missing(config: CommandConfig) -> str | None:
    """What this machine lacks for the configuration. Raises ``OSError`` where it cannot look."""
    cwd = Path(config.cwd) if config.cwd else None
    if cwd is not None and not cwd.is_dir():
        return f"The working directory {cwd} does not exist. Create it."
    program = config.argv("")[0]
    if shutil.which(program, path=config.env.get("PATH")) is not None:
        return None
    if cwd and "/" in program and (cwd / program).is_file():
        return None
    return f"{program} was not found. Install it, or correct PATH in the agent's env."
