"""Which tasks a list holds, and in which order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from podium.scheduler.model import TaskState

MOST_SORTED = 10_000
"""So many of the newest tasks that match are put in another order, and are counted."""


class Order(StrEnum):
    """How a list is sorted; tasks that are alike by it, the newest first."""

    NEWEST = "newest"
    OLDEST = "oldest"
    FINISHED = "finished"
    LONGEST = "longest"
    PRIORITY = "priority"


CREATED = frozenset({Order.NEWEST, Order.OLDEST})
"""The orders of their creation."""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks a list holds; empty fields let all pass. ``agents`` are ids, ``words`` what
    ``search.query`` made of what was typed."""

    states: frozenset[TaskState] = frozenset()
    agents: tuple[UUID, ...] = ()
    queue: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    created_after: datetime | None = None
    created_before: datetime | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Which of them a page shows: ``limit`` at most, behind the first ``offset``. ``beyond`` is
    the last task of the page before, where the order is that of their creation."""

    limit: int
    offset: int = 0
    beyond: UUID | None = None
    order: Order = Order.NEWEST
