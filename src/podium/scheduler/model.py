"""What the scheduler handles. Durations are seconds."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from podium.events.model import EventType
from podium.kernel.fields import IN_SECONDS

DependencyPolicy = Literal["cancel", "run", "hold"]
Backoff = Literal["fixed", "linear", "exponential", "fibonacci"]
ENDED = frozenset({"succeeded", "failed", "cancelled", "dead"})


class TaskState(StrEnum):
    """Where a task is. The last four are ends."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


class RetryPolicy(BaseModel):
    """When a failed attempt is followed by another one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    max_retries: int = Field(default=0, ge=0, le=1000, description="Attempts after the first.")
    backoff: Backoff = Field(default="exponential", description="How the wait grows.")
    initial: Annotated[float, Field(ge=0, le=86400), IN_SECONDS] = Field(
        default=1.0, description="First wait in seconds."
    )
    factor: float = Field(default=2.0, ge=1, le=100, description="Growth of exponential backoff.")
    max_delay: Annotated[float, Field(ge=0, le=604800), IN_SECONDS] = Field(
        default=300.0, description="Longest wait, seconds."
    )
    jitter: float = Field(
        default=0.2, ge=0, le=1, description="Share of the wait that is random, so peers spread."
    )

    def delay(self, failures: int) -> float:
        """Seconds to wait after this many failures (at least 1) before the next attempt."""
        match self.backoff:
            case "fixed":
                wait = self.initial
            case "linear":
                wait = self.initial * failures
            case "exponential":
                wait = self.initial * self.factor ** min(failures - 1, 1000)
            case "fibonacci":
                wait = self.initial * _fibonacci(failures)
        wait = min(wait, self.max_delay)
        return wait * (1 - self.jitter * random.random())  # noqa: S311 - spreading, not secrecy


def _fibonacci(n: int) -> int:
    a, b = 1, 1
    for _ in range(min(n, 90) - 1):
        a, b = b, a + b
    return a


_Limit = Annotated[float, Field(gt=0, le=31536000), IN_SECONDS]


class Timeouts(BaseModel):
    """How long a task may wait, run and be silent; None means no limit."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    queue: _Limit | None = Field(default=None, description="Seconds until it must have started.")
    run: _Limit | None = Field(default=None, description="Seconds that one attempt may run.")
    heartbeat: _Limit | None = Field(
        default=None, description="Seconds that an attempt may be silent."
    )


def _count(fields: dict[str, Any]) -> int:
    return fields.get("count", 1)


class Rate(BaseModel):
    """How fast tasks may start: ``count`` of them in ``seconds``, evenly, and up to ``burst`` at
    once after a pause."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    count: int = Field(ge=1, le=1_000_000, description="So many tasks may start …")
    seconds: Annotated[float, Field(ge=0.001, le=2_592_000), IN_SECONDS] = Field(
        default=1.0, description="… in so many seconds."
    )
    burst: int = Field(
        default_factory=_count,
        ge=1,
        le=1_000_000,
        description="So many of them at once; unset: `count`.",
    )


def rate_of(row: Any) -> Rate | None:
    """The rate in a row's ``rate_count``, ``rate_seconds`` and ``rate_burst``."""
    if row["rate_count"] is None:
        return None
    return Rate(count=row["rate_count"], seconds=row["rate_seconds"], burst=row["rate_burst"])


def rate_values(rate: Rate | None) -> Mapping[str, float | None]:
    """The columns of a row that keep a rate."""
    return {
        "rate_count": rate.count if rate else None,
        "rate_seconds": rate.seconds if rate else None,
        "rate_burst": rate.burst if rate else None,
    }


def rate_text(rate: Rate) -> str:
    """A rate as part of a sentence: 10 tasks in 30 s."""
    count = "1 task" if rate.count == 1 else f"{rate.count} tasks"
    return f"{count} {'a second' if rate.seconds == 1 else f'in {rate.seconds:g} s'}"


TALKS = "session:"
"""A capability of agents that can be talked to, for which sessions ask. People cannot give it, as
no word holds a colon, and are not shown it."""


def shown_capabilities(names: Iterable[str]) -> list[str]:
    """Those of the capabilities that people gave."""
    return [name for name in names if name != TALKS]


@dataclass(frozen=True, slots=True)
class Demand:
    """Which agents may run a task: one by id, or any that has all these capabilities; of these the
    one that it ``prefers``, as long as that is enabled and healthy."""

    project_id: UUID
    queue: str
    agent_id: UUID | None
    capabilities: tuple[str, ...] = ()
    prefers: UUID | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """Units that a task takes of a gate while it runs."""

    gate: str
    units: int = 1


@dataclass(frozen=True, slots=True)
class Edge:
    """A task that must end first, and the name under which its output is given."""

    depends_on: UUID
    name: str


