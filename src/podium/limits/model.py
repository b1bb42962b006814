"""Limits and their events."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from podium.events.model import EventType
from podium.scheduler.model import Rate

PREFIX = "limit:"
"""Keys of gates of limits begin with it; then come the project's id and the limit's name."""

EVENTS = (
    EventType(
        "limit.updated",
        "A limit was set or changed.",
        {"name": "", "concurrency": "null: any number", "rate": "null: at any rate"},
    ),
    EventType("limit.deleted", "A limit was removed.", {"name": ""}),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """What is laid down for tasks that name the limit, or one of the family that ends in ``*``.

    ``used`` of them are ready or run and ``waiting`` wait for it now, of a family over all names.
    """

    id: UUID
    name: str
    concurrency: int | None
    rate: Rate | None
    used: int
    waiting: int
    updated_at: datetime


def gate_key(project_id: UUID, name: str) -> str:
    """The key of a limit's gate."""
    return f"{PREFIX}{project_id}:{name}"


def name_in(key: str) -> str:
    """The name of the limit in the key of its gate."""
    return key.split(":", 2)[2]
