# Generated from openapi.json by scripts/generate_client.py.
# ruff: noqa: E501
"""What the API answers.

A server newer than this may send fields and words that are not told of here: such fields are
passed over, and words (of states, for example) come as they are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct


class TaskProgress(Struct, kw_only=True):
    """What the running attempt said last, and how long it may still take."""

    fraction: float | None = None
    """0 to 1; null when the agent cannot know."""
    note: str | None = None
    seconds_left: float | None = None
    """An estimate, from what the attempt says and how long tasks like it took that succeeded; null when neither tells."""


class Dependency(Struct, kw_only=True):
    """A task that must end first."""

    id: str
    name: str
    state: str
    """Where a task is. The last four are ends. One of pending, queued, running, waiting, succeeded, failed, cancelled, dead."""


class Timeouts(Struct, kw_only=True):
    """How long a task may wait, run and be silent; None means no limit."""

    queue: float | None = None
    """Seconds until it must have started."""
    run: float | None = None
    """Seconds that one attempt may run."""
    heartbeat: float | None = None
    """Seconds that an attempt may be silent."""


class RetryPolicy(Struct, kw_only=True):
    """When a failed attempt is followed by another one."""

    max_retries: int
    """Attempts after the first."""
    backoff: str
    """How the wait grows. One of fixed, linear, exponential, fibonacci."""
    initial: float
    """First wait in seconds."""
    factor: float
    """Growth of exponential backoff."""
    max_delay: float
    """Longest wait, seconds."""
    jitter: float
    """Share of the wait that is random, so peers spread."""


class TemplateUsed(Struct, kw_only=True):
    """The template that a task was started from."""

    name: str
    version: int
    built_in: bool
    """Whether the version is Podium's own, or the project's."""


class RunningOn(Struct, kw_only=True):
    """Where the live attempt runs."""

    agent: str
    worker: str
    worker_name: str | None = None
    """null once the worker, long ended, is forgotten."""
    worker_host: str | None = None
    """Name of the machine that the worker runs on; null as `worker_name`."""


class TaskCount(Struct, kw_only=True):
    """How many tasks match."""

    count: int
    capped: bool
    """There are more; they were counted so far."""


class BulkChanged(Struct, kw_only=True):
    """What became of the tasks of a step."""

    matched: list[str]
    changed: list[str]
    """Those of them that could be changed so, and still matched when they were."""
    next: str | None = None
    """Pass as `cursor` for the next step; null at the end."""


class Artifact(Struct, kw_only=True):
    """A file that an attempt kept."""

    name: str
    attempt: int
    content_type: str
    size: int
    """Bytes."""
    sha256: str
    created_at: datetime


class BulkCreated(Struct, kw_only=True):
    """Ids in the order of the request, and by ref."""

    ids: list[str]
    refs: dict[str, str]


class Cancelled(Struct, kw_only=True):
    """What became of the task: it ended at once, was asked to stop, or had ended before."""

    result: str
    """One of cancelled, cancelling, ended."""


class Event(Struct, kw_only=True):
    """One thing that happened."""

    cursor: str
    """Its place in the feed; reading goes on after it."""
    at: datetime
    type: str
    version: int
    """Version of the type's data."""
    subject: str
    """Id of what it happened to."""
    data: dict[str, Any]
    project: str | None = None
    """Name of the project it belongs to, if to one."""
    actor: str | None = None
    """Who did it, when it was somebody."""


class Choice(Struct, kw_only=True):
    """How an agent was chosen among those that could have taken a task."""

    how: str
    """One of least_loaded, round_robin, weighted, sticky."""
    candidates: list[dict[str, Any]]
    """The first ten, who comes first first: their names, and what was compared."""


class LogItem(Struct, kw_only=True):
    """A piece of output. ``id`` grows; pass the last one as ``after`` to go on."""

    id: int
    at: datetime
    attempt: int
    stream: str
    text: str


class Blocker(Struct, kw_only=True):
    """One thing that keeps a task from running."""

    kind: str
    """One of dependency, delay, retry, gate, parked, no_agent, agent_disabled, agent_unhealthy, agent_busy, queue_paused, queue_full, queue_rate, no_worker, worker_busy, worker_blocked, behind."""
    detail: str
    subject: str | None = None


