# Generated from openapi.json by scripts/client_code.py.
# ruff: noqa: E501
"""What the API takes, as typed dictionaries."""

from __future__ import annotations

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
    capabilities: NotRequired[list[str]]
    """Any agent that has all of these may do it."""
    input: NotRequired[Any]
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[dict[str, str]]
    queue: NotRequired[str]
    depends_on: NotRequired[list[str]]
    """Ids of tasks that must end first, or refs of tasks of the same bulk call."""
    on_dependency_failure: NotRequired[Literal["cancel", "run", "hold"]]
    """When a dependency does not succeed: cancel this task, run it all the same, or hold it until the dependency was retried and succeeded."""
    delay: NotRequired[float | None]
    """Seconds before which it does not start."""
    start_at: NotRequired[datetime | None]
    """Time before which it does not start; excludes delay."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    input_schema: NotRequired[dict[str, Any] | None]
    """JSON Schema (2020-12) that the input must match."""
    output_schema: NotRequired[dict[str, Any] | None]
    """JSON Schema (2020-12) that the agent's output must match."""
    ref: NotRequired[str | None]


class TaskEdit(TypedDict):
    """What to change of a task that has not begun; fields left out stay."""

    title: NotRequired[str | None]
    priority: NotRequired[int | None]
    labels: NotRequired[dict[str, str] | None]
    input: NotRequired[Any]
    timeouts: NotRequired[Timeouts | None]
    retry: NotRequired[RetryPolicy | None]


class CancelRequest(TypedDict):
    """Why a task is cancelled."""

    reason: NotRequired[str]


class AgentNew(TypedDict):
    name: str
    runtime: str
    config: NotRequired[dict[str, Any]]
    description: NotRequired[str]
    capabilities: NotRequired[list[str]]
    labels: NotRequired[dict[str, str]]
    max_concurrency: NotRequired[int | None]
    enabled: NotRequired[bool]


class AgentEdit(TypedDict):
    runtime: NotRequired[str | None]
    config: NotRequired[dict[str, Any] | None]
    description: NotRequired[str | None]
    capabilities: NotRequired[list[str] | None]
    labels: NotRequired[dict[str, str] | None]
    max_concurrency: NotRequired[int | None]
    enabled: NotRequired[bool | None]


class ProjectNew(TypedDict):
    name: str
    weight: NotRequired[float]


class ProjectEdit(TypedDict):
    weight: NotRequired[float | None]


class TokenNew(TypedDict):
    name: str
    scopes: list[str]
    project: NotRequired[str | None]
    expires_in: NotRequired[float | None]


class TaskNew(TypedDict):
    """A task to be done by one agent: a named one, or any that has all the capabilities."""

    title: NotRequired[str | None]
    """Default: made from agent and input."""
    agent: NotRequired[str | None]
    """Name of the agent that must do it."""
    capabilities: NotRequired[list[str]]
    """Any agent that has all of these may do it."""
    input: NotRequired[Any]
    priority: NotRequired[int]
    """Higher runs first."""
    labels: NotRequired[dict[str, str]]
    queue: NotRequired[str]
    depends_on: NotRequired[list[str]]
    """Ids of tasks that must end first, or refs of tasks of the same bulk call."""
    on_dependency_failure: NotRequired[Literal["cancel", "run", "hold"]]
    """When a dependency does not succeed: cancel this task, run it all the same, or hold it until the dependency was retried and succeeded."""
    delay: NotRequired[float | None]
    """Seconds before which it does not start."""
    start_at: NotRequired[datetime | None]
    """Time before which it does not start; excludes delay."""
    timeouts: NotRequired[Timeouts]
    retry: NotRequired[RetryPolicy]
    input_schema: NotRequired[dict[str, Any] | None]
    """JSON Schema (2020-12) that the input must match."""
    output_schema: NotRequired[dict[str, Any] | None]
    """JSON Schema (2020-12) that the agent's output must match."""


class BulkNew(TypedDict):
    """Tasks that are accepted in one call, in chunks of 500 that are each all or nothing."""

    tasks: list[TaskInBulk]
