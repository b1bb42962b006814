"""Runs the agent of a claimed task: from its claim to how it ended."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import structlog

from podium.agents.runtime import AgentSpec, Dependency, RuntimeSet
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass, LeaseRanOut, Unavailable
from podium.kernel.redaction import beginning, redact_json
from podium.principals.credentials import attempt_token
from podium.scheduler.model import Claimed, Settlement
from podium.storage.artifacts import ArtifactStore
from podium.storage.database import Database
from podium.worker import faults, outcome, store
from podium.worker.attempt import Attempt, Parked
from podium.worker.conversation import Talks
from podium.worker.dependencies import Dependencies
from podium.worker.kept import ArtifactLimits
from podium.worker.lease import LeaseClock
from podium.worker.reporter import Reporter
from podium.worker.spans import traced

if TYPE_CHECKING:
    from podium.kernel.tracing import Tracing

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
    tracing: "Tracing | None" = None


class Executor:
    """Runs attempts for one incarnation of a worker."""

    def __init__(
        self,
        around: Surroundings,
        worker_id: UUID,
        lease: LeaseClock,
        reporter: Reporter,
        talks: Talks,
    ) -> None:
        self._around = around
        self._worker_id = worker_id
        self._lease = lease
        self._reporter = reporter
        self._talks = talks
        self._dependencies = Dependencies(around.database)

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

    def running(self, attempt: Attempt) -> Coroutine[Any, Any, Settlement | None]:
        """What ``run`` is, within a span where spans are sent somewhere."""
        tracing = self._around.tracing
        return traced(tracing, attempt, self.run) if tracing else self.run(attempt)

    async def run(self, attempt: Attempt) -> Settlement | None:
        """Run the agent; how the attempt ended, or None when its lease is gone. Its workspace is
        left to the caller."""
        if self._lease.expired():
            return None
        end: Settlement | None = None
        try:
            end = await self._judge(attempt)
        finally:
            if attempt.session is not None:
                how = None if end is None else end.how
                await self._talks.end(attempt.task_id, attempt.session, how)
        return end

    async def _judge(self, attempt: Attempt) -> Settlement | None:
        """Run the agent; what its end means."""
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
            found = await self._dependencies.of(claimed.task_id)
        if "session" in claimed.spec:
            attempt.session = await self._talks.begin(claimed.task_id, claimed.attempt, attempt)
            agent = replace(agent, config=_own_config(claimed) or agent.config)
        attempt.equip(await around.project_name(claimed.project_id), agent, found)

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
        if isolated is not claimed.isolated and _own_config(claimed) is None:
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
        if deadline := attempt.claimed.spec.get("deadline"):
            left = (datetime.fromisoformat(deadline) - datetime.now(UTC)).total_seconds()
            loop = asyncio.get_running_loop()
            watches.append(loop.call_later(left, attempt.stop, "deadline_passed"))
        if silence := limits.get("heartbeat"):
            self._listen(attempt, silence, watches, len(watches))

    def _listen(
        self, attempt: Attempt, silence: float, watches: list[asyncio.TimerHandle], place: int
    ) -> None:
        """Look again when the attempt could first have been silent for too long."""
        left = attempt.silent_since() + silence - boottime()
        if left <= 0:
            attempt.stop("heartbeat_timeout")
            return
        loop = asyncio.get_running_loop()
        watch = loop.call_later(left, self._listen, attempt, silence, watches, place)
        watches[place:] = [watch]


def _own_config(claimed: Claimed) -> Mapping[str, Any] | None:
    """The configuration that a session has of its own."""
    session: Mapping[str, Any] = claimed.spec.get("session", {})
    return session.get("config")


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
