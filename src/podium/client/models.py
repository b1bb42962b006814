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
    """What the running attempt said last."""

    fraction: float | None = None
    """0 to 1; null when the agent cannot know."""
    note: str | None = None


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


class RunningOn(Struct, kw_only=True):
    """Where the live attempt runs."""

    agent: str
    worker: str
    worker_name: str | None = None
    """null once the worker, long ended, is forgotten."""
    worker_host: str | None = None
    """Name of the machine that the worker runs on; null as `worker_name`."""


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
    choice: list[dict[str, Any]] | None = None
    """The agents that could have taken it, when it was chosen by capability."""


class LogItem(Struct, kw_only=True):
    """A piece of output. ``id`` grows; pass the last one as ``after`` to go on."""

    id: int
    at: datetime
    attempt: int
    stream: str
    text: str


class Artifact(Struct, kw_only=True):
    """A file that an attempt kept."""

    name: str
    attempt: int
    content_type: str
    size: int
    """Bytes."""
    sha256: str
    created_at: datetime


class Blocker(Struct, kw_only=True):
    """One thing that keeps a task from running."""

    kind: str
    """One of dependency, delay, retry, gate, parked, no_agent, agent_disabled, agent_unhealthy, agent_busy, no_worker, worker_busy, worker_blocked, behind."""
    detail: str
    subject: str | None = None


class AgentChoice(Struct, kw_only=True):
    """Which agent runs it and why."""

    name: str
    how: str
    candidates: list[dict[str, Any]]


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


class AgentVersion(Struct, kw_only=True):
    """What an agent was at a time."""

    version: int
    runtime: str
    config: dict[str, Any]
    created_at: datetime
    created_by: str


class Probe(Struct, kw_only=True):
    """What a probe found."""

    ok: bool
    detail: str
    """What was tried and, when not ok, what to do."""


class Project(Struct, kw_only=True):
    """A project."""

    id: str
    name: str
    weight: float
    created_at: datetime


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


class Setting(Struct, kw_only=True):
    """One setting as it is in force."""

    name: str
    env: str
    """Environment variable that sets it."""
    description: str
    value: Any = None
    """Secrets are masked."""
    default: Any = None


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
    capabilities: list[str]
    attempt: int
    depends_on: list[Dependency]
    on_dependency_failure: str
    """One of cancel, run, hold."""
    timeouts: Timeouts
    retry: RetryPolicy
    created_at: datetime
    created_by: str
    agent: str | None = None
    input: Any = None
    output: Any = None
    error: dict[str, Any] | None = None
    progress: TaskProgress | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    queued_seconds: float | None = None
    """How long the last attempt waited to start."""
    run_seconds: float | None = None
    """How long the last attempt ran, or runs so far."""
    running_on: RunningOn | None = None


class Explanation(Struct, kw_only=True):
    """Why a task is where it is, read from the rows that the scheduler itself reads."""

    task_id: str
    state: str
    """Where a task is. The last four are ends. One of pending, queued, running, waiting, succeeded, failed, cancelled, dead."""
    why: str
    blockers: list[Blocker]
    agent: AgentChoice | None = None


class Status(Struct, kw_only=True):
    """How the installation is."""

    version: str
    uptime_seconds: float
    database: DatabaseStatus
    valkey: ValkeyStatus
    workers: list[Worker]
    counts: dict[str, int]
    """Tasks by state. Those that ended are counted every 10 seconds."""
    feed_lag_seconds: float
    """For how long the newest events could not be read; 0 while all is read."""
    confinement: str | None = None
    """How the newest worker keeps agents from Podium's own files."""
