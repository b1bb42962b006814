"""One attempt in this worker: the context that its agent sees, and why it was told to stop."""

import asyncio
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args
from uuid import UUID

from podium.agents.runtime import MAX_COUNTS, AgentSpec, Dependency, Json, Stream
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass, TooLarge, Unavailable
from podium.kernel.files import is_short
from podium.kernel.redaction import MASK, redact_text
from podium.limits.model import PREFIX as LIMITS
from podium.scheduler.gates import LANES
from podium.scheduler.model import Claimed, Progress
from podium.storage.artifacts import ArtifactStore, Stored
from podium.storage.database import Database
from podium.worker import faults, store, workspaces
from podium.worker.conversation import Talking
from podium.worker.kept import ArtifactLimits, Kept
from podium.worker.lease import LeaseClock
from podium.worker.reporter import Reporter
from podium.worker.store import LogLine
from podium.worker.text import MAX_NAME, clean, is_name

StopReason = Literal[
    "cancelled", "run_timeout", "heartbeat_timeout", "deadline_passed", "released", "lease_lost"
]

_MAX_LINE = 64 * 1024
_STREAMS = get_args(Stream)
_MAX_SPENT = 2.0**53
"""Beyond this, numbers in JSON are not exact."""


class Parked(BaseException):
    """Unwinds an agent that gave up its slot; not an error, so agents do not catch it."""

    def __init__(self, key: str) -> None:
        self.key = key


