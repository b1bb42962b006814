"""Events as clients see them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from podium.events import model


class Event(BaseModel):
    """One thing that happened."""

    cursor: str = Field(description="Its place in the feed; reading goes on after it.")
    at: datetime
    project: str | None = Field(description="Name of the project it belongs to, if to one.")
    type: str = Field(examples=["task.completed"])
    version: int = Field(description="Version of the type's data.")
    subject: UUID = Field(description="Id of what it happened to.")
    actor: str | None = Field(description="Who did it, when it was somebody.")
    data: Mapping[str, Any]

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "cursor": "1.7312.88041",
                    "at": "2026-11-02T09:30:00.120000Z",
                    "project": "default",
                    "type": "task.completed",
                    "version": 1,
                    "subject": "0199a4a2-6c1e-7d3f-9a55-0f6a4a6f2f10",
                    "actor": None,
                    "data": {"attempt": 1},
                }
            ]
        }
    }


class EventList(BaseModel):
    """Events in order."""

    items: list[Event]
    next: str | None = Field(
        description="Cursor to go on from; null at the end of a task's history."
    )


def event_view(event: model.Event, project: str | None) -> Event:
    """The event with the name of its project."""
    return Event.model_construct(
        cursor=str(event.cursor),
        at=event.at,
        project=project,
        type=event.type,
        version=event.version,
        subject=event.subject,
        actor=event.actor,
        data=event.data,
    )
