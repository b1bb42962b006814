"""Projects and their events."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from podium.events.model import EventType

DEFAULT = "default"

EVENTS = (
    EventType("project.created", "A project was created.", {"name": "", "weight": ""}),
    EventType("project.updated", "A project's weight was changed.", {"name": "", "weight": ""}),
    EventType("project.deleted", "A project was deleted.", {"name": ""}),
)


@dataclass(frozen=True, slots=True)
class Project:
    """A namespace. Its name and id never change.

    ``weight`` is its share of the workers beside other projects that have tasks to run.
    """

    id: UUID
    name: str
    weight: float
    created_at: datetime
