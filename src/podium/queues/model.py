"""Queues and their events."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from podium.events.model import EventType
from podium.scheduler.model import Rate

QueueState = Literal["open", "paused", "draining"]
Distribution = Literal["least_loaded", "round_robin", "weighted"]
MOST_COUNTED = 10_000
"""Queued tasks of a queue are counted so far: to count a million would take too long."""

EVENTS = (
    EventType(
        "queue.updated",
        "A queue was limited, paused, drained or opened.",
        {
            "name": "",
            "state": "",
            "concurrency": "null: no limit",
            "rate": "null: no limit",
            "distribution": "how tasks are shared out among agents",
        },
    ),
    EventType("queue.deleted", "What was laid down for a queue was removed.", {"name": ""}),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is laid down for a queue; None means no limit."""

    state: QueueState = "open"
    concurrency: int | None = None
    rate: Rate | None = None
    distribution: Distribution = "least_loaded"


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of a project, with how many of its tasks are ready (as far as they are counted) and
    how many run. One that nothing was laid down for has no ``id`` and was never changed."""

    name: str
    id: UUID | None
    rules: Rules
    queued: int
    running: int
    updated_at: datetime | None