class Attempt:
    """What ``agents.runtime.AttemptContext`` promises, for one claimed task.

    Made when the task is claimed; ``equip`` gives it what had to be looked up before its agent sees
    it.
    """

    agent: AgentSpec
    project: str
    dependencies: Mapping[str, Dependency]
    session: Talking | None = None

    def __init__(
        self,
        claimed: Claimed,
        *,
        worker_id: UUID,
        workspaces: Path,
        server_url: str,
        lease: LeaseClock,
        reporter: Reporter,
        artifacts: ArtifactStore,
        artifact_limits: ArtifactLimits,
        database: Database,
    ) -> None:
        self.claimed = claimed
        self.task_id = claimed.task_id
        self.attempt = claimed.attempt
        self.title = claimed.title
        self.input: Json = claimed.input
        self.labels: Mapping[str, str] = claimed.labels
        self.server_url = server_url
        self.lease = lease
        self.token = ""
        self.traceparent: str | None = trace_of(claimed).get("traceparent")
        self.spent: dict[str, float] = {}
        self.stop_reason: StopReason | None = None
        self.last_sign = self.begun_at = boottime()
        self.is_equipped = False
        self.made_workspace: Path | None = None
        self._worker_id = worker_id
        self._workspaces = workspaces
        self._reporter = reporter
        self._artifacts = artifacts
        self._kept = Kept(artifact_limits)
        self._database = database
        self._task: asyncio.Task[Any] | None = None

    def equip(self, project: str, agent: AgentSpec, dependencies: Mapping[str, Dependency]) -> None:
        """Fill in what was looked up."""
        self.project = project
        self.agent = agent
        self.dependencies = dependencies
        self.is_equipped = True

    @property
    def workspace(self) -> Path:
        """Made when it is first asked for: most attempts inside the worker need none."""
        if self.made_workspace is None:
            made = workspaces.path(self._workspaces, self.task_id, self.attempt)
            try:
                workspaces.make(made)
            except OSError as error:
                if is_short(error):
                    raise Unavailable(f"The workspace cannot be made: {error}.") from error
                raise
            self.made_workspace = made
        return self.made_workspace

    def run_in(self, task: asyncio.Task[Any]) -> None:
        """The asyncio task that a request to stop cancels."""
        self._task = task

    def stop(self, reason: StopReason) -> None:
        """Ask the attempt to end; the first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason
            if self._task:
                self._task.cancel()

    def log(self, text: str, stream: Stream = "agent") -> None:
        self.last_sign = boottime()
        if stream not in _STREAMS:
            raise _wrong("log_stream", f"Output goes to {', '.join(_STREAMS)}.")
        shown = self.shown(text)
        for start in range(0, len(shown), _MAX_LINE):
            piece = shown[start : start + _MAX_LINE]
            self._reporter.log(LogLine(self.task_id, self.attempt, stream, piece))

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        self.last_sign = boottime()
        if fraction is not None:
            fraction = _number("progress", fraction)
            fraction = min(max(fraction, 0.0), 1.0)
        shown = redact_text(clean(note))[:1000] if note else None
        self._reporter.progress(Progress(self.task_id, self.attempt, fraction, shown))

    def usage(self, **counts: float) -> None:
        self.last_sign = boottime()
        for given, count in counts.items():
            name = str.__str__(given)  # JSON takes no subclasses, such as members of enums
            if not name or not is_name(name):
                raise _wrong("usage", f"What was used needs a name of 1 to {MAX_NAME} characters.")
            if name not in self.spent and len(self.spent) >= MAX_COUNTS:
                raise _wrong(
                    "usage",
                    f"An attempt may count {MAX_COUNTS} things, and no more.",
                    "Count several under one name.",
                )
            spent = self.spent.get(name, 0) + _number("usage", count)
            if abs(spent) > _MAX_SPENT:
                raise _wrong(
                    "usage",
                    f"So much of {name} cannot have been used: {spent:g}.",
                    "Tell what was used since the last call: all calls are added up.",
                )
            self.spent[name] = spent

    def heartbeat(self) -> None:
        self.last_sign = boottime()

    def shown(self, text: str) -> str:
        """The text without secrets, its own credential among them, as it can be kept."""
        shown = redact_text(clean(text))
        return shown.replace(self.token, MASK) if self.token else shown

    @property
    def at_rest(self) -> bool:
        """Whether it is a session whose agent waits for somebody, or stands still."""
        return self.session is not None and self.session.at_rest

    def silent_since(self) -> float:
        """When it gave its last sign of life; now, while none is to be expected."""
        if self.at_rest:
            self.heartbeat()
        return self.last_sign

    async def artifact(
        self, name: str, content: bytes | Path, content_type: str = "application/octet-stream"
    ) -> None:
        self.last_sign = boottime()
        if not name or not is_name(name):
            raise _wrong(
                "artifact_name",
                f"An artifact's name must have 1 to {MAX_NAME} characters, none of them a control "
                "character.",
            )
        if not is_name(content_type):
            raise _wrong(
                "artifact_type",
                "An artifact's content type is no media type.",
                "Write it as text/plain or application/json.",
            )
        stored = await self._keep(name, content)
        if not await self._record(name, content_type, stored):
            self.stop("lease_lost")  # the database gave the task to somebody else

    async def _keep(self, name: str, content: bytes | Path) -> Stored:
        async with self._kept.lock:
            most = self._kept.room(name)
            try:
                stored = await self._artifacts.put(self.task_id, self.attempt, name, content, most)
            except TooLarge:
                raise self._kept.too_large(name) from None
            except Unavailable as error:
                raise AttemptFailed(
                    ErrorClass.RESOURCE, "artifact_not_kept", error.message, hint=error.hint
                ) from error
            self._kept.add(name, stored.size)
            return stored

    async def _record(self, name: str, content_type: str, stored: Stored) -> bool:
        """Enter a kept file, tried again until the database answers or the lease is gone; False
        when the attempt does not count any more."""
        key = (self._worker_id, self.task_id, self.attempt)
        while True:
            try:
                return await store.record_artifact(self._database, *key, name, content_type, stored)
            except Unavailable as error:
                if self.lease.expired():
                    raise
                faults.note("artifact", error)
            await asyncio.sleep(faults.RETRY_SECONDS)
            self.last_sign = boottime()  # it is not the agent that is silent

    async def park(self, key: str) -> NoReturn:
        if not key or not is_name(key):
            raise _wrong("park_key", f"What is waited for needs 1 to {MAX_NAME} characters.")
        for prefix in (LIMITS, LANES):
            if key.startswith(prefix):
                raise _wrong("park_key", f"What is waited for cannot begin with {prefix!r}.")
        raise Parked(key)


def trace_of(claimed: Claimed) -> Mapping[str, Any]:
    """Where spans of a task's attempts belong: where a label says, else where it was submitted."""
    if "traceparent" in claimed.labels:
        return {"traceparent": claimed.labels["traceparent"]}
    return claimed.spec.get("trace", {})


def _number(of: str, value: Any) -> float:
    """``value`` as a number that JSON and PostgreSQL know, or ``AttemptFailed``."""
    known = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not known or not math.isfinite(value):
        raise _wrong(of, f"{value!r:.100} is no number.", "Give a finite int, float or Decimal.")
    return value if isinstance(value, int) else float(value)


def _wrong(code: str, message: str, hint: str | None = None) -> AttemptFailed:
    """What the agent's author did wrong, raised where he did it."""
    return AttemptFailed(ErrorClass.AGENT, code, message, hint=hint)
