"""Runs the agent of a claimed task: from its claim to how it ended."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import structlog

from podium.agents.runtime import AgentSpec, Dependency, RuntimeSet
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass, LeaseRanOut, TooLarge, Unavailable
from podium.kernel.redaction import beginning, redact_json
from podium.principals.credentials import attempt_token
from podium.scheduler.model import Claimed, Settlement
from podium.storage.artifacts import ArtifactStore
from podium.storage.database import Database
from podium.worker import faults, outcome, store
from podium.worker.attempt import Attempt, Parked
from podium.worker.kept import ArtifactLimits
from podium.worker.lease import LeaseClock
from podium.worker.reporter import Reporter

_log = structlog.get_logger(__name__)


class FoundIsolated(Protocol):
    """Has claims know whether an agent's attempts run in processes of their own."""

    async def __call__(self, agent_id: UUID, version: int, *, isolated: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What attempts of a worker are run with; filled by the composition root."""

    database: Database
    runtimes: RuntimeSet
    artifacts: ArtifactStore
    artifact_limits: ArtifactLimits
    agent_spec: Callable[[UUID, int], Awaitable[AgentSpec]]
    found_isolated: FoundIsolated
    project_name: Callable[[UUID], Awaitable[str]]
    workspaces: Path
    server_url: str
    max_output_bytes: int


class Executor:
    """Runs attempts for one incarnation of a worker."""

    def __init__(
        self, around: Surroundings, worker_id: UUID, lease: LeaseClock, reporter: Reporter
    ) -> None:
        self._around = around
        self._worker_id = worker_id
        self._lease = lease
        self._reporter = reporter

    def begin(self, claimed: Claimed) -> Attempt:
        """The attempt of a task that was claimed, which ``run`` runs."""
        around = self._around
        return Attempt(
            claimed,
            worker_id=self._worker_id,
            workspaces=around.workspaces,
            server_url=around.server_url,
            lease=self._lease,
            reporter=self._reporter,
            artifacts=around.artifacts,
            artifact_limits=around.artifact_limits,
            database=around.database,
        )

    async def run(self, attempt: Attempt) -> Settlement | None:
        """Run the agent; how the attempt ended, or None when its lease is gone. Its workspace is
        left to the caller."""
        if self._lease.expired():
            return None
        watches: list[asyncio.TimerHandle] = []
        try:
            await self._prepare(attempt)
            self._watch(attempt, watches)
            await self._isolate(attempt)
            return await self._run(attempt)
        except Parked as parked:
            return outcome.parked(attempt, parked.key)
        except asyncio.CancelledError:
            if attempt.stop_reason is None:
                raise
            return outcome.stopped(attempt)
        except AttemptFailed as error:
            if attempt.stop_reason:
                return outcome.stopped(attempt)
            if isinstance(error, LeaseRanOut):
                return outcome.released(attempt)
            return outcome.failed(attempt, error)
        except Unavailable as error:  # trouble of the database or the machine, not of the task
            faults.note("attempt", error)
            return outcome.released(attempt)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it must not end the worker
            _log.exception("attempt.crashed", task_id=str(attempt.task_id))
            return outcome.failed(attempt, _unexpected(error))
        finally:
            for watch in watches:
                watch.cancel()

    async def _prepare(self, attempt: Attempt) -> None:
        """Gather what the attempt needs."""
        around, claimed = self._around, attempt.claimed
        agent = await around.agent_spec(claimed.agent_id, claimed.agent_version)
        found: Mapping[str, Dependency] = {}
        if claimed.spec.get("depends"):
            found = await self._dependencies(claimed.task_id)
        attempt.equip(await around.project_name(claimed.project_id), agent, found)

    async def _dependencies(self, task_id: UUID) -> Mapping[str, Dependency]:
        try:
            rows = await store.dependencies(self._around.database, task_id)
        except TooLarge as error:  # the worker would need many times as much memory for them
            raise AttemptFailed(
                ErrorClass.INVALID_INPUT,
                "dependencies_too_large",
                error.message,
                hint="Hand large results on as artifacts, or let tasks in between sum them up.",
                detail={"limit_bytes": store.DEPENDENCIES_BYTES},
            ) from None
        return {row["name"]: _dependency(row) for row in rows}

    async def _run(self, attempt: Attempt) -> Settlement:
        runtime = self._around.runtimes[attempt.agent.runtime]
        output = await runtime.run(attempt)
        content = outcome.to_json(output)
        await outcome.check_output(attempt.claimed, content)
        if attempt.token:  # agents with one print their environment, now and then
            content = await asyncio.to_thread(redact_json, content)
        if len(content) > self._around.max_output_bytes:
            content = await self._as_artifact(attempt, content)
        return outcome.succeeded(attempt, content)

    async def _isolate(self, attempt: Attempt) -> None:
        """Give an attempt that runs in a process of its own a credential that ends with it."""
        runtime, config = self._around.runtimes[attempt.agent.runtime], attempt.agent.config
        claimed, isolated = attempt.claimed, await runtime.isolated(config)
        if isolated is not claimed.isolated:
            await self._around.found_isolated(
                claimed.agent_id, claimed.agent_version, isolated=isolated
            )
        if not isolated:
            return
        conditions = await runtime.conditions(config)
        attempt.token, secret_hash = attempt_token(attempt.task_id, attempt.attempt)
        await store.mark_isolated(
            self._around.database,
            self._worker_id,
            attempt.task_id,
            attempt.attempt,
            secret_hash,
            conditions["confinement"],
        )

    async def _as_artifact(self, attempt: Attempt, content: bytes) -> bytes:
        await attempt.artifact("output.json", content, "application/json")
        return outcome.to_json({"artifact": "output.json", "size": len(content)})

    def _watch(self, attempt: Attempt, watches: list[asyncio.TimerHandle]) -> None:
        """Set timers that stop the attempt when it runs or is silent for too long."""
        limits: Mapping[str, float | None] = attempt.claimed.spec.get("timeouts", {})
        if run := limits.get("run"):
            loop = asyncio.get_running_loop()
            watches.append(loop.call_later(run, attempt.stop, "run_timeout"))
        if silence := limits.get("heartbeat"):
            self._listen(attempt, silence, watches, len(watches))

    def _listen(
        self, attempt: Attempt, silence: float, watches: list[asyncio.TimerHandle], place: int
    ) -> None:
        """Look again when the attempt could first have been silent for too long."""
        left = attempt.last_sign + silence - boottime()
        if left <= 0:
            attempt.stop("heartbeat_timeout")
            return
        loop = asyncio.get_running_loop()
        watch = loop.call_later(left, self._listen, attempt, silence, watches, place)
        watches[place:] = [watch]


def _dependency(row: Mapping[str, Any]) -> Dependency:
    return Dependency(
        task_id=row["id"],
        state=row["outcome"] or "pending",
        output=row["output"],
        error=row["error"],
        queued_seconds=row["queued_seconds"],
        run_seconds=row["run_seconds"],
    )


def _unexpected(error: BaseException) -> AttemptFailed:
    kind = type(error).__name__
    return AttemptFailed(
        ErrorClass.UNKNOWN,
        "runtime_crashed",
        f"The runtime failed: {kind}: {beginning(str(error), 1000)}",
        hint="Have the function return or raise; it must not exit."
        if isinstance(error, SystemExit)
        else "This is a fault of the runtime's adapter, not of the agent; see the worker's log.",
    )
