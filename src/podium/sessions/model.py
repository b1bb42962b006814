"""Sessions, what is said in them, and their events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from podium.events.model import EventType
from podium.kernel.errors import Conflict

EVENTS = (
    EventType(
        "session.said",
        "Something was said in a session.",
        {
            "first": "Number of the first entry that is new.",
            "last": "Number of the last.",
            "kind": "What the last one is: input, say, ask or note.",
        },
    ),
    EventType(
        "session.changed",
        "A session began, its agent went on or came to wait, or it was paused. When its attempt is "
        "lost with its worker, `task.lost` tells that it is initialising; its end is told by "
        "`task.completed`, `task.failed`, `task.dead` or `task.cancelled`.",
        {"state": "initialising, idle, working or waiting", "paused": "Whether it is paused."},
    ),
    EventType(
        "session.closed", "Nothing more will be said to the agent of a session, which ends.", {}
    ),
)


class SessionEnded(Conflict):
    """The session has ended, or its agent has: nobody would hear what is said."""

    code = "session_ended"
    title = "Session has ended"
    advice = "Start another one: `podium session start`."


class SessionClosed(Conflict):
    """The session is closed: its agent answers what was said, and ends."""

    code = "session_closed"
    title = "Session is closed"
    advice = "Start another one: `podium session start`."


def transcript_channel(task_id: UUID) -> str:
    """Where it is told that something was said in a session."""
    return f"podium:transcript:{task_id}"


class SessionState(StrEnum):
    """What a session does. The last three are ends."""

    INITIALISING = "initialising"
    """Its agent has not begun: see why with `explain`."""
    IDLE = "idle"
    """The agent waits for the next input."""
    WORKING = "working"
    WAITING = "waiting"
    """The agent has asked a person something."""
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Begun:
    """What an attempt has to know of its session."""

    paused: bool
    closed: bool
    entries: int
    inputs: int
    answered: int
    idle_seconds: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a session stands for the attempt that serves it."""

    task_id: UUID
    inputs: int
    paused: bool
    closed: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A session that is locked, and where its task is.

    ``outcome`` is null until that has ended; ``over`` says that it is about to: the agent has ended
    for good, or is told to.
    """

    task_id: UUID
    project_id: UUID
    state: str
    paused: bool
    closed: bool
    entries: int
    inputs: int
    answered: int
    outcome: str | None
    over: bool
    worker_id: UUID | None


@dataclass(frozen=True, slots=True)
class Call:
    """An idempotency key that came with an input, and a hash of that."""

    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was said; ``n`` counts from 1 in each session."""

    n: int
    kind: str
    author: str | None
    attempt: int | None
    text: str
    data: Any
    at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A session with what is told of its task."""

    id: UUID
    project: str
    title: str
    agent: str | None
    queue: str
    state: SessionState
    paused: bool
    closed: bool
    entries: int
    unanswered: int
    idle_seconds: float | None
    labels: Mapping[str, str]
    attempt: int
    error: Mapping[str, Any] | None
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    changed_at: datetime
    worker_id: UUID | None
    worker_name: str | None
    worker_host: str | None


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions are meant; empty fields let everything pass."""

    states: tuple[SessionState, ...] = ()
    agent: str | None = None
    labels: Mapping[str, str] | None = None
