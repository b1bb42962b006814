# Generated from openapi.json by scripts/generate_client.py.
# ruff: noqa: E501
"""What the API takes, as typed dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict


class Timeouts(TypedDict):
    """How long a task may wait, run and be silent; None means no limit."""

    queue: NotRequired[float | None]
    """Seconds until it must have started."""
    run: NotRequired[float | None]
    """Seconds that one attempt may run."""
    heartbeat: NotRequired[float | None]
    """Seconds that an attempt may be silent."""


class RetryPolicy(TypedDict):
    """When a failed attempt is followed by another one."""

    max_retries: NotRequired[int]
    """Attempts after the first."""
    backoff: NotRequired[Literal["fixed", "linear", "exponential", "fibonacci"]]
    """How the wait grows."""
    initial: NotRequired[float]
    """First wait in seconds."""
    factor: NotRequired[float]
    """Growth of exponential backoff."""
    max_delay: NotRequired[float]
    """Longest wait, seconds."""
    jitter: NotRequired[float]
    """Share of the wait that is random, so peers spread."""


class TaskQuery(TypedDict):
    """Which tasks are meant. Fields left out let all pass."""

    state: NotRequired[
        Sequence[
            Literal[
                "pending",
                "queued",
                "running",
                "waiting",
                "succeeded",
                "failed",
                "cancelled",
                "dead",
            ]
        ]
    ]
    agent: NotRequired[str | None]
    queue: NotRequired[str | None]
    labels: NotRequired[Mapping[str, str]]
    search: NotRequired[str | None]
    """Words of the title, the labels, the input, the output or the error: all of them, in any order. A `"phrase"` or a path keeps its order, `wor*` stands for all words that begin so (three characters or more, four times at most), `-word` leaves out tasks with it (eight times at most), `or` takes either. Words are known a second or so after the fact."""
    created_after: NotRequired[datetime | None]
    created_before: NotRequired[datetime | None]


class BulkRetry(TypedDict):
    """Give the tasks that match another life, if they failed, are dead or were cancelled."""

    filter: NotRequired[TaskQuery]
    limit: NotRequired[int]
    """Tasks of one step, which is all or nothing."""
    cursor: NotRequired[str | None]
    dry_run: NotRequired[bool]
    """Tell which tasks are meant; change none."""


class BulkReprioritise(TypedDict):
    """Give the tasks that match and have not ended another priority."""

    filter: NotRequired[TaskQuery]
    limit: NotRequired[int]
    """Tasks of one step, which is all or nothing."""
    cursor: NotRequired[str | None]
    dry_run: NotRequired[bool]
    """Tell which tasks are meant; change none."""
    priority: int
    """Higher runs first."""


class BulkDelete(TypedDict):
    """Delete the tasks that match and have ended."""

    filter: NotRequired[TaskQuery]
    limit: NotRequired[int]
    """Tasks of one step, which is all or nothing."""
    cursor: NotRequired[str | None]
    dry_run: NotRequired[bool]
    """Tell which tasks are meant; change none."""


class TaskInBulk(TypedDict):
    """A task of a bulk call; ``ref`` is the name by which others of the call depend on it."""

    title: NotRequired[str | None]
    """Default: made from agent and input."""
    agent: NotRequired[str | None]
    """Name of the agent that must do it."""
    capabilities: NotRequired[Sequence[str]]
    """Any agent that has all of these may do it."""
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[Mapping[str, str]]
    queue: NotRequired[str]
    limits: NotRequired[Sequence[str]]
    """Names of limits that it counts against while it runs, such as `customer:42`."""
    sticky: NotRequired[str | None]
    """Tasks with the same key go to the same one of the agents that have their capabilities, as long as it is enabled and healthy. Goes with `capabilities`."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    input: NotRequired[Any]
    input_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the input must match. It may refer to its own parts only."""
    output_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the agent's output must match, or the attempt fails."""
    depends_on: NotRequired[Sequence[str]]
    """Ids of tasks that must end first, or refs of tasks of the same bulk call."""
    on_dependency_failure: NotRequired[Literal["cancel", "run", "hold"]]
    """When a dependency does not succeed: cancel this task, run it all the same, or hold it until the dependency was retried and succeeded."""
    delay: NotRequired[float | None]
    """Seconds before which it does not start."""
    start_at: NotRequired[datetime | None]
    """Time before which it does not start; excludes delay."""
    deadline: NotRequired[datetime | None]
    """Time by which it must have ended: it fails then, wherever it is."""
    ref: NotRequired[str | None]


