"""Runs an attempt as a confined, supervised process: what command and function agents share."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from podium.agents.runtime import AttemptContext, Json
from podium.agents.runtimes import environment
from podium.agents.runtimes.artifacts import Reach
from podium.agents.runtimes.collect import Collector, LogSink, OutputMode, collector
from podium.agents.runtimes.confinement import Confinement, NoConfinement
from podium.agents.runtimes.launch import Launch
from podium.agents.runtimes.lines import LineRule
from podium.agents.runtimes.options import ProcessOptions
from podium.agents.runtimes.outcome import failure_of, not_begun
from podium.agents.runtimes.output import Allowance
from podium.agents.runtimes.supervise import supervise
from podium.agents.runtimes.talk import Talk
from podium.kernel import open_files
from podium.kernel.errors import AttemptFailed, ErrorClass

_MAKE_CONFINABLE = (
    "Install bubblewrap there, have somebody with the scope admin register the agent, or let all "
    "agents run unconfined by PODIUM_CONFINEMENT=none."
)


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
            return NoConfinement("chosen in the agent's configuration", chosen=True)
        return self.confinement

    def refusal(self, options: ProcessOptions) -> str | None:
        """Why an agent with these options must not run on this machine, or None."""
        found = self.confinement
        if options.confinement != "required":
            return None
        if isinstance(found, NoConfinement) and not found.chosen:
            return f"This agent runs only confined, which this machine cannot do ({found.reason})."
        return None

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
        rules: Sequence[LineRule] = (),
        talk: Talk | None = None,
    ) -> Json:
        """Run ``argv`` for this attempt and make its output of what it wrote. In a session its
        standard input is for ``talk``."""
        launch = await asyncio.to_thread(
            self._prepared, ctx, options, argv, stdin, directory, extra or {}
        )
        launch = replace(launch, inlet=talk is not None)
        allowance = Allowance(options.limits.output_bytes)
        if talk is not None:
            talk.at_each_turn(allowance.renew)  # a session may last for days
        reach = Reach(directory, ctx.workspace, self.hidden)
        stdout = collector(output, ctx, allowance, reach, rules, talk)
        stderr = LogSink(ctx, "stderr", allowance)
        report = await supervise(
            launch, ctx.lease, stdout, stderr, options.limits.wall_seconds, talk
        )
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
        if refusal := self.refusal(options):
            raise AttemptFailed(
                ErrorClass.RESOURCE, "confinement_unavailable", refusal, hint=_MAKE_CONFINABLE
            )
        self._check_directory(ctx, options, directory)
        try:
            scratch = environment.private_folder(ctx.workspace) / "tmp"
            scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            environment.write_input(ctx)
            self.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise not_begun("The workspace cannot be prepared", error) from error
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
            limits={"soft_open_files": open_files.inherited(), **options.limits.of_processes()},
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
