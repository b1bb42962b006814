"""Templates, their versions and their events."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from podium.events.model import EventType
from podium.kernel.errors import Conflict
from podium.kernel.json_text import same_json

EVENTS = (
    EventType(
        "template.created",
        "A template was made, or a built-in one was given a version of the project's own.",
        {"name": "", "version": ""},
    ),
    EventType(
        "template.updated",
        "A template was given another version.",
        {"name": "", "version": "", "fields": "what was changed"},
    ),
    EventType(
        "template.deleted",
        "A template was deleted, or is as it is built in again; its tasks stay.",
        {"name": ""},
    ),
)


class NeedsApproval(Conflict):
    """Tasks of the template need an approval, which cannot be asked for yet."""

    code = "needs_approval"
    title = "Needs an approval"
    advice = "Choose another version of the template."


@dataclass(frozen=True, slots=True)
class Definition:
    """What a template is. A version of one never changes.

    ``parameters`` is the JSON Schema of an object, ``defaults`` come before those of the schema,
    ``task`` is a ``TaskBase`` as it was given.
    """

    prompt: str
    task: Mapping[str, Any]
    description: str = ""
    parameters: Mapping[str, Any] = field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    requires_approval: bool = False


FIELDS = tuple(each.name for each in fields(Definition))


@dataclass(frozen=True, slots=True)
class Made:
    """When and by whom something of a project was made."""

    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Template:
    """A version of a template, as a project has it.

    ``id`` is None for what is built in and not the project's own. ``built_in`` is the version that
    Podium itself has under the name, and ``based_on`` the one that the project's began with.
    """

    id: UUID | None
    name: str
    version: int
    definition: Definition
    built_in: int | None = None
    based_on: int | None = None
    made: Made | None = None


def differences(before: Definition, after: Definition) -> list[str]:
    """The names of the fields that differ."""
    return [name for name in FIELDS if not same_json(getattr(before, name), getattr(after, name))]
