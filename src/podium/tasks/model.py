"""Tasks as clients see them. Durations are seconds, times UTC."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SkipValidation, model_validator

from podium.kernel.fields import (
    IN_SECONDS,
    Body,
    Labels,
    LimitName,
    Line,
    Moment,
    Page,
    Prose,
    Word,
)
from podium.scheduler.model import DependencyPolicy, RetryPolicy, TaskState, Timeouts

MAX_BULK = 10_000
_MAX_DEPENDENCIES = 10_000

Priority = Annotated[int, Field(ge=-100, le=100, description="Higher runs first.")]
Title = Annotated[Line, Field(min_length=1, max_length=500)]
JsonSchema = dict[str, JsonValue]
Given = SkipValidation[JsonValue]
"""Any JSON value. That it is one was seen when the body was read; to look again at each of the
values in it would cost more than all else."""


class TaskManner(Body):
    """Who does a task and how, apart from what is to be done."""

    title: Title | None = Field(default=None, description="Default: made from agent and input.")
    agent: Word | None = Field(default=None, description="Name of the agent that must do it.")
    capabilities: list[Word] = Field(
        default_factory=list[Word],
        max_length=50,
        description="Any agent that has all of these may do it.",
        json_schema_extra={"default": []},
    )
    priority: Priority = 0
    labels: Labels = Field(default_factory=dict[str, str], json_schema_extra={"default": {}})
    queue: Word = "default"
    limits: list[LimitName] = Field(
        default_factory=list[str],
        max_length=20,
        description="Names of limits that it counts against while it runs, such as `customer:42`.",
        json_schema_extra={"default": []},
    )
    sticky: LimitName | None = Field(
        default=None,
        description="Tasks with the same key go to the same one of the agents that have their "
        "capabilities, as long as it is enabled and healthy. Goes with `capabilities`.",
    )
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()


class TaskBase(TaskManner):
    """What is to be done, by one agent: a named one, or any that has all the capabilities."""

    input: Given = Field(default=None, description="What the agent is given.")
    input_schema: JsonSchema | None = Field(
        default=None,
        description="JSON Schema that the input must match. It may refer to its own parts only.",
    )
    output_schema: JsonSchema | None = Field(
        default=None,
        description="JSON Schema that the agent's output must match, or the attempt fails.",
    )

    @model_validator(mode="after")
    def _for_somebody(self) -> Self:
        if (self.agent is None) == (not self.capabilities):
            raise ValueError("name either an agent or capabilities")
        if self.sticky is not None and self.agent is not None:
            raise ValueError("sticky goes with capabilities: the task names its agent")
        return self


class TaskTimes(Body):
    """What a task waits for before it starts, and when it must have ended."""

    depends_on: list[Annotated[Line, Field(max_length=100)]] = Field(
        default_factory=list[str],
        max_length=_MAX_DEPENDENCIES,
        description="Ids of tasks that must end first, or refs of tasks of the same bulk call.",
        json_schema_extra={"default": []},
    )
    on_dependency_failure: DependencyPolicy = Field(
        default="cancel",
        description="When a dependency does not succeed: cancel this task, run it all the same, "
        "or hold it until the dependency was retried and succeeded.",
    )
    delay: Annotated[float, Field(ge=0, le=31536000), IN_SECONDS] | None = Field(
        default=None, description="Seconds before which it does not start."
    )
    start_at: Moment | None = Field(
        default=None, description="Time before which it does not start; excludes delay."
    )
    deadline: Moment | None = Field(
        default=None,
        description="Time by which it must have ended: it fails then, wherever it is.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.delay is not None and self.start_at is not None:
            raise ValueError("give either delay or start_at")
        if self.deadline and self.start_at and self.deadline <= self.start_at:
            raise ValueError("the deadline must come after start_at")
        return self


class TaskNew(TaskTimes, TaskBase):
    """A task to be done by one agent: a named one, or any that has all the capabilities."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"agent": "reviewer", "input": {"prompt": "Review the last commit."}},
                {
                    "capabilities": ["python", "tests"],
                    "input": "Make the test suite pass.",
                    "priority": 10,
                    "timeouts": {"run": 1800},
                    "retry": {"max_retries": 2},
                },
            ]
        },
    )


class TemplateUsed(BaseModel):
    """The template that a task was started from."""

    name: str
    version: int
    built_in: bool = Field(description="Whether the version is Podium's own, or the project's.")


class TaskOfTemplate(TaskNew):
    """A task that was made from a template. Never the body of a request: who sends a task cannot
    say where it comes from."""

    template: TemplateUsed


class TaskOfSession(TaskNew):
    """The task of a session. Never the body of a request, as above."""

    config: dict[str, JsonValue] | None = None
    """The whole configuration of its agent, where the session has one of its own."""


class TaskInBulk(TaskNew):
    """A task of a bulk call; ``ref`` is the name by which others of the call depend on it."""

    ref: Word | None = None


class BulkNew(Body):
    """Tasks that are accepted in one call, in chunks of 500 that are each all or nothing. They
    may have 100,000 dependencies together."""

    tasks: Annotated[list[TaskInBulk], Field(min_length=1, max_length=MAX_BULK)]


class BulkCreated(BaseModel):
    """Ids in the order of the request, and by ref."""

    ids: list[UUID]
    refs: dict[str, UUID]


