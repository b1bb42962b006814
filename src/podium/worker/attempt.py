"""One attempt in this worker: the context that its agent sees, and why it was told to stop."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn
from uuid import UUID

from podium.agents.runtime import AgentSpec, Dependency, Json, Stream
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass, Unavailable
from podium.kernel.redaction import MASK, redact_text
from podium.scheduler.model import Claimed, Progress
from podium.storage.artifacts import ArtifactStore
from podium.storage.database import Database
from podium.worker import store
from podium.worker.lease import LeaseClock
from podium.worker.reporter import Reporter
from podium.worker.store import LogLine

StopReason = Literal["cancelled", "run_timeout", "heartbeat_timeout", "released", "lease_lost"]

_MAX_LINE = 64 * 1024
_MAX_NAME = 255
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Parked(BaseException):
    """Unwinds an agent that gave up its slot; not an error, so agents do not catch it."""

    def __init__(self, key: str) -> None:
        self.key = key


class Attempt:
    """What ``agents.runtime.AttemptContext`` promises, for one claimed task."""

    def __init__(
        self,
        claimed: Claimed,
        *,
        worker_id: UUID,
        project: str,
        agent: AgentSpec,
        dependencies: Mapping[str, Dependency],
        workspace: Path,
        server_url: str,
        lease: LeaseClock,
        reporter: Reporter,
        artifacts: ArtifactStore,
        database: Database,
    ) -> None:
        self.claimed = claimed
        self.task_id = claimed.task_id
        self.attempt = claimed.attempt
        self.title = claimed.title
        self.input: Json = claimed.input
        self.labels: Mapping[str, str] = claimed.labels
        self.project = project
        self.agent = agent
        self.dependencies = dependencies
        self.server_url = server_url
        self.lease = lease
        self.token = ""
        self.spent: dict[str, float] = {}
        self.stop_reason: StopReason | None = None
        self.last_sign = boottime()
        self._worker_id = worker_id
        self._workspace = workspace
        self._reporter = reporter
        self._artifacts = artifacts
        self._database = database
        self._task: asyncio.Task[Any] | None = None

    @property
    def workspace(self) -> Path:
        """Made when it is first asked for: most attempts inside the worker need none."""
        self._workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._workspace

    @property
    def workspace_used(self) -> bool:
        return self._workspace.exists()

    def run_in(self, task: asyncio.Task[Any]) -> None:
        """The asyncio task that a request to stop cancels."""
        self._task = task
        if self.stop_reason:
            task.cancel()

    def stop(self, reason: StopReason) -> None:
        """Ask the attempt to end; the first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason
            if self._task:
                self._task.cancel()

    def log(self, text: str, stream: Stream = "agent") -> None:
        self.last_sign = boottime()
        clean = redact_text(text.replace("\x00", "\ufffd"))
        if self.token:
            clean = clean.replace(self.token, MASK)
        for start in range(0, len(clean), _MAX_LINE):
            piece = clean[start : start + _MAX_LINE]
            self._reporter.log(LogLine(self.task_id, self.attempt, stream, piece))

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        self.last_sign = boottime()
        if fraction is not None:
            fraction = min(max(fraction, 0.0), 1.0)
        clean = redact_text(note.replace("\x00", "\ufffd"))[:1000] if note else note
        self._reporter.progress(Progress(self.task_id, self.attempt, fraction, clean))

    def usage(self, **counts: float) -> None:
        self.last_sign = boottime()
        for name, count in counts.items():
            self.spent[name] = self.spent.get(name, 0) + count

    def heartbeat(self) -> None:
        self.last_sign = boottime()

    async def artifact(
        self, name: str, content: bytes | Path, content_type: str = "application/octet-stream"
    ) -> None:
        self.last_sign = boottime()
        if not name or len(name) > _MAX_NAME or _NOT_IN_NAMES.search(name):
            raise AttemptFailed(
                ErrorClass.AGENT,
                "artifact_name",
                f"An artifact's name must have 1 to {_MAX_NAME} characters, none of them a control "
                "character.",
            )
        if len(content_type) > _MAX_NAME or _NOT_IN_NAMES.search(content_type):
            raise AttemptFailed(
                ErrorClass.AGENT, "artifact_type", "An artifact's content type is no media type."
            )
        try:
            await self._keep(name, content, content_type)
        except Unavailable as error:
            raise AttemptFailed(
                ErrorClass.RESOURCE, "artifact_not_kept", error.message, hint=error.hint
            ) from error

    async def _keep(self, name: str, content: bytes | Path, content_type: str) -> None:
        stored = await self._artifacts.put(self.task_id, self.attempt, name, content)
        await store.record_artifact(
            self._database, self._worker_id, self.task_id, self.attempt, name, content_type, stored
        )

    async def park(self, key: str) -> NoReturn:
        raise Parked(key)