class AgentChoice(Struct, kw_only=True):
    """Which agent runs it and why."""

    name: str
    how: str
    candidates: list[dict[str, Any]]


class Session(Struct, kw_only=True):
    """A session, which is a task that people talk to while it runs."""

    id: str
    """That of its task."""
    project: str
    title: str
    queue: str
    state: str
    """What a session does. The last three are ends. One of initialising, idle, working, waiting, completed, failed, terminated."""
    paused: bool
    """Its agent stands still."""
    closed: bool
    """Nothing more will be said to it."""
    entries: int
    """How many things were said."""
    unanswered: int
    """Inputs that its agent has not dealt with."""
    labels: dict[str, str]
    attempt: int
    """Attempts begun so far."""
    created_at: datetime
    created_by: str
    changed_at: datetime
    """When its agent went on or came to wait."""
    agent: str | None = None
    """Who runs it, or was asked for by name."""
    idle_timeout: float | None = None
    error: dict[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    running_on: RunningOn | None = None


class TranscriptEntry(Struct, kw_only=True):
    """Something that was said in a session."""

    id: int
    """Its number, from 1 in each session and without gaps."""
    kind: str
    """Said to the agent, by it, asked by it, or noted by Podium. One of input, say, ask, note."""
    text: str
    at: datetime
    author: str | None = None
    """Whose input it is."""
    attempt: int | None = None
    """The attempt whose agent said it."""
    data: Any = None


class Terminated(Struct, kw_only=True):
    """The sessions that were told to end; those that run do so within their agent's grace."""

    sessions: list[str]


class TaskQuery(Struct, kw_only=True):
    """Which tasks are meant. Fields left out let all pass."""

    state: list[str]
    labels: dict[str, str]
    agent: str | None = None
    queue: str | None = None
    search: str | None = None
    """Words of the title, the labels, the input, the output or the error: all of them, in any order. A `"phrase"` or a path keeps its order, `wor*` stands for all words that begin so (three characters or more, four times at most), `-word` leaves out tasks with it (eight times at most), `or` takes either. Words are known a second or so after the fact."""
    created_after: datetime | None = None
    created_before: datetime | None = None


class Schedule(Struct, kw_only=True):
    """A schedule of a project."""

    name: str
    project: str
    state: str
    """ended: no time is to come. One of active, paused, ended."""
    description: str
    """Its times in words."""
    timezone: str
    jitter: float
    catch_up: str
    """One of skip, latest, all."""
    overlap: str
    """One of skip, buffer_one, buffer_all, cancel_other, allow_all."""
    paused: bool
    task: dict[str, Any]
    """As it was given."""
    open_tasks: list[str]
    """Tasks that it started and that have not ended."""
    created_by: str
    created_at: datetime
    updated_at: datetime
    cron: str | None = None
    every: float | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    catch_up_window: float | None = None
    note: str | None = None
    next_at: datetime | None = None
    """Its next time, without jitter."""


class Times(Struct, kw_only=True):
    """Times in order, without jitter."""

    description: str
    """The times in words."""
    items: list[datetime]


class Firing(Struct, kw_only=True):
    """What came of a time of a schedule."""

    at: datetime
    """The time that it is for, without jitter."""
    cause: str
    """One of time, backfill, trigger."""
    outcome: str
    """started: a task; skipped: none, by the overlap policy; missed: none, as it had passed when it was seen; failed: the task was not accepted. One of started, skipped, missed, failed."""
    fired_at: datetime
    task_id: str | None = None
    detail: str | None = None
    """Why no task was started."""


class Template(Struct, kw_only=True):
    """A template, in one of its versions."""

    name: str
    project: str
    source: str
    """project: it, or this version of a built-in one, is the project's own. One of built_in, project."""
    version: int
    """Those of the project count on from the built-in one that they were made from."""
    changed: list[str]
    """Fields in which it differs from the built-in one."""
    description: str
    parameters: dict[str, Any]
    defaults: dict[str, Any]
    prompt: str
    task: dict[str, Any]
    """As it was given."""
    requires_approval: bool
    built_in_version: int | None = None
    """The version that is built in under this name; null: none is."""
    based_on: int | None = None
    """The version of the built-in one that the project's own was made from."""
    created_by: str | None = None
    """Who made this version; null: it is built in."""
    created_at: datetime | None = None


class TemplatePreview(Struct, kw_only=True):
    """The task that a call would submit."""

    template: TemplateUsed
    requires_approval: bool
    """Whether it could not be started for that."""
    task: dict[str, Any]
    """As `POST /tasks` would be given it."""


class Agent(Struct, kw_only=True):
    """An agent with the version in force."""

    id: str
    project: str
    name: str
    version: int
    runtime: str
    config: dict[str, Any]
    """As it is in force. Values of `env` show only to who has `agents:execute`."""
    description: str
    capabilities: list[str]
    labels: dict[str, str]
    weight: float
    enabled: bool
    healthy: bool
    """False once a probe found that it cannot run: then it is given no tasks. True while nothing is known against it."""
    running: int
    """Attempts that it runs now."""
    created_at: datetime
    updated_at: datetime
    max_concurrency: int | None = None
    health_detail: str | None = None
    """What the newest probe found."""
    health_checked_at: datetime | None = None
    """When that was; null while this version was not probed."""
    health_host: str | None = None
    """The machine on which that was."""


class AgentChecked(Struct, kw_only=True):
    """What would be in force."""

    runtime: str
    config: dict[str, Any]
    capabilities: list[str]


class AgentVersion(Struct, kw_only=True):
    """What an agent was at a time."""

    version: int
    runtime: str
    config: dict[str, Any]
    created_at: datetime
    created_by: str


class AgentDifference(Struct, kw_only=True):
    """A place where two versions of an agent are not the same."""

    pointer: str
    """Where, as a JSON pointer into an object with `runtime` and `config`."""
    change: str
    """One of added, removed, changed."""
    before: Any = None
    after: Any = None


class Probe(Struct, kw_only=True):
    """What a probe found."""

    ok: bool
    detail: str
    """What was tried and, when not ok, what to do."""


class Rate(Struct, kw_only=True):
    """
    How fast tasks may start: ``count`` of them in ``seconds``, evenly, and up to ``burst`` at
    once after a pause.
    """

    count: int
    """So many tasks may start …"""
    seconds: float
    """… in so many seconds."""
    burst: int
    """So many of them at once; unset: `count`."""


class Limit(Struct, kw_only=True):
    """A limit that tasks name; one that ends in `*` holds for each name that begins like it."""

    name: str
    project: str
    used: int
    """Tasks that count against it now: they run or are ready to."""
    waiting: int
    """Tasks that wait for it."""
    updated_at: datetime
    concurrency: int | None = None
    rate: Rate | None = None


class Applied(Struct, kw_only=True):
    """That a thing belongs to a set of files."""

    project: str
    kind: str
    """What files can describe. One of Project, Agent, Queue, Limit, Template, Schedule, Filter."""
    name: str
    set: str
    fields: dict[str, str]
    """A digest of each field as it was applied."""
    applied_by: str
    applied_at: datetime


class Project(Struct, kw_only=True):
    """A project."""

    id: str
    name: str
    weight: float
    created_at: datetime
    priority_ageing: float | None = None
    """Seconds of waiting that count as one step of priority; null: none do."""
    keep_days: float | None = None
    keep_tasks: int | None = None


class Token(Struct, kw_only=True):
    """A token. Its secret cannot be read again."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    created_by: str
    project: str | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class TokenCreated(Struct, kw_only=True):
    """A new token with its text, which is shown this once."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    created_by: str
    token: str
    project: str | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class Whoami(Struct, kw_only=True):
    """Who is asking, and what it may do."""

    principal: str
    kind: str
    """One of admin, token, attempt."""
    scopes: list[str]
    project: str | None = None
    """The project that it is bound to, by name."""
    expires_at: datetime | None = None


class Worker(Struct, kw_only=True):
    """One incarnation of a worker process."""

    id: str
    name: str
    host: str
    pid: int
    version: str
    state: str
    """active, draining, stopped or dead"""
    concurrency: int
    """Attempts that it runs at once, at most."""
    running: int
    """Attempts that it runs now."""
    processes: int
    """Attempts that it runs at once in processes of their own, at most."""
    running_processes: int
    """Attempts that it runs now in processes of their own."""
    queues: list[str]
    """Queues that it serves; empty means all."""
    runtimes: list[str]
    started_at: datetime
    lease_until: datetime
    confinement: str | None = None
    """How it keeps agents from Podium's own files."""
    blocked_by: dict[str, Any] | None = None
    """The attempt that keeps it from everything else: task_id, attempt, and at what."""


class DatabaseStatus(Struct, kw_only=True):
    """The PostgreSQL server."""

    ok: bool
    embedded: bool
    version: str | None = None


class ValkeyStatus(Struct, kw_only=True):
    """The Valkey server. Without it Podium is slower, never wrong."""

    ok: bool
    embedded: bool


class ArtifactStatus(Struct, kw_only=True):
    """Where files of attempts are kept. Without it attempts that keep some fail, and others run."""

    ok: bool
    place: str
    """Its URL, without secrets."""
    problem: str | None = None
    """Why it cannot be used."""
    hint: str | None = None
    """What to do about it."""


class DiagnosisFinding(Struct, kw_only=True):
    """Something that is wrong."""

    check: str
    """Which check found it."""
    code: str
    """What is wrong, for programs."""
    outcome: str
    """`failed` where work stands still, else `warning`. One of warning, failed."""
    where: str
    """What it is about, such as project/queue."""
    detail: str
    """What is the matter."""
    advice: str
    """What to do about it."""


class QueueAtGlance(Struct, kw_only=True):
    """A queue that tasks came to, or that has rules."""

    project: str
    name: str
    state: str
    queued: int
    """Tasks that are ready; counted up to 10000."""
    running: int
    concurrency: int | None = None
    rate: Rate | None = None


class TaskAtGlance(Struct, kw_only=True):
    """A task that runs, or that came last."""

    id: str
    project: str
    title: str
    state: str
    """Where a task is. The last four are ends. One of pending, queued, running, waiting, succeeded, failed, cancelled, dead."""
    queue: str
    priority: int
    attempt: int
    created_at: datetime
    agent: str | None = None
    """The agent that runs it; while none does, the one that was asked for by name."""
    worker: str | None = None
    """The worker that runs it."""
    progress: TaskProgress | None = None
    error_code: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Setting(Struct, kw_only=True):
    """One setting as it is in force."""

    name: str
    env: str
    """Environment variable that sets it."""
    description: str
    value: Any = None
    """Secrets are masked."""
    default: Any = None


class TaskSummary(Struct, kw_only=True):
    """A row of a list."""

    id: str
    project: str
    title: str
    state: str
    """Where a task is. The last four are ends. One of pending, queued, running, waiting, succeeded, failed, cancelled, dead."""
    priority: int
    labels: dict[str, str]
    queue: str
    attempt: int
    """Attempts begun so far."""
    created_at: datetime
    agent: str | None = None
    """The agent that was asked for by name."""
    progress: TaskProgress | None = None
    error_code: str | None = None
    started_at: datetime | None = None
    """Start of the running attempt, or of the last one once the task has ended."""
    finished_at: datetime | None = None


class Task(Struct, kw_only=True):
    """A task with all that is known of it."""

    id: str
    project: str
    title: str
    state: str
    """Where a task is. The last four are ends. One of pending, queued, running, waiting, succeeded, failed, cancelled, dead."""
    priority: int
    labels: dict[str, str]
    queue: str
    limits: list[str]
    capabilities: list[str]
    attempt: int
    depends_on: list[Dependency]
    on_dependency_failure: str
    """One of cancel, run, hold."""
    timeouts: Timeouts
    retry: RetryPolicy
    interactive: bool
    """Whether it is a session, in which people talk to it."""
    created_at: datetime
    created_by: str
    agent: str | None = None
    sticky: str | None = None
    input: Any = None
    output: Any = None
    error: dict[str, Any] | None = None
    progress: TaskProgress | None = None
    deadline: datetime | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    template: TemplateUsed | None = None
    """null: it was not started from one."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    queued_seconds: float | None = None
    """How long the last attempt waited to start."""
    run_seconds: float | None = None
    """How long the last attempt ran, or runs so far."""
    running_on: RunningOn | None = None


class Attempt(Struct, kw_only=True):
    """One try at a task."""

    attempt: int
    outcome: str
    """One of running, succeeded, failed, cancelled, lost, parked, released."""
    queued_at: datetime
    started_at: datetime
    agent: str | None = None
    agent_version: int | None = None
    worker: str | None = None
    worker_name: str | None = None
    """null once the worker, long ended, is forgotten."""
    worker_host: str | None = None
    """Name of the machine that the worker runs on; null as `worker_name`."""
    finished_at: datetime | None = None
    error: dict[str, Any] | None = None
    usage: dict[str, float] | None = None
    confinement: str | None = None
    """What kept its processes from Podium's own files. none: nothing, as inside the worker. null: not known, as of one that runs inside the worker and has not ended."""
    choice: Choice | None = None
    """null when the task names its agent."""


class Explanation(Struct, kw_only=True):
    """Why a task is where it is, read from the rows that the scheduler itself reads."""

    task_id: str
    state: str
    """Where a task is. The last four are ends. One of pending, queued, running, waiting, succeeded, failed, cancelled, dead."""
    why: str
    blockers: list[Blocker]
    agent: AgentChoice | None = None


class SavedFilter(Struct, kw_only=True):
    """A filter of tasks that is kept under a name, and how a list of them is sorted."""

    name: str
    project: str
    description: str
    filter: TaskQuery
    sort: str
    """How a list is sorted; tasks that are alike by it, the newest first. One of newest, oldest, finished, longest, priority."""
    created_by: str
    """Who saved it last."""
    updated_at: datetime


class AgentDiff(Struct, kw_only=True):
    """What two versions of an agent differ in. Lists are compared whole."""

    old: int
    new: int
    differences: list[AgentDifference]


class Queue(Struct, kw_only=True):
    """A queue of a project."""

    name: str
    project: str
    state: str
    """One of open, paused, draining."""
    distribution: str
    """Which of the agents that have the capabilities of a task is given it. least_loaded: who runs the least part of what it may; round_robin: one after the other; weighted: by their weights. One of least_loaded, round_robin, weighted."""
    queued: int
    """Tasks that are ready; counted up to 10000."""
    running: int
    concurrency: int | None = None
    """Tasks of it that run at once; null: no limit."""
    rate: Rate | None = None
    """How fast they may start; null: no limit."""
    updated_at: datetime | None = None
    """null when nothing was laid down for it."""


class Status(Struct, kw_only=True):
    """How the installation is."""

    version: str
    uptime_seconds: float
    database: DatabaseStatus
    valkey: ValkeyStatus
    artifacts: ArtifactStatus
    workers: list[Worker]
    counts: dict[str, int]
    """Tasks by state. Those that ended are counted every 10 seconds."""
    sessions: int
    """Those of the running tasks that are sessions."""
    schedules: int
    """Schedules that are to fire again."""
    feed_lag_seconds: float
    """For how long the newest events could not be read; 0 while all is read."""
    confinement: str | None = None
    """How the newest worker keeps agents from Podium's own files."""


class Diagnosis(Struct, kw_only=True):
    """What the server knows to be wrong."""

    version: str
    checks: list[str]
    """All that were made, in order."""
    findings: list[DiagnosisFinding]
    """In the order of the checks."""


class Overview(Struct, kw_only=True):
    """What goes on."""

    version: str
    at: datetime
    valkey_ok: bool
    feed_lag_seconds: float
    counts: dict[str, int]
    """Tasks that have not ended by state; counted up to 10000."""
    queues: list[QueueAtGlance]
    """The busiest first, a hundred at most."""
    running: list[TaskAtGlance]
    """Those first that have run for longest."""
    newest: list[TaskAtGlance]
    project: str | None = None
    """Whose tasks it is about; null: those of all."""
    workers: list[Worker] | None = None
    """Those that serve; null for a token that may not see them."""
