"""Records of what was applied, and their event."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from podium.events.model import EventType
from podium.principals.model import Scope

EVENTS = (
    EventType(
        "set.applied",
        "Which things belong to a set of files was changed.",
        {"set": "", "added": "", "removed": ""},
    ),
)


class Kind(StrEnum):
    """What files can describe."""

    PROJECT = "Project"
    AGENT = "Agent"
    QUEUE = "Queue"
    LIMIT = "Limit"
    TEMPLATE = "Template"
    SCHEDULE = "Schedule"
    FILTER = "Filter"


READS: Mapping[Kind, Scope] = {
    Kind.PROJECT: "projects:read",
    Kind.AGENT: "agents:read",
    Kind.QUEUE: "queues:read",
    Kind.LIMIT: "limits:read",
    Kind.TEMPLATE: "templates:read",
    Kind.SCHEDULE: "schedules:read",
    Kind.FILTER: "tasks:read",
}
WRITES: Mapping[Kind, Scope] = {
    Kind.PROJECT: "projects:write",
    Kind.AGENT: "agents:write",
    Kind.QUEUE: "queues:write",
    Kind.LIMIT: "limits:write",
    Kind.TEMPLATE: "templates:write",
    Kind.SCHEDULE: "schedules:write",
    Kind.FILTER: "tasks:write",
}
"""Who may change a thing may say to which set it belongs: what prunes the set deletes it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A thing: for one of kind ``Project`` the project is itself."""

    project: str
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Applied:
    """That a thing belongs to a set. ``fields`` holds a digest of each field as it was applied."""

    project_id: UUID
    project: str
    kind: str
    name: str
    set: str
    fields: Mapping[str, str]
    applied_by: str
    applied_at: datetime
