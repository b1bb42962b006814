"""Schedules as clients see and send them."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from podium.kernel.fields import IN_SECONDS, Body, Moment, Page, Prose, Word
from podium.schedules import model, times
from podium.schedules.model import CatchUp, Cause, Outcome, Overlap
from podium.tasks.model import TaskBase

_Cron = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=200,
        description="Cron expression: minute, hour, day of the month, month, day of the week; with "
        "a sixth field in front for seconds. Excludes `every`.",
    ),
]
_Every = Annotated[
    Annotated[float, Field(ge=1, le=31536000), IN_SECONDS] | None,
    Field(
        description="Seconds between two times, counted from `starts_at`, or from when this was "
        "set. Excludes `cron`."
    ),
]
_Zone = Annotated[str, Field(max_length=100, description="Time zone in which `cron` is read.")]
_Starts = Annotated[Moment | None, Field(description="No time before this one counts.")]
_Ends = Annotated[Moment | None, Field(description="No time after this one counts.")]
_Jitter = Annotated[
    Annotated[float, Field(ge=0, le=86400), IN_SECONDS],
    Field(description="Seconds over which starts are spread: each time has a delay of its own."),
]
_CATCH_UP = (
    "What to do about times that passed while nothing could fire them: skip them, start one task "
    "for the latest, or one for each of all."
)
_Window = Annotated[
    Annotated[float, Field(ge=0, le=315360000), IN_SECONDS] | None,
    Field(description="Times that passed longer ago, in seconds, are skipped; null: none are."),
]
_OVERLAP = (
    "What to do when a time comes and the task of an earlier one has not ended. skip: start none; "
    "buffer_one: start one after it, if none waits yet; buffer_all: start one after it; "
    "cancel_other: cancel it, then start; allow_all: start at once."
)
_Note = Annotated[
    Annotated[Prose, Field(max_length=500)] | None, Field(description="Why it is paused, say.")
]


class ScheduledTask(TaskBase):
    """The task that a schedule starts. It is given the labels `schedule` and `scheduled_at`."""


class ScheduleTiming(Body):
    """When a schedule fires."""

    cron: _Cron = None
    every: _Every = None
    timezone: _Zone = "UTC"
    starts_at: _Starts = None
    ends_at: _Ends = None
    jitter: _Jitter = 0


class ScheduleNew(ScheduleTiming):
    """A schedule of tasks."""

    name: Word
    catch_up: CatchUp = Field(default="latest", description=_CATCH_UP)
    catch_up_window: _Window = None
    overlap: Overlap = Field(default="skip", description=_OVERLAP)
    paused: bool = False
    note: _Note = None
    task: ScheduledTask

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly-review",
                    "cron": "0 2 * * *",
                    "timezone": "Europe/Berlin",
                    "task": {"agent": "reviewer", "input": {"prompt": "Review the day's commits."}},
                }
            ]
        },
    )


class ScheduleEdit(Body):
    """What to change of a schedule; fields left out stay as they are."""

    cron: _Cron = None
    every: _Every = None
    timezone: _Zone = Field(default_factory=lambda: "UTC")  # which the document does not tell
    starts_at: _Starts = None
    ends_at: _Ends = None
    jitter: _Jitter = Field(default_factory=lambda: 0)
    catch_up: CatchUp = Field(default_factory=lambda: "latest", description=_CATCH_UP)
    catch_up_window: _Window = None
    overlap: Overlap = Field(default_factory=lambda: "skip", description=_OVERLAP)
    paused: bool = Field(default_factory=lambda: False)
    note: _Note = None
    task: ScheduledTask | None = Field(default=None, description="Replaces the whole task.")
    updated_at: Moment | None = Field(
        default=None,
        description="As you read it; the change is refused when it was changed since.",
    )


class Backfill(Body):
    """A range of time that has passed."""

    begin: Moment = Field(description="The first time that may be among them.")
    end: Moment = Field(description="The last one.")
    overlap: Literal["buffer_all", "allow_all"] = Field(
        default="buffer_all",
        description="buffer_all: one task after the other; allow_all: all at once.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.begin:
            raise ValueError("the range is reversed: end comes before begin")
        return self


class FiringView(BaseModel):
    """What came of a time of a schedule."""

    at: datetime = Field(description="The time that it is for, without jitter.")
    cause: Cause
    outcome: Outcome = Field(
        description="started: a task; skipped: none, by the overlap policy; missed: none, as it "
        "had passed when it was seen; failed: the task was not accepted."
    )
    task_id: UUID | None
    detail: str | None = Field(description="Why no task was started.")
    fired_at: datetime


class FiringPage(Page[FiringView]):
    """Firings, those for the latest times first."""


class FiringList(BaseModel):
    items: list[FiringView]


class Times(BaseModel):
    """Times in order, without jitter."""

    description: str = Field(description="The times in words.")
    items: list[datetime]


class Schedule(BaseModel):
    """A schedule of a project."""

    name: str
    project: str
    state: Literal["active", "paused", "ended"] = Field(description="ended: no time is to come.")
    description: str = Field(description="Its times in words.")
    cron: str | None
    every: float | None
    timezone: str
    starts_at: datetime | None
    ends_at: datetime | None
    jitter: float
    catch_up: CatchUp
    catch_up_window: float | None
    overlap: Overlap
    paused: bool
    note: str | None
    task: dict[str, JsonValue] = Field(description="As it was given.")
    next_at: datetime | None = Field(description="Its next time, without jitter.")
    open_tasks: list[UUID] = Field(description="Tasks that it started and that have not ended.")
    created_by: str
    created_at: datetime
    updated_at: datetime


class SchedulePage(Page[Schedule]):
    """Schedules in order of name."""


def schedule_view(schedule: model.Schedule, project: str) -> Schedule:
    timing, rules = schedule.timing, schedule.rules
    state = "paused" if rules.paused else "active" if schedule.next_at else "ended"
    return Schedule(
        name=schedule.name,
        project=project,
        state=state,
        description=times.described(timing),
        cron=timing.cron,
        every=timing.every,
        timezone=timing.timezone,
        starts_at=timing.starts_at,
        ends_at=timing.ends_at,
        jitter=timing.jitter,
        catch_up=rules.catch_up,
        catch_up_window=rules.catch_up_window,
        overlap=rules.overlap,
        paused=rules.paused,
        note=rules.note,
        task=dict(schedule.task),
        next_at=schedule.next_at,
        open_tasks=list(schedule.earlier.open),
        created_by=schedule.created_by,
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
    )


def firing_view(firing: model.Firing) -> FiringView:
    return FiringView(
        at=firing.at,
        cause=firing.cause,
        outcome=firing.outcome,
        task_id=firing.task_id,
        detail=firing.detail,
        fired_at=firing.fired_at or datetime.now(UTC),
    )
