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


class TaskInBulk(TypedDict):
    """A task of a bulk call; ``ref`` is the name by which others of the call depend on it."""

    title: NotRequired[str | None]
    """Default: made from agent and input."""
    agent: NotRequired[str | None]
    """Name of the agent that must do it."""
    capabilities: NotRequired[Sequence[str]]
    """Any agent that has all of these may do it."""
    input: NotRequired[Any]
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[Mapping[str, str]]
    queue: NotRequired[str]
    depends_on: NotRequired[Sequence[str]]
    """Ids of tasks that must end first, or refs of tasks of the same bulk call."""
    on_dependency_failure: NotRequired[Literal["cancel", "run", "hold"]]
    """When a dependency does not succeed: cancel this task, run it all the same, or hold it until the dependency was retried and succeeded."""
    delay: NotRequired[float | None]
    """Seconds before which it does not start."""
    start_at: NotRequired[datetime | None]
    """Time before which it does not start; excludes delay."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    input_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the input must match. It may refer to its own parts only."""
    output_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the agent's output must match, or the attempt fails."""
    ref: NotRequired[str | None]


class TaskEdit(TypedDict):
    """
    What to change of a pending or queued task; fields left out stay, and those that are null,
    but for `input`, whose null is a value.
    """

    title: NotRequired[str | None]
    priority: NotRequired[int | None]
    labels: NotRequired[Mapping[str, str] | None]
    input: NotRequired[Any]
    timeouts: NotRequired[Timeouts | None]
    """Replaces all three. The queue timeout counts from the edit."""
    retry: NotRequired[RetryPolicy | None]


class CancelRequest(TypedDict):
    """Why a task is cancelled."""

    reason: NotRequired[str]


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
    enabled: NotRequired[bool]
    version: NotRequired[int | None]
    """The version that you read; the change is refused when another is in force."""


class ProjectNew(TypedDict):
    """A project to create."""

    name: str
    weight: NotRequired[float]
    """Share of the workers beside other projects that have tasks to run."""


class ProjectEdit(TypedDict):
    """What of a project can change."""

    weight: float
    """Share of the workers beside other projects that have tasks to run."""


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
    input: NotRequired[Any]
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[Mapping[str, str]]
    queue: NotRequired[str]
    depends_on: NotRequired[Sequence[str]]
    """Ids of tasks that must end first, or refs of tasks of the same bulk call."""
    on_dependency_failure: NotRequired[Literal["cancel", "run", "hold"]]
    """When a dependency does not succeed: cancel this task, run it all the same, or hold it until the dependency was retried and succeeded."""
    delay: NotRequired[float | None]
    """Seconds before which it does not start."""
    start_at: NotRequired[datetime | None]
    """Time before which it does not start; excludes delay."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    input_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the input must match. It may refer to its own parts only."""
    output_schema: NotRequired[Mapping[str, Any] | None]
    """JSON Schema that the agent's output must match, or the attempt fails."""


class BulkNew(TypedDict):
    """
    Tasks that are accepted in one call, in chunks of 500 that are each all or nothing. They
    may have 100,000 dependencies together.
    """

    tasks: Sequence[TaskInBulk]
