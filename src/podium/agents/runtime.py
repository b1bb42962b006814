"""The runtime port: what an agent is to Podium. One adapter per kind of agent in ``runtimes/``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Stream = Literal["stdout", "stderr", "agent"]

MAX_COUNTS = 100
"""How many different things may be told that an attempt used, by the runtime or the agent."""

JSON_ONLY = (
    "Return plain values, dataclasses or pydantic models, not nested deeply; keys must be strings."
)
"""What to do about an output that cannot be written as JSON."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One version of an agent's definition, as an attempt was given it.

    ``config`` is the runtime's own configuration, already validated by the adapter's model.
    """

    name: str
    version: int
    runtime: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Health:
    """What a probe found. ``detail`` says what was tried and, when not ok, what to do."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Dependency:
    """A task that this one waited for: its state and, if it succeeded, its output.

    The seconds tell how long its last attempt waited to start and ran; None if it had none.
    """

    task_id: UUID
    state: str
    output: Json = None
    error: Mapping[str, Any] | None = None
    queued_seconds: float | None = None
    run_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said in a session: ``n`` counts from 1. ``kind`` is ``input`` (said to the
    agent, by ``author``), ``say`` or ``ask`` (said by it) or ``note`` (by Podium)."""

    n: int
    kind: str
    text: str
    data: Json = None
    author: str | None = None


class Conversation(Protocol):
    """What an interactive attempt is told and says.

    Inputs come one at a time, in their order; each is delivered until the agent asks for the next
    one, so that what an attempt was at when it was lost comes to the next attempt again. What the
    agent says returns at once and is durable soon after, before the attempt settles.
    """

    @property
    def earlier(self) -> Sequence[Said]:
        """The newest of what was said before this attempt began, without what is still to be
        answered; empty in a first one."""
        ...

    async def receive(self) -> Said | None:
        """The next input, or None when there will be none any more: the session was closed.

        Until it comes the session is idle, or waits for a person when ``ask`` was called last.
        """
        ...

    def give_back(self) -> None:
        """The input that was given last did not reach the agent."""
        ...

    def say(self, text: str, data: Json = None) -> None:
        """Say something."""
        ...

    def ask(self, text: str, data: Json = None) -> None:
        """Ask a person something; the next input answers it."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the agent is to stand still."""
        ...

    async def paused_is(self, wanted: bool) -> None:  # noqa: FBT001
        """Wait until ``paused`` is so."""
        ...


class Lease(Protocol):
    """Until when the worker may let its attempts run."""

    def deadline(self) -> float:
        """The moment on ``kernel.clock.boottime`` after which nothing may run; moves on renewal."""
        ...


class WorkerLease(Lease, Protocol):
    """The lease of a worker that may run attempts inside its own process."""

    stepping: "AttemptContext | None"
    """The attempt of which a step is under way inside this process."""
    steps: int
    """How many steps have begun so far."""

    def enter(self) -> None:
        """Something begins to run in this process, which must not outlast the lease."""
        ...

    def leave(self) -> None:
        """It has ended."""
        ...


class AttemptContext(Protocol):
    """What an attempt is given and where it reports.

    Reports are buffered and fenced by the worker: they return at once, never raise for a stale
    attempt, and are durable within 0.5 s or when the attempt settles.
    """

    task_id: UUID
    attempt: int
    project: str
    title: str
    input: Json
    labels: Mapping[str, str]
    agent: AgentSpec
    dependencies: Mapping[str, Dependency]
    """Keyed by the name that the task gave to the dependency, else by its id."""
    token: str
    """A credential for Podium's API that reaches this attempt only and ends with it."""
    traceparent: str | None
    """What spans of the agent belong below, as W3C writes it."""
    server_url: str

    @property
    def workspace(self) -> Path:
        """A directory for this attempt alone; removed by the worker after the attempt."""
        ...

    @property
    def lease(self) -> WorkerLease: ...

    @property
    def session(self) -> Conversation | None:
        """What is said in this session; None of a task that nobody talks to."""
        ...

    def log(self, text: str, stream: Stream = "agent") -> None:
        """Append output. ``text`` may hold several lines; it is stored as it is, redacted."""
        ...

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        """Say how far the work is: ``fraction`` from 0 to 1, or None when it cannot be known."""
        ...

    def usage(self, **counts: float) -> None:
        """Add to what the attempt consumed, for example ``input_tokens=120, cost_usd=0.004``: at
        most ``MAX_COUNTS`` different things."""
        ...

    def heartbeat(self) -> None:
        """Show life. Logs, progress and usage show it too."""
        ...

    async def artifact(
        self, name: str, content: bytes | Path, content_type: str = "application/octet-stream"
    ) -> None:
        """Keep a file with the task. A ``Path`` is read before this returns."""
        ...

    async def park(self, key: str) -> None:
        """Give up the slot until ``key`` is signalled; never returns. The next attempt resumes."""
        ...


class Runtime(Protocol):
    """Runs attempts of one kind of agent.

    Guarantees an adapter gives:

    * ``validate`` is pure and raises ``InvalidInput`` naming the field that is wrong.
    * ``restricted`` is pure and raises ``NeedsAdmin`` naming the field that lifts a guard.
    * ``probe`` takes at most 10 s, changes nothing and never raises for an unhealthy agent.
    * ``run`` returns the attempt's output (JSON) or raises ``AttemptFailed``.
    * When the task that awaits ``run`` is cancelled, everything that the attempt started has
      ended before ``run`` returns, within ``grace`` seconds of its configuration.
    * Nothing that the attempt started outlives ``ctx.lease.deadline()``, even if this process
      is stopped or killed. Of an attempt inside this process that is said of its own tasks, not
      of threads and processes that these begin.
    * While ``ctx.session.paused``, nothing that the attempt started goes on; an attempt inside this
      process comes to stand at its next step.
    * ``run`` keeps no state between attempts; one adapter serves many attempts at once.
    """

    name: str

    def validate(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The configuration with its defaults filled in."""
        ...

    def restricted(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """A validated configuration as it is kept for somebody without the scope ``admin``: with
        every guard that Podium has against what an agent may do to it."""
        ...

    def converses(self, config: Mapping[str, Any]) -> bool:
        """Whether agents with this validated configuration can be talked to, in sessions. Pure."""
        ...

    async def isolated(self, config: Mapping[str, Any]) -> bool:
        """Whether attempts run in processes of their own, which are given a credential. What must
        be loaded to know it is loaded; ``AttemptFailed`` as ``run`` would raise it if it cannot be.

        ``AttemptContext.token`` is empty for attempts inside the worker's process.
        """
        ...

    async def conditions(self, config: Mapping[str, Any]) -> Mapping[str, str]:
        """What is shown with an attempt of how it ran; at least ``confinement``."""
        ...

    async def probe(self, config: Mapping[str, Any]) -> Health:
        """Whether an attempt with this configuration could start on this machine now."""
        ...

    async def run(self, ctx: AttemptContext) -> Json:
        """Run one attempt to its end."""
        ...

    async def aclose(self) -> None:
        """Release what the adapter holds; called once, after the last ``run`` ended."""
        ...


@dataclass(frozen=True, slots=True)
class RuntimeSet:
    """The runtimes of this process by name. Filled by the composition root.

    ``confinement`` says how this machine confines the processes of agents.
    """

    by_name: Mapping[str, Runtime] = field(default_factory=dict[str, Runtime])
    confinement: str = "none"

    def __getitem__(self, name: str) -> Runtime:
        return self.by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self.by_name