class NewTask(NamedTuple):
    """A task about to be submitted. ``input`` and ``spec`` are JSON texts."""

    id: UUID
    project_id: UUID
    lane_id: int
    queue: str
    title: str
    input: str
    spec: str
    created_by: str
    priority: int = 0
    labels: str = "{}"
    start_at: datetime | None = None
    queue_timeout: float | None = None
    deadline: datetime | None = None
    dependencies: tuple[Edge, ...] = ()
    on_dependency_failure: DependencyPolicy = "cancel"
    limits: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True)
class CallKey:
    """An idempotency key and the hash of the request that it came with."""

    project_id: UUID
    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class SubmitCall:
    """Tasks that are accepted together or not at all."""

    tasks: Sequence[NewTask]
    key: CallKey | None = None


class Submitted(NamedTuple):
    """The ids of a call's tasks, or those of the first time its key came, and when that was
    committed (of a key that came again: the time of asking)."""

    ids: list[UUID]
    at: datetime


class Claimed(NamedTuple):
    """A task that a worker was given, with the attempt that fences all it will write."""

    task_id: UUID
    attempt: int
    failures: int
    losses: int
    project_id: UUID
    title: str
    labels: Mapping[str, str]
    input: Any
    spec: Mapping[str, Any]
    agent_id: UUID
    agent_version: int
    isolated: bool
    """Whether it counts as a process of its own; the worker may find that it is none."""
    queued_at: datetime


class Claims(NamedTuple):
    """What a claim gave, whether any ready task may be left, and whether starts were used that come
    back with time."""

    tasks: list[Claimed]
    leaves: bool
    rated: bool


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that a worker is believed to run."""

    task_id: UUID
    attempt: int
    cancel: Mapping[str, Any] | None


How = Literal["succeeded", "failed", "cancelled", "dead", "retry", "released", "parked"]


class Settlement(NamedTuple):
    """How an attempt ended. ``output``, ``error`` and ``usage`` are JSON texts."""

    task_id: UUID
    attempt: int
    how: How
    output: str | None = None
    error: str | None = None
    delay: float | None = None
    park_key: str | None = None
    usage: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an attempt says it is."""

    task_id: UUID
    attempt: int
    fraction: float | None
    note: str | None


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """One incarnation of a worker process; a new start is a new id."""

    id: UUID
    name: str
    host: str
    pid: int
    version: str
    concurrency: int
    processes: int
    queues: tuple[str, ...]
    runtimes: tuple[str, ...]
    confinement: str | None


EVENTS = (
    EventType("task.created", "A task was accepted.", {"title": "", "priority": "", "state": ""}),
    EventType(
        "task.queued",
        "A task that was held became ready to run.",
        {"after": "what it waited for: delay, retry or dependencies", "gate": "the gate, if one"},
    ),
    EventType(
        "task.held",
        "A ready task gave back what it held of its limits, as its queue is paused or no agent can "
        "run it.",
        {"gate": "where it waits: lane: and a number"},
    ),
    EventType(
        "task.started", "An attempt began.", {"attempt": "", "agent_id": "", "worker_id": ""}
    ),
    EventType(
        "task.progress",
        "An attempt said how far it is.",
        {"attempt": "", "fraction": "", "note": ""},
    ),
    EventType("task.waiting", "A task gave up its slot.", {"attempt": "", "waits_for": "a gate"}),
    EventType(
        "task.retrying",
        "An attempt failed and another one will follow.",
        {"attempt": "", "error": "", "retry_in": "seconds"},
    ),
    EventType("task.released", "A stopping worker handed a task back.", {"attempt": ""}),
    EventType("task.lost", "The worker of an attempt died.", {"attempt": "", "worker_id": ""}),
    EventType("task.completed", "A task succeeded.", {"attempt": ""}),
    EventType("task.failed", "A task failed and is not retried.", {"attempt": "", "error": ""}),
    EventType("task.dead", "A task used up its retries or losses.", {"attempt": "", "error": ""}),
    EventType(
        "task.cancelling", "A running task was asked to stop.", {"attempt": "", "reason": ""}
    ),
    EventType("task.cancelled", "A task was cancelled.", {"attempt": "", "error": ""}),
    EventType(
        "task.redriven",
        "An ended task was given another life.",
        {"attempt": "the last one", "state": "pending or queued"},
    ),
    EventType("task.updated", "A waiting task was edited.", {"fields": "what was changed"}),
    EventType("task.deleted", "An ended task was deleted, with all but its events.", {}),
    EventType("worker.started", "A worker began to serve.", {"name": "", "host": ""}),
    EventType("worker.stopped", "A worker ended in order.", {"name": "", "host": ""}),
    EventType("worker.lost", "A worker stopped renewing its lease.", {"name": "", "host": ""}),
)