class TaskEdit(Body):
    """What to change of a pending or queued task; fields left out stay, and those that are null,
    but for `input`, whose null is a value, and `deadline`."""

    title: Title | None = None
    priority: Priority | None = None
    labels: Labels | None = None
    input: Given = None
    deadline: Moment | None = Field(
        default=None, description="null takes it away. A change lets the queue timeout count anew."
    )
    timeouts: Timeouts | None = Field(
        default=None, description="Replaces all three. The queue timeout counts from the edit."
    )
    retry: RetryPolicy | None = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"priority": 50, "labels": {"team": "core"}}]},
    )


class CancelRequest(Body):
    """Why a task is cancelled."""

    reason: Annotated[Prose, Field(max_length=1000)] = "Cancelled on request."


class Cancelled(BaseModel):
    """What became of the task: it ended at once, was asked to stop, or had ended before."""

    result: Literal["cancelled", "cancelling", "ended"]


class TaskProgress(BaseModel):
    """What the running attempt said last, and how long it may still take."""

    fraction: float | None = Field(description="0 to 1; null when the agent cannot know.")
    note: str | None
    seconds_left: float | None = Field(
        description="An estimate, from what the attempt says and how long tasks like it took that "
        "succeeded; null when neither tells."
    )


class DependencyView(BaseModel):
    """A task that must end first."""

    id: UUID
    name: str
    state: TaskState


WORKER_NAME = "null once the worker, long ended, is forgotten."
WORKER_HOST = "Name of the machine that the worker runs on; null as `worker_name`."


class RunningOn(BaseModel):
    """Where the live attempt runs."""

    agent: str
    worker: UUID
    worker_name: str | None = Field(description=WORKER_NAME)
    worker_host: str | None = Field(description=WORKER_HOST)


class TaskSummary(BaseModel):
    """A row of a list."""

    id: UUID
    project: str
    title: str
    state: TaskState
    priority: int
    labels: dict[str, str]
    queue: str
    agent: str | None = Field(description="The agent that was asked for by name.")
    attempt: int = Field(description="Attempts begun so far.")
    progress: TaskProgress | None
    error_code: str | None
    created_at: datetime
    started_at: datetime | None = Field(
        description="Start of the running attempt, or of the last one once the task has ended."
    )
    finished_at: datetime | None


class Task(BaseModel):
    """A task with all that is known of it."""

    id: UUID
    project: str
    title: str
    state: TaskState
    priority: int
    labels: dict[str, str]
    queue: str
    limits: list[str]
    agent: str | None
    capabilities: list[str]
    sticky: str | None
    input: JsonValue
    output: JsonValue
    error: dict[str, Any] | None
    attempt: int
    progress: TaskProgress | None
    depends_on: list[DependencyView]
    on_dependency_failure: DependencyPolicy
    deadline: datetime | None
    timeouts: Timeouts
    retry: RetryPolicy
    input_schema: JsonSchema | None
    output_schema: JsonSchema | None
    template: TemplateUsed | None = Field(description="null: it was not started from one.")
    interactive: bool = Field(description="Whether it is a session, in which people talk to it.")
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    queued_seconds: float | None = Field(description="How long the last attempt waited to start.")
    run_seconds: float | None = Field(description="How long the last attempt ran, or runs so far.")
    running_on: RunningOn | None


class TaskPage(Page[TaskSummary]):
    """Tasks, newest first."""


class Choice(BaseModel):
    """How an agent was chosen among those that could have taken a task."""

    how: Literal["least_loaded", "round_robin", "weighted", "sticky"]
    candidates: list[dict[str, Any]] = Field(
        description="The first ten, who comes first first: their names, and what was compared."
    )


class AttemptView(BaseModel):
    """One try at a task."""

    attempt: int
    outcome: Literal["running", "succeeded", "failed", "cancelled", "lost", "parked", "released"]
    agent: str | None
    agent_version: int | None
    worker: UUID | None
    worker_name: str | None = Field(description=WORKER_NAME)
    worker_host: str | None = Field(description=WORKER_HOST)
    queued_at: datetime
    started_at: datetime
    finished_at: datetime | None
    error: dict[str, Any] | None
    usage: dict[str, float] | None
    confinement: str | None = Field(
        description="What kept its processes from Podium's own files. none: nothing, as inside the "
        "worker. null: not known, as of one that runs inside the worker and has not ended."
    )
    choice: Choice | None = Field(description="null when the task names its agent.")


class AttemptList(BaseModel):
    items: list[AttemptView]


class LogItem(BaseModel):
    """A piece of output. ``id`` grows; pass the last one as ``after`` to go on."""

    id: int
    at: datetime
    attempt: int
    stream: str
    text: str


class LogPage(BaseModel):
    items: list[LogItem]
    next: int | None = Field(description="Pass as `after` for what follows; null at the end.")


class ArtifactView(BaseModel):
    """A file that an attempt kept."""

    name: str
    attempt: int
    content_type: str
    size: int = Field(description="Bytes.")
    sha256: str
    created_at: datetime


class ArtifactList(BaseModel):
    items: list[ArtifactView]


class Blocker(BaseModel):
    """One thing that keeps a task from running."""

    kind: Literal[
        "dependency", "delay", "retry", "gate", "parked", "no_agent", "agent_disabled",
        "agent_unhealthy", "agent_busy", "queue_paused", "queue_full", "queue_rate", "no_worker",
        "worker_busy", "worker_blocked", "behind",
    ]  # fmt: skip
    detail: str
    subject: UUID | None = None


class AgentChoice(BaseModel):
    """Which agent runs it and why."""

    name: str
    how: str
    candidates: list[dict[str, Any]]


class Explanation(BaseModel):
    """Why a task is where it is, read from the rows that the scheduler itself reads."""

    task_id: UUID
    state: TaskState
    why: str
    blockers: list[Blocker]
    agent: AgentChoice | None