class TaskEdit(TypedDict):
    """
    What to change of a pending or queued task; fields left out stay, and those that are null,
    but for `input`, whose null is a value, and `deadline`.
    """

    title: NotRequired[str | None]
    priority: NotRequired[int | None]
    labels: NotRequired[Mapping[str, str] | None]
    input: NotRequired[Any]
    deadline: NotRequired[datetime | None]
    """null takes it away. A change lets the queue timeout count anew."""
    timeouts: NotRequired[Timeouts | None]
    """Replaces all three. The queue timeout counts from the edit."""
    retry: NotRequired[RetryPolicy | None]


class CancelRequest(TypedDict):
    """Why a task is cancelled."""

    reason: NotRequired[str]


class SessionInput(TypedDict):
    """Something to say to the agent of a session."""

    text: str
    data: NotRequired[Any]


class SessionNew(TypedDict):
    """A session to begin: with a named agent, or with any that has all the capabilities."""

    title: NotRequired[str | None]
    """Default: made from agent and input."""
    agent: NotRequired[str | None]
    """Name of the agent that must do it."""
    capabilities: NotRequired[Sequence[str]]
    """Any agent that has all of these may do it."""
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[Mapping[str, str]]
    queue: NotRequired[str]
    limits: NotRequired[Sequence[str]]
    """Names of limits that it counts against while it runs, such as `customer:42`."""
    sticky: NotRequired[str | None]
    """Tasks with the same key go to the same one of the agents that have their capabilities, as long as it is enabled and healthy. Goes with `capabilities`."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    input: NotRequired[Any]
    input_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the input must match. It may refer to its own parts only."""
    output_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the agent's output must match, or the attempt fails."""
    message: NotRequired[str | None]
    """The first input."""
    data: NotRequired[Any]
    config: NotRequired[Mapping[str, Any] | None]
    """Fields of its agent's configuration that this session has of its own. Needs the scopes that changing the agent needs, and a named agent."""
    idle_timeout: NotRequired[float | None]
    """Closed when its agent has waited for the next input for so many seconds; null: never."""


class Terminate(TypedDict):
    """Why a session is ended."""

    reason: NotRequired[str]


class FilterPut(TypedDict):
    """A filter to save; it replaces all that was."""

    description: NotRequired[str]
    filter: TaskQuery
    sort: NotRequired[Literal["newest", "oldest", "finished", "longest", "priority"]]
    """How a list is sorted; tasks that are alike by it, the newest first."""


class ScheduledTask(TypedDict):
    """The task that a schedule starts. It is given the labels `schedule` and `scheduled_at`."""

    title: NotRequired[str | None]
    """Default: made from agent and input."""
    agent: NotRequired[str | None]
    """Name of the agent that must do it."""
    capabilities: NotRequired[Sequence[str]]
    """Any agent that has all of these may do it."""
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[Mapping[str, str]]
    queue: NotRequired[str]
    limits: NotRequired[Sequence[str]]
    """Names of limits that it counts against while it runs, such as `customer:42`."""
    sticky: NotRequired[str | None]
    """Tasks with the same key go to the same one of the agents that have their capabilities, as long as it is enabled and healthy. Goes with `capabilities`."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    input: NotRequired[Any]
    input_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the input must match. It may refer to its own parts only."""
    output_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the agent's output must match, or the attempt fails."""


