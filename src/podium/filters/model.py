"""Saved filters and their events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from podium.events.model import EventType

EVENTS = (
    EventType(
        "filter.saved", "A filter of tasks was saved or changed.", {"name": "", "filter": ""}
    ),
    EventType("filter.deleted", "A saved filter was deleted.", {"name": ""}),
)


@dataclass(frozen=True, slots=True)
class SavedFilter:
    """Which tasks are meant, as it was sent, and how a list of them is sorted."""

    id: UUID
    name: str
    description: str
    filter: Mapping[str, Any]
    sort: str
    created_by: str
    updated_at: datetime
