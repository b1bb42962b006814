"""An attempt's context in memory, for suites of runtimes."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from podium.agents.runtime import (
    AgentSpec,
    AttemptContext,
    Dependency,
    Json,
    Said,
    Stream,
    WorkerLease,
)
from podium.kernel.clock import boottime


class TestLease:
    """A lease that lasts for ``seconds`` unless a test moves it."""

    __test__ = False

    def __init__(self, seconds: float = 300) -> None:
        self.until = boottime() + seconds
        self.inside = 0
        self.stepping: AttemptContext | None = None
        self.steps = 0

    def enter(self) -> None:
        self.inside += 1

    def leave(self) -> None:
        self.inside -= 1

    def deadline(self) -> float:
        return self.until


class RecordingConversation:
    """``Conversation`` that keeps what is said, in order, as (kind, text, data) in ``said``."""

    def __init__(self, *inputs: str, earlier: Sequence[Said] = (), closed: bool = True) -> None:
        self.earlier = earlier
        self.said: list[tuple[str, str, Json]] = []
        self.paused = False
        self._inputs = [Said(n, "input", each, {"n": n}) for n, each in enumerate(inputs, 1)]
        self._closed = closed
        self._changed = asyncio.Event()

    async def receive(self) -> Said | None:
        self.said.append(("receive", "", None))
        while not self._inputs:
            if self._closed:
                return None
            await self._changed.wait()
        return self._inputs.pop(0)

    def give_back(self) -> None:
        self.said.append(("give back", "", None))

    def say(self, text: str, data: Json = None) -> None:
        self.said.append(("say", text, data))

    def ask(self, text: str, data: Json = None) -> None:
        self.said.append(("ask", text, data))

    def pause(self, *, on: bool) -> None:
        self.paused = on
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    async def paused_is(self, wanted: bool) -> None:  # noqa: FBT001
        while self.paused is not wanted:
            await self._changed.wait()


@dataclass
class RecordingContext:
    """``AttemptContext`` that keeps what is reported, in order, as (kind, …) in ``reports``."""

    workspace: Path
    agent: AgentSpec
    input: Json = None
    task_id: UUID = field(default_factory=uuid4)
    attempt: int = 1
    project: str = "default"
    title: str = "a task"
    labels: Mapping[str, str] = field(default_factory=dict)
    dependencies: Mapping[str, Dependency] = field(default_factory=dict)
    token: str = "token-of-this-attempt"
    traceparent: str | None = None
    server_url: str = "http://127.0.0.1:1"
    lease: WorkerLease = field(default_factory=TestLease)
    reports: list[tuple[Any, ...]] = field(default_factory=list)
    artifacts: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    logged: int = 0
    session: "RecordingConversation | None" = None

    def log(self, text: str, stream: Stream = "agent") -> None:
        self.logged += len(text)
        self.reports += [("log", stream, line) for line in text.split("\n")]

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        self.reports.append(("progress", fraction, note))

    def usage(self, **counts: float) -> None:
        self.reports.append(("usage", counts))

    def heartbeat(self) -> None:
        self.reports.append(("heartbeat",))

    async def artifact(
        self, name: str, content: bytes | Path, content_type: str = "application/octet-stream"
    ) -> None:
        data = content if isinstance(content, bytes) else content.read_bytes()  # noqa: ASYNC240
        self.artifacts[name] = (data, content_type)

    async def park(self, key: str) -> None:
        raise ParkedForTest(key)

    def lines(self, stream: Stream | None = None) -> list[str]:
        """Logged lines, of one stream or of all."""
        return [r[2] for r in self.reports if r[0] == "log" and stream in (None, r[1])]


class ParkedForTest(BaseException):
    """What ``park`` raises: like the worker's own it is no ``Exception``."""


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for ``condition``, which no event announces."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        await asyncio.sleep(0.01)
