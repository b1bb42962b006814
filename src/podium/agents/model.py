"""Agents as they are registered, and their events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from podium.events.model import EventType

CODE_RUNTIMES = frozenset({"command", "function"})
"""Runtimes that run code on a worker's machine: registering and using them are own powers."""

EVENTS = (
    EventType("agent.registered", "An agent was registered.", {"name": "", "runtime": ""}),
    EventType(
        "agent.updated",
        "An agent was changed.",
        {
            "name": "",
            "version": "the version in force",
            "fields": "what was changed",
            "restored": "the version that it was set back to, if it was",
        },
    ),
    EventType("agent.deleted", "An agent was deleted.", {"name": ""}),
    EventType(
        "agent.health",
        "A probe found an agent healthy again, or not healthy any more. One that is not healthy "
        "is given no tasks and is probed again each minute; a healthy one is every ten minutes, on "
        "the machine where a probe found it so.",
        {"name": "", "healthy": "", "detail": "what was tried and what to do"},
    ),
)


@dataclass(frozen=True, slots=True)
class Definition:
    """What one registers. ``config`` is the runtime's own; ``max_concurrency`` None: no limit.
    ``weight``: its share of what weighted queues share out. ``talks``: whether it can be talked to,
    as its runtime says."""

    name: str
    runtime: str
    config: Mapping[str, Any]
    description: str = ""
    capabilities: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    max_concurrency: int | None = None
    weight: float = 1.0
    enabled: bool = True
    talks: bool = False


@dataclass(frozen=True, slots=True)
class Agent:
    """A registered agent with the version that is in force."""

    id: UUID
    project_id: UUID
    name: str
    version: int
    runtime: str
    config: Mapping[str, Any]
    description: str
    capabilities: tuple[str, ...]
    labels: Mapping[str, str]
    max_concurrency: int | None
    weight: float
    enabled: bool
    talks: bool
    healthy: bool
    health_detail: str | None
    health_checked_at: datetime | None
    health_host: str | None
    running: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Which agents are meant: those that have all of these, and all labels."""

    capabilities: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    runtime: str | None = None


class Listed(NamedTuple):
    """What submitting a task needs to know of an agent. ``capabilities`` are as the scheduler
    compares them, with ``TALKS`` for one that can be talked to. ``usable``: it is enabled, and
    nothing is known against its health."""

    id: UUID
    name: str
    runtime: str
    capabilities: frozenset[str]
    usable: bool
    weight: float


@dataclass(frozen=True, slots=True)
class AgentVersion:
    """What an agent was at a time. Versions never change; attempts name theirs."""

    version: int
    runtime: str
    config: Mapping[str, Any]
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A place, as a JSON pointer, where two versions are not the same.

    ``before`` is None where something was added, ``after`` where it was removed."""

    pointer: str
    change: Literal["added", "removed", "changed"]
    before: object
    after: object
