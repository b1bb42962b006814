"""The ``function`` runtime: an agent is a Python function installed beside the worker.

Async functions run inside the worker. Sync functions run in a process of their own, because a
thread can be neither stopped nor ended with its lease.
"""

import asyncio
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from podium.agents.runtime import AttemptContext, Health, Json
from podium.agents.runtimes.functions import (
    Function,
    check_reference,
    failure_of,
    is_entry_point,
    to_json,
)
from podium.agents.runtimes.hosting import Host
from podium.agents.runtimes.imports import Imports
from podium.agents.runtimes.inline import CancelIgnored, InlineContext, LeaseExpired, run_leased
from podium.agents.runtimes.options import ProcessOptions, restricted, validated
from podium.agents.runtimes.outcome import wall_limit
from podium.agents.runtimes.talk import Session, Talk
from podium.agents.runtimes.trial import is_async, python_path
from podium.kernel.errors import AttemptFailed, ErrorClass, LeaseRanOut, Unavailable

_HOST_MODULE = "podium.agents.runtimes.function_host"
_BY_MESSAGES = Session(input="events")
_REMEMBERED = 1000
_PROBE_SECONDS = 8.0


class FunctionConfig(ProcessOptions):
    """Configuration of a function agent. Process options count only outside the worker."""

    function: str = Field(
        min_length=1,
        max_length=500,
        description="An entry point of the group podium.functions, or module:function.",
    )
    isolation: Literal["auto", "inline", "process"] = Field(
        default="auto",
        description="Where it runs: inline in the worker (async functions only) or in a process "
        "of its own. auto: async functions inline, others in a process.",
    )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A configuration, and its function if that runs inside the worker."""

    source: Mapping[str, Any]
    config: FunctionConfig
    inline: Function | None


class FunctionRuntime:
    """Runs Python functions: ``fn(input)`` or ``fn(input, ctx)``, see ``functions``."""

    name = "function"

    def __init__(self, host: Host, allowed_modules: Sequence[str] = ()) -> None:
        self._host = host
        self._allowed = tuple(allowed_modules)
        self._imports = Imports()
        self._known: dict[tuple[str, str, int], _Prepared] = {}
        self._loaded: dict[str, Function] = {}

    def validate(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The configuration with its defaults; ``InvalidInput`` names the field that is wrong.

        Whether the function exists is for ``probe`` to say: other machines may have it.
        """
        parsed = validated(FunctionConfig, config, self.name)
        check_reference(parsed.function, self._allowed)
        return parsed.model_dump(mode="json")

    def restricted(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The configuration without an administrator's powers; see ``options.restricted``."""
        return restricted(FunctionConfig.model_validate(config)).model_dump(mode="json")

    def converses(self, config: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Every function may ask its context for inputs."""
        return True

    async def isolated(self, config: Mapping[str, Any]) -> bool:
        """Whether it runs in a process; ``auto`` imports the function to know."""
        match config.get("isolation", "auto"):
            case "auto":
                return not (await self._load(config["function"])).is_async
            case isolation:
                return isolation == "process"

    async def conditions(self, config: Mapping[str, Any]) -> Mapping[str, str]:
        """Under which confinement an attempt runs."""
        if await self.isolated(config):
            return self._host.conditions(FunctionConfig.model_validate(config))
        detail = "none: the function runs inside the worker"
        return {"confinement": "none", "confinement_detail": detail}

    async def probe(self, config: Mapping[str, Any]) -> Health:
        """Import the function in a process of its own, confined as an attempt would be: this may
        be the API's process, which no agent's code is to enter."""
        parsed = FunctionConfig.model_validate(config)
        refusal = self._host.refusal(parsed)
        if refusal and parsed.isolation == "process":
            return Health(ok=False, detail=refusal)
        try:
            found_async = await is_async(
                self._host, parsed, parsed.function, self._prefixes(parsed), _PROBE_SECONDS
            )
            inline = _runs_inline(parsed, is_async=found_async)
        except AttemptFailed as failure:
            message = failure.message if failure.message.endswith(".") else f"{failure.message}."
            detail = f"{message} {failure.hint or ''}".strip()
            if failure.error_class is ErrorClass.TIMEOUT:
                detail = (
                    f"Importing {parsed.function} takes longer than {_PROBE_SECONDS:g} seconds."
                )
            return Health(ok=False, detail=detail)
        if refusal and not inline:
            return Health(ok=False, detail=refusal)
        place = "inside the worker" if inline else "as a process"
        return Health(ok=True, detail=f"{parsed.function} was found and runs {place}.")

    async def run(self, ctx: AttemptContext) -> Json:
        """Run the function to its end; see the port."""
        agent = ctx.agent
        prepared = self._known.get((ctx.project, agent.name, agent.version))
        if prepared is None or prepared.source != agent.config:
            prepared = await self._prepare(ctx)
        if prepared.inline is None:
            return await self._run_as_process(ctx, prepared.config)
        return await _run_inline(ctx, prepared.config, prepared.inline)

    async def aclose(self) -> None:
        """Nothing is held between attempts."""

    async def _prepare(self, ctx: AttemptContext) -> _Prepared:
        config = FunctionConfig.model_validate(ctx.agent.config)
        function = None
        if config.isolation != "process":
            loaded = await self._load(config.function)
            if _runs_inline(config, is_async=loaded.is_async):
                function = loaded
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        prepared = _Prepared(dict(ctx.agent.config), config, function)
        self._known[ctx.project, ctx.agent.name, ctx.agent.version] = prepared
        return prepared

    async def _load(self, reference: str) -> Function:
        """The function, imported in this process once."""
        found = self._loaded.get(reference)
        if found is None:
            found = await self._imports.load(reference, self._allowed)
            if len(self._loaded) >= _REMEMBERED:
                self._loaded.clear()
            self._loaded[reference] = found
        return found

    async def _run_as_process(self, ctx: AttemptContext, config: FunctionConfig) -> Json:
        # -P and PYTHONPATH: the same modules as here, and none from the attempt's workspace.
        host = (sys.executable, "-P", "-m", _HOST_MODULE)
        talk = None if ctx.session is None else Talk(ctx.session, _BY_MESSAGES, asks_first=True)
        return await self._host.run(
            ctx,
            config,
            argv=(*host, config.function, *self._prefixes(config)),
            stdin=None,
            directory=ctx.workspace,
            output="events",
            exit_codes={},
            extra=python_path(),
            talk=talk,
        )

    def _prefixes(self, config: FunctionConfig) -> Sequence[str]:
        """The modules that a child may load the function from; entry points need none."""
        return () if is_entry_point(config.function) else self._allowed


def _runs_inline(config: FunctionConfig, *, is_async: bool) -> bool:
    """Whether it runs inside the worker; ``AttemptFailed`` if it should but cannot."""
    if config.isolation == "inline" and not is_async:
        raise AttemptFailed(
            ErrorClass.AGENT,
            "function_not_async",
            f"{config.function} is not async, so it cannot run inside the worker.",
            hint='Make it an async function, or set "isolation" to "auto" or "process".',
        )
    return is_async and config.isolation != "process"


async def _run_inline(ctx: AttemptContext, config: FunctionConfig, function: Function) -> Json:
    limit = config.limits.wall_seconds
    try:
        coroutine = function(ctx.input, lambda: InlineContext(ctx))
        leased = run_leased(coroutine, ctx, config.grace_seconds)
        return to_json(await (leased if limit is None else _bounded(leased, limit)))
    except LeaseExpired:
        raise LeaseRanOut from None
    except CancelIgnored:
        raise AttemptFailed(
            ErrorClass.AGENT,
            "cancel_ignored",
            f"The function went on for {config.grace_seconds:g} seconds after it was cancelled.",
            hint="Let CancelledError through, clean up faster, or raise grace_seconds.",
        ) from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise AttemptFailed(
            ErrorClass.AGENT,
            "exception",
            "The function cancelled itself.",
            hint="Catch CancelledError of what it cancels, or raise another exception.",
        ) from None
    except Unavailable:  # what the context could not do is no fault of the function
        raise
    except Exception as error:
        raise failure_of(error) from error


async def _bounded(leased: Coroutine[Any, Any, Any], seconds: float) -> Any:
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            return await leased
    except TimeoutError:
        if timer.expired():
            raise wall_limit(seconds) from None
        raise