class ScheduleTiming(TypedDict):
    """When a schedule fires."""

    cron: NotRequired[str | None]
    """Cron expression: minute, hour, day of the month, month, day of the week; with a sixth field in front for seconds. Excludes `every`."""
    every: NotRequired[float | None]
    """Seconds between two times, counted from `starts_at`, or from when this was set. Excludes `cron`."""
    timezone: NotRequired[str]
    """Time zone in which `cron` is read."""
    starts_at: NotRequired[datetime | None]
    """No time before this one counts."""
    ends_at: NotRequired[datetime | None]
    """No time after this one counts."""
    jitter: NotRequired[float]
    """Seconds over which starts are spread: each time has a delay of its own."""


class ScheduleEdit(TypedDict):
    """What to change of a schedule; fields left out stay as they are."""

    cron: NotRequired[str | None]
    """Cron expression: minute, hour, day of the month, month, day of the week; with a sixth field in front for seconds. Excludes `every`."""
    every: NotRequired[float | None]
    """Seconds between two times, counted from `starts_at`, or from when this was set. Excludes `cron`."""
    timezone: NotRequired[str]
    """Time zone in which `cron` is read."""
    starts_at: NotRequired[datetime | None]
    """No time before this one counts."""
    ends_at: NotRequired[datetime | None]
    """No time after this one counts."""
    jitter: NotRequired[float]
    """Seconds over which starts are spread: each time has a delay of its own."""
    catch_up: NotRequired[Literal["skip", "latest", "all"]]
    """What to do about times that passed while nothing could fire them: skip them, start one task for the latest, or one for each of all."""
    catch_up_window: NotRequired[float | None]
    """Times that passed longer ago, in seconds, are skipped; null: none are."""
    overlap: NotRequired[Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"]]
    """What to do when a time comes and the task of an earlier one has not ended. skip: start none; buffer_one: start one after it, if none waits yet; buffer_all: start one after it; cancel_other: cancel it, then start; allow_all: start at once."""
    paused: NotRequired[bool]
    note: NotRequired[str | None]
    """Why it is paused, say."""
    task: NotRequired[ScheduledTask | None]
    """Replaces the whole task."""
    updated_at: NotRequired[datetime | None]
    """As you read it; the change is refused when it was changed since."""


class Backfill(TypedDict):
    """A range of time that has passed."""

    begin: datetime
    """The first time that may be among them."""
    end: datetime
    """The last one."""
    overlap: NotRequired[Literal["buffer_all", "allow_all"]]
    """buffer_all: one task after the other; allow_all: all at once."""


class TemplateTask(TypedDict):
    """
    The task that a template starts. Its `title` and the texts in its `input` may hold
    expressions, the latter also `{{ prompt }}`; a text that is nothing but one expression keeps the
    type of its value, and a member without a value is left out. Without an `input` it is the object
    `{"prompt": …, "parameters": …}`. It is given the label `template`.
    """

    title: NotRequired[str | None]
    """Default: made from agent and input."""
    agent: NotRequired[str | None]
    """Name of the agent that must do it."""
    capabilities: NotRequired[Sequence[str]]
    """Any agent that has all of these may do it."""
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[Mapping[str, str]]
    queue: NotRequired[str]
    limits: NotRequired[Sequence[str]]
    """Names of limits that it counts against while it runs, such as `customer:42`."""
    sticky: NotRequired[str | None]
    """Tasks with the same key go to the same one of the agents that have their capabilities, as long as it is enabled and healthy. Goes with `capabilities`."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    input: NotRequired[Any]
    input_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the input must match. It may refer to its own parts only."""
    output_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the agent's output must match, or the attempt fails."""


class TemplateEdit(TypedDict):
    """What to change of a template; fields left out stay as they are."""

    description: NotRequired[str]
    """What it is for."""
    parameters: NotRequired[Mapping[str, Any]]
    """JSON Schema of its parameters: of an object, whose properties they are. A parameter that it does not name is refused, unless it says otherwise."""
    defaults: NotRequired[Mapping[str, Any]]
    """Values of parameters that are not given, before those of the schema."""
    prompt: NotRequired[str]
    """What the agent is told. `{{ branch }}` stands for the parameter `branch`."""
    task: NotRequired[TemplateTask | None]
    """Replaces the whole task."""
    requires_approval: NotRequired[bool]
    """Its tasks need an approval. As approvals cannot be asked for yet, none can be started."""
    version: NotRequired[int | None]
    """The version that you read; the change is refused when another is in force."""


class TaskChanges(TypedDict):
    """
    What is to be different for one task. Fields left out are as the template says; `labels`,
    `timeouts` and `retry` are joined with its own.
    """

    title: NotRequired[str | None]
    """Default: made from agent and input."""
    agent: NotRequired[str | None]
    """Name of the agent that must do it."""
    capabilities: NotRequired[Sequence[str]]
    """Any agent that has all of these may do it."""
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[Mapping[str, str]]
    queue: NotRequired[str]
    limits: NotRequired[Sequence[str]]
    """Names of limits that it counts against while it runs, such as `customer:42`."""
    sticky: NotRequired[str | None]
    """Tasks with the same key go to the same one of the agents that have their capabilities, as long as it is enabled and healthy. Goes with `capabilities`."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    depends_on: NotRequired[Sequence[str]]
    """Ids of tasks that must end first, or refs of tasks of the same bulk call."""
    on_dependency_failure: NotRequired[Literal["cancel", "run", "hold"]]
    """When a dependency does not succeed: cancel this task, run it all the same, or hold it until the dependency was retried and succeeded."""
    delay: NotRequired[float | None]
    """Seconds before which it does not start."""
    start_at: NotRequired[datetime | None]
    """Time before which it does not start; excludes delay."""
    deadline: NotRequired[datetime | None]
    """Time by which it must have ended: it fails then, wherever it is."""


class AgentNew(TypedDict):
    """An agent to register."""

    name: str
    runtime: str
    config: Mapping[str, Any]
    """What the runtime needs to run it."""
    description: NotRequired[str]
    """What it is good at."""
    capabilities: NotRequired[Sequence[str]]
    """What it can do; tasks may ask for these instead of it."""
    labels: NotRequired[Mapping[str, str]]
    max_concurrency: NotRequired[int | None]
    """Attempts that it runs at once; null: no limit."""
    weight: NotRequired[float]
    """Its share of what queues share out by weight."""
    enabled: NotRequired[bool]


class AgentEdit(TypedDict):
    """What to change of an agent. Fields that are not given stay as they are."""

    runtime: NotRequired[str]
    config: NotRequired[Mapping[str, Any]]
    """What the runtime needs to run it."""
    description: NotRequired[str]
    """What it is good at."""
    capabilities: NotRequired[Sequence[str]]
    """What it can do; tasks may ask for these instead of it."""
    labels: NotRequired[Mapping[str, str]]
    max_concurrency: NotRequired[int | None]
    """Attempts that it runs at once; null: no limit."""
    weight: NotRequired[float]
    """Its share of what queues share out by weight."""
    enabled: NotRequired[bool]
    version: NotRequired[int | None]
    """The version that you read; the change is refused when another is in force."""


class Rollback(TypedDict):
    """Which version of an agent to put in force again."""

    version: int
    """Its runtime and config become a new version."""
    expected: NotRequired[int | None]
    """The version that you read; the change is refused when another is in force."""


class Rate(TypedDict):
    """
    How fast tasks may start: ``count`` of them in ``seconds``, evenly, and up to ``burst`` at
    once after a pause.
    """

    count: int
    """So many tasks may start …"""
    seconds: NotRequired[float]
    """… in so many seconds."""
    burst: NotRequired[int]
    """So many of them at once; unset: `count`."""


class LimitPut(TypedDict):
    """What to lay down for a limit; it replaces all that was."""

    concurrency: NotRequired[int | None]
    """Tasks that name it and run at once; null: any number."""
    rate: NotRequired[Rate | None]
    """How fast tasks that name it may start; null: at any rate."""


class ThingApplied(TypedDict):
    """A thing as it was applied."""

    project: str
    kind: Literal["Project", "Agent", "Queue", "Limit", "Template", "Schedule", "Filter"]
    """What files can describe."""
    name: str
    fields: NotRequired[Mapping[str, str]]
    """A digest of each field as it was applied."""


class Thing(TypedDict):
    """A thing that files describe; of kind `Project`, `project` is its own name."""

    project: str
    kind: Literal["Project", "Agent", "Queue", "Limit", "Template", "Schedule", "Filter"]
    """What files can describe."""
    name: str


class ProjectNew(TypedDict):
    """A project to create."""

    name: str
    weight: NotRequired[float]
    """Share of the workers beside other projects that have tasks to run."""
    priority_ageing: NotRequired[float | None]
    """Seconds that a task must wait to count as one step of priority higher; null: priorities do not age."""
    keep_days: NotRequired[float | None]
    """Days after their end when tasks are deleted; null: they are not."""
    keep_tasks: NotRequired[int | None]
    """Ended tasks that are kept: the newest; null: all of them."""


class ProjectEdit(TypedDict):
    """What to change of a project; fields left out stay as they are."""

    weight: NotRequired[float]
    """Share of the workers beside other projects that have tasks to run."""
    priority_ageing: NotRequired[float | None]
    """Seconds that a task must wait to count as one step of priority higher; null: priorities do not age."""
    keep_days: NotRequired[float | None]
    """Days after their end when tasks are deleted; null: they are not."""
    keep_tasks: NotRequired[int | None]
    """Ended tasks that are kept: the newest; null: all of them."""


class TokenNew(TypedDict):
    """A token to create."""

    name: str
    """What it is for."""
    scopes: NotRequired[
        Sequence[
            Literal[
                "admin",
                "tasks:read",
                "tasks:write",
                "tasks:execute",
                "agents:read",
                "agents:write",
                "agents:execute",
                "queues:read",
                "queues:write",
                "limits:read",
                "limits:write",
                "schedules:read",
                "schedules:write",
                "templates:read",
                "templates:write",
                "events:read",
                "projects:read",
                "projects:write",
                "tokens:write",
                "workers:read",
                "metrics:read",
                "settings:read",
            ]
        ]
    ]
    preset: NotRequired[Literal["viewer", "member", "operator", "admin"] | None]
    """A usual set of scopes, held besides `scopes`. viewer: look. member: also submit tasks, to whichever agents are registered, and edit, cancel, retry and delete them. operator: also register agents, and see metrics and settings. admin: everything. With a project the first three leave out the servers, metrics and settings, and admin holds nothing, so that alone it is refused."""
    project: NotRequired[str | None]
    """Bind the token to this project; otherwise it reaches all."""
    expires_in: NotRequired[float | None]
    """Seconds until it expires; unset, it does not. No token outlives the one that it is made with, nor the revocation of that one."""


class TaskNew(TypedDict):
    """A task to be done by one agent: a named one, or any that has all the capabilities."""

    title: NotRequired[str | None]
    """Default: made from agent and input."""
    agent: NotRequired[str | None]
    """Name of the agent that must do it."""
    capabilities: NotRequired[Sequence[str]]
    """Any agent that has all of these may do it."""
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[Mapping[str, str]]
    queue: NotRequired[str]
    limits: NotRequired[Sequence[str]]
    """Names of limits that it counts against while it runs, such as `customer:42`."""
    sticky: NotRequired[str | None]
    """Tasks with the same key go to the same one of the agents that have their capabilities, as long as it is enabled and healthy. Goes with `capabilities`."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    input: NotRequired[Any]
    input_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the input must match. It may refer to its own parts only."""
    output_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the agent's output must match, or the attempt fails."""
    depends_on: NotRequired[Sequence[str]]
    """Ids of tasks that must end first, or refs of tasks of the same bulk call."""
    on_dependency_failure: NotRequired[Literal["cancel", "run", "hold"]]
    """When a dependency does not succeed: cancel this task, run it all the same, or hold it until the dependency was retried and succeeded."""
    delay: NotRequired[float | None]
    """Seconds before which it does not start."""
    start_at: NotRequired[datetime | None]
    """Time before which it does not start; excludes delay."""
    deadline: NotRequired[datetime | None]
    """Time by which it must have ended: it fails then, wherever it is."""


class BulkCancel(TypedDict):
    """Cancel the tasks that match and have not ended."""

    filter: NotRequired[TaskQuery]
    limit: NotRequired[int]
    """Tasks of one step, which is all or nothing."""
    cursor: NotRequired[str | None]
    dry_run: NotRequired[bool]
    """Tell which tasks are meant; change none."""
    reason: NotRequired[str]


class BulkNew(TypedDict):
    """
    Tasks that are accepted in one call, in chunks of 500 that are each all or nothing. They
    may have 100,000 dependencies together.
    """

    tasks: Sequence[TaskInBulk]


class ScheduleNew(TypedDict):
    """A schedule of tasks."""

    cron: NotRequired[str | None]
    """Cron expression: minute, hour, day of the month, month, day of the week; with a sixth field in front for seconds. Excludes `every`."""
    every: NotRequired[float | None]
    """Seconds between two times, counted from `starts_at`, or from when this was set. Excludes `cron`."""
    timezone: NotRequired[str]
    """Time zone in which `cron` is read."""
    starts_at: NotRequired[datetime | None]
    """No time before this one counts."""
    ends_at: NotRequired[datetime | None]
    """No time after this one counts."""
    jitter: NotRequired[float]
    """Seconds over which starts are spread: each time has a delay of its own."""
    name: str
    catch_up: NotRequired[Literal["skip", "latest", "all"]]
    """What to do about times that passed while nothing could fire them: skip them, start one task for the latest, or one for each of all."""
    catch_up_window: NotRequired[float | None]
    """Times that passed longer ago, in seconds, are skipped; null: none are."""
    overlap: NotRequired[Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"]]
    """What to do when a time comes and the task of an earlier one has not ended. skip: start none; buffer_one: start one after it, if none waits yet; buffer_all: start one after it; cancel_other: cancel it, then start; allow_all: start at once."""
    paused: NotRequired[bool]
    note: NotRequired[str | None]
    """Why it is paused, say."""
    task: ScheduledTask


class TemplateNew(TypedDict):
    """A template of tasks."""

    name: str
    description: NotRequired[str]
    """What it is for."""
    parameters: NotRequired[Mapping[str, Any]]
    """JSON Schema of its parameters: of an object, whose properties they are. A parameter that it does not name is refused, unless it says otherwise."""
    defaults: NotRequired[Mapping[str, Any]]
    """Values of parameters that are not given, before those of the schema."""
    prompt: str
    """What the agent is told. `{{ branch }}` stands for the parameter `branch`."""
    task: TemplateTask
    requires_approval: NotRequired[bool]
    """Its tasks need an approval. As approvals cannot be asked for yet, none can be started."""


class TemplateCall(TypedDict):
    """What is given for one task of a template."""

    parameters: NotRequired[Mapping[str, Any]]
    """Values of its parameters by name."""
    task: NotRequired[TaskChanges]
    version: NotRequired[int | None]
    """The version to start it from; unset, the one in force."""


class QueueEdit(TypedDict):
    """What to lay down for a queue; fields left out stay as they are, null takes a limit away."""

    concurrency: NotRequired[int | None]
    """Tasks of it that run at once; null: no limit."""
    rate: NotRequired[Rate | None]
    """How fast they may start; null: no limit."""
    state: NotRequired[Literal["open", "paused", "draining"]]
    """open; paused: takes tasks and starts none; draining: takes no new tasks and goes on with those that it has."""
    distribution: NotRequired[Literal["least_loaded", "round_robin", "weighted"]]
    """Which of the agents that have the capabilities of a task is given it. least_loaded: who runs the least part of what it may; round_robin: one after the other; weighted: by their weights."""


class SetPut(TypedDict):
    """What belongs to a set of files now, and what does no more."""

    applied: NotRequired[Sequence[ThingApplied]]
    removed: NotRequired[Sequence[Thing]]
