"""Projects and their events."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from podium.events.model import EventType

DEFAULT = "default"

_SETTINGS = {
    "name": "",
    "weight": "",
    "priority_ageing": "seconds; null: priorities do not age",
    "keep_days": "days after which ended tasks are deleted; null: they are not",
    "keep_tasks": "ended tasks beyond which older ones are deleted; null: they are not",
}
EVENTS = (
    EventType("project.created", "A project was created.", _SETTINGS),
    EventType("project.updated", "A project was changed.", _SETTINGS),
    EventType("project.deleted", "A project was deleted.", {"name": ""}),
)


@dataclass(frozen=True, slots=True)
class Project:
    """A namespace. Its name and id never change.

    ``weight`` is its share of the workers beside other projects that have tasks to run. A task that
    waited for ``priority_ageing`` seconds counts as one step of priority higher; None: priorities
    do not age.
    """

    id: UUID
    name: str
    weight: float
    priority_ageing: float | None
    keep_days: float | None
    keep_tasks: int | None
    created_at: datetime
