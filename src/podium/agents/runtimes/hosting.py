"""Runs an attempt as a confined, supervised process: what command and function agents share."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from podium.agents.runtime import AttemptContext, Json
from podium.agents.runtimes import environment
from podium.agents.runtimes.artifacts import Reach
from podium.agents.runtimes.collect import Collector, LogSink, OutputMode, collector
from podium.agents.runtimes.confinement import Confinement, NoConfinement
from podium.agents.runtimes.launch import Launch
from podium.agents.runtimes.outcome import failure_of
from podium.agents.runtimes.output import Allowance
from podium.agents.runtimes.supervise import supervise
from podium.kernel.errors import AttemptFailed, ErrorClass, InvalidInput

_MIB = 2**20
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]


class Limits(BaseModel):
    """What an attempt may use. Passing a limit ends it with the class ``resource``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_seconds: float | None = Field(
        default=None, gt=0, description="Time that an attempt may run; then class timeout."
    )
    cpu_seconds: int | None = Field(
        default=None, ge=1, description="CPU time of the whole process tree."
    )
    memory_bytes: int | None = Field(
        default=None, ge=16 * _MIB, description="Memory of each process, and of all together."
    )
    output_bytes: int = Field(
        default=64 * _MIB, ge=1, description="Bytes of standard output and error together."
    )
    open_files: int | None = Field(default=None, ge=16, description="Files open in one process.")
    processes: int | None = Field(
        default=None, ge=1, description="Processes at once, counted a few times a second."
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
    confinement: Literal["inherit", "none"] = Field(
        default="inherit",
        description="`none` lets the agent see Podium's own files; shown with every attempt.",
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
        return model.model_validate(config)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        fields = {".".join(map(str, each["loc"])) or "config": each["msg"] for each in found}
        told = "; ".join(f"{field}: {message}" for field, message in fields.items())
        raise InvalidInput(
            f"The configuration of this {runtime} agent cannot be used: {told}.",
            hint=f"Correct it; the fields of {runtime} agents are in the documentation.",
            fields=fields,
        ) from None


@dataclass(frozen=True, slots=True)
class Host:
    """This machine as agents see it: how they are confined, and what is hidden from them.

    ``locks`` is a folder for the locks of tasks, shared by all workers on this machine.
    """

    confinement: Confinement
    hidden: Sequence[Path]
    locks: Path

    def confinement_of(self, options: ProcessOptions) -> Confinement:
        """The confinement under which an agent with these options runs."""
        if options.confinement == "none":
            return NoConfinement("chosen in the agent's configuration")
        return self.confinement

    def conditions(self, options: ProcessOptions) -> Mapping[str, str]:
        """What to store with an attempt about how it was confined."""
        chosen = self.confinement_of(options)
        return {"confinement": chosen.name, "confinement_detail": chosen.description}

    async def run(
        self,
        ctx: AttemptContext,
        options: ProcessOptions,
        *,
        argv: Sequence[str],
        stdin: bytes | None,
        directory: Path,
        output: OutputMode,
        exit_codes: Mapping[int, ErrorClass],
        extra: Mapping[str, str] | None = None,
    ) -> Json:
        """Run ``argv`` for this attempt and make its output of what it wrote."""
        launch = await asyncio.to_thread(
            self._prepared, ctx, options, argv, stdin, directory, extra or {}
        )
        allowance = Allowance(options.limits.output_bytes)
        reach = Reach(directory, ctx.workspace, self.hidden)
        stdout = collector(output, ctx, allowance, reach)
        stderr = LogSink(ctx, "stderr", allowance)
        report = await supervise(launch, ctx.lease, stdout, stderr, options.limits.wall_seconds)
        if report.cpu:
            ctx.usage(cpu_seconds=report.cpu)
        return _concluded(
            stdout,
            failure_of(
                report, argv[0], exit_codes, options.limits.memory_bytes, stderr.tail.text()
            ),
        )

    def _prepared(
        self,
        ctx: AttemptContext,
        options: ProcessOptions,
        argv: Sequence[str],
        stdin: bytes | None,
        directory: Path,
        extra: Mapping[str, str],
    ) -> Launch:
        self._check_directory(ctx, options, directory)
        scratch = environment.private_folder(ctx.workspace) / "tmp"
        try:
            scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            environment.write_input(ctx)
            self.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AttemptFailed(
                ErrorClass.RESOURCE, "start_failed", f"The workspace cannot be prepared: {error}."
            ) from error
        plan = self.confinement_of(options).plan(self.hidden, [ctx.workspace], scratch)
        variables = environment.environment(
            ctx, options.env_allow, {**plan.variables, **options.env, **extra}
        )
        return Launch(
            argv=argv,
            environment=variables,
            directory=directory,
            lock=self.locks / f"{ctx.task_id}.lock",
            stdin=stdin,
            task=str(ctx.task_id),
            attempt=ctx.attempt,
            grace=options.grace_seconds,
            limits=options.limits.of_processes(),
            records=plan.records,
        )

    def _check_directory(
        self, ctx: AttemptContext, options: ProcessOptions, directory: Path
    ) -> None:
        """A hidden directory would not exist for the agent, which would start somewhere else."""
        real = directory.resolve()
        own = real.is_relative_to(ctx.workspace.resolve())
        confined = self.confinement_of(options).name != "none"
        if confined and not own and any(real.is_relative_to(p.resolve()) for p in self.hidden):
            wrong = f"lies in Podium's data directory, which agents cannot see: {directory}"
        elif not directory.is_dir():
            wrong = f"does not exist on this worker: {directory}"
        else:
            return
        raise AttemptFailed(
            ErrorClass.AGENT,
            "directory_not_found",
            f"The working directory {wrong}.",
            hint="Create it, or correct cwd in the agent's configuration.",
        )


def _concluded(stdout: Collector, ended: AttemptFailed | None) -> Json:
    """What the agent said of its failure goes before what its end means."""
    failure = stdout.reported() or ended
    if failure is not None:
        stdout.discard()
        raise failure
    return stdout.output()
