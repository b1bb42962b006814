"""Events and the cursor that orders them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from podium.kernel.errors import InvalidInput, RateLimited

_CURSOR_TEXT = re.compile(r"([0-9]{1,5})\.([0-9]{1,19})\.([0-9]{1,19})")
_MOST = (2**15 - 1, 2**63 - 1, 2**63 - 1)
_TYPE_PATTERN = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)*(\.\*)?")


class TooManyStreams(RateLimited):
    """The server serves as many streams as it may, in all or to the principal."""

    code = "too_many_streams"
    title = "Too many open streams"
    advice = "Close streams, or wait for `Retry-After` seconds."


class Cursor(NamedTuple):
    """A place in the feed. Ordered; an epoch begins when a database is restored or promoted.

    Not every cursor is an event's: a reader that saw nothing for a while moves on all the same.
    """

    epoch: int
    xid: int
    id: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.xid}.{self.id}"

    @classmethod
    def parse(cls, text: str, field: str = "after") -> Self:
        """Read a cursor as ``str`` wrote it; ``InvalidInput`` about ``field`` for anything else."""
        if match := _CURSOR_TEXT.fullmatch(text):
            cursor = cls(*(int(part) for part in match.groups()))
            if all(part <= most for part, most in zip(cursor, _MOST, strict=True)):
                return cursor
        raise InvalidInput(
            f"{text[:80]!r} is no event cursor.",
            hint="Pass the cursor of an event you received, such as 1.7312.88041.",
            field=field,
        )


BEGINNING = Cursor(0, 0, 0)
END = Cursor(*_MOST)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``subject`` is the id of what it happened to."""

    cursor: Cursor
    at: datetime
    project_id: UUID | None
    type: str
    version: int
    subject: UUID
    actor: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be written."""

    type: str
    subject: UUID
    project_id: UUID | None = None
    actor: str | None = None
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class EventType:
    """What an event of a type tells. ``data`` names its fields and what they hold."""

    name: str
    description: str
    data: Mapping[str, str]
    version: int = 1


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a reader wants. Empty fields let everything pass.

    ``types`` are names or prefixes that end in ``.*``; ``projects`` None means all projects and
    the events that belong to none.
    """

    projects: frozenset[UUID] | None = None
    types: tuple[str, ...] = ()
    subjects: frozenset[UUID] = frozenset()

    def __post_init__(self) -> None:
        for name in self.types:
            if not _TYPE_PATTERN.fullmatch(name):
                raise InvalidInput(
                    f"{name[:80]!r} is no event type.",
                    hint="Pass a type such as task.completed, or a prefix such as task.*.",
                    field="type",
                )

    def matches(self, event: Event) -> bool:
        if self.projects is not None and event.project_id not in self.projects:
            return False
        if self.subjects and event.subject not in self.subjects:
            return False
        return not self.types or any(
            event.type.startswith(name[:-1]) if name.endswith(".*") else event.type == name
            for name in self.types
        )
