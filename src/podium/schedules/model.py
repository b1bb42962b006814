"""Schedules, their firings and their events. Durations are seconds, times UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from podium.events.model import EventType

CatchUp = Literal["skip", "latest", "all"]
Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"]
Cause = Literal["time", "backfill", "trigger"]
Outcome = Literal["started", "skipped", "missed", "failed"]

EVENTS = (
    EventType("schedule.created", "A schedule was made.", {"name": "", "next_at": ""}),
    EventType(
        "schedule.updated",
        "A schedule was changed, paused or resumed.",
        {"name": "", "fields": "what was changed", "next_at": "null: never again, or paused"},
    ),
    EventType("schedule.deleted", "A schedule was deleted; its tasks stay.", {"name": ""}),
    EventType(
        "schedule.fired",
        "A schedule started a task.",
        {"name": "", "at": "the time that it is for", "task": "", "cause": "what made it fire"},
    ),
    EventType(
        "schedule.skipped",
        "A time of a schedule passed without a task, by its overlap policy.",
        {"name": "", "at": "", "detail": ""},
    ),
    EventType(
        "schedule.missed",
        "Times of a schedule had passed when they were seen, and are not made up for.",
        {"name": "", "at": "the last of them", "detail": ""},
    ),
    EventType(
        "schedule.failed",
        "A schedule was to start a task that was not accepted.",
        {"name": "", "at": "", "detail": "why not"},
    ),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule fires: by a cron expression in a time zone, or every so many seconds from
    ``anchor`` on; between ``starts_at`` and ``ends_at``, both included."""

    cron: str | None
    every: float | None
    timezone: str
    anchor: datetime
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    jitter: float = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What a schedule does at its times, and when it does not."""

    catch_up: CatchUp = "latest"
    catch_up_window: float | None = None
    overlap: Overlap = "skip"
    paused: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Firing:
    """What came of a time of a schedule. ``after`` are tasks that must end before its own."""

    id: UUID
    at: datetime
    cause: Cause
    outcome: Outcome
    task_id: UUID | None = None
    detail: str | None = None
    after: tuple[UUID, ...] = ()
    fired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """Tasks of a schedule, oldest first: those that have not ended, and of these the ``last``, for
    which no other one of them waits."""

    open: Sequence[UUID] = ()
    last: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule of a project. ``task`` is a ``TaskBase`` as it was given; ``next_at`` its next
    time, without the jitter that ``fires_at`` has."""

    id: UUID
    project_id: UUID
    name: str
    timing: Timing
    rules: Rules
    task: Mapping[str, Any]
    may_run_code: bool
    """Whether who wrote the task may submit tasks to agents that run code."""
    next_at: datetime | None
    fires_at: datetime | None
    earlier: Earlier
    created_by: str
    created_at: datetime
    updated_at: datetime
