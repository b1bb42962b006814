"""Principals, the scopes that they hold, and tokens."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from podium.events.model import EventType
from podium.kernel.errors import Forbidden, NotFound

Kind = Literal["admin", "token", "attempt"]
Scope = Literal[
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
Preset = Literal["viewer", "member", "operator", "admin"]

SCOPES: Mapping[Scope, str] = {
    "admin": "everything",
    "tasks:read": "see tasks, their history, logs and artifacts",
    "tasks:write": "submit, edit, cancel, retry and delete tasks",
    "tasks:execute": "submit tasks to agents that run code on a worker's machine",
    "agents:read": "see agents",
    "agents:write": "register, change, probe and delete agents",
    "agents:execute": "do that with agents that run code on a worker's machine",
    "queues:read": "see queues and what limits them",
    "queues:write": "limit, pause, drain and open queues",
    "limits:read": "see limits that tasks name, and who waits for them",
    "limits:write": "set and delete limits",
    "schedules:read": "see schedules and what came of their times",
    "schedules:write": "create, change, fire and delete schedules (tasks:write too)",
    "templates:read": "see templates, and start them with tasks:write",
    "templates:write": "create, change and delete templates (tasks:write too)",
    "events:read": "read and follow events",
    "projects:read": "see projects",
    "projects:write": "create, change and delete projects",
    "tokens:write": "list tokens, create and revoke those with at most one's own scopes",
    "workers:read": "see workers and the state of the servers",
    "metrics:read": "read metrics",
    "settings:read": "see settings, secrets masked",
}
GLOBAL_SCOPES: frozenset[Scope] = frozenset(
    {"admin", "projects:write", "workers:read", "metrics:read", "settings:read"}
)
"""They reach beyond one project, so a token of one project cannot hold them."""

_VIEWER: tuple[Scope, ...] = (
    *("tasks:read", "agents:read", "queues:read", "limits:read", "schedules:read"),
    *("templates:read", "events:read", "projects:read", "workers:read"),
)
_MEMBER: tuple[Scope, ...] = (
    *(*_VIEWER, "tasks:write", "tasks:execute", "schedules:write", "templates:write"),
)
PRESETS: Mapping[Preset, tuple[Scope, ...]] = {
    "viewer": _VIEWER,
    "member": _MEMBER,
    "operator": (
        *(*_MEMBER, "agents:write", "agents:execute", "queues:write", "limits:write"),
        *("metrics:read", "settings:read"),
    ),
    "admin": ("admin",),
}
"""Named sets of scopes; a token of one project gets those of them that do not reach beyond it.

A member runs only code that somebody with ``agents:execute`` chose to register.
"""

EVENTS = (
    EventType(
        "token.created",
        "A token was created.",
        {"name": "", "scopes": "what it may do", "expires_at": "null when it does not expire"},
    ),
    EventType("token.revoked", "A token was revoked; it stops working at once.", {"name": ""}),
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking.

    ``name`` is how records and events name it: ``admin:local``, ``token:ci``. ``project_id`` None
    means every project. ``tasks`` not None means an attempt: it sees its own task and those that
    it depends on, and nothing else.
    """

    kind: Kind
    id: UUID
    name: str
    project_id: UUID | None
    scopes: frozenset[str]
    expires_at: datetime | None = None
    tasks: frozenset[UUID] | None = None

    def has(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def demand(self, *scopes: Scope) -> None:
        """Raise ``Forbidden`` unless the principal holds all these scopes."""
        missing = [scope for scope in scopes if not self.has(scope)]
        if missing:
            raise Forbidden(
                f"This needs the scope {' and '.join(missing)}.",
                hint=self._how_to_hold(missing),
                missing=missing,
            )

    def _how_to_hold(self, missing: Sequence[str]) -> str:
        """What to do: who lacks a scope cannot make a token that holds it."""
        ask = "Ask whoever administers this installation; `podium token create` makes it for them"
        beyond = [scope for scope in missing if scope in GLOBAL_SCOPES]
        if beyond and self.project_id is not None:
            return (
                f"A token of one project cannot hold {' and '.join(beyond)}: use one for all "
                f"projects. {ask}, without --project."
            )
        what = "it" if len(missing) == 1 else "them"
        return f"Use a token that holds {what}. {ask}."

    def demand_all(self) -> None:
        """Raise ``Forbidden`` for an attempt, which sees its own task but no list of others."""
        if self.tasks is not None:
            raise Forbidden("An attempt sees only its own task and those that it depends on.")

    def check_task(self, task_id: UUID, project_id: UUID | None) -> None:
        """Raise ``NotFound`` when the task, which is in that project, is not for this principal."""
        if self.project_id not in (None, project_id) or (
            self.tasks is not None and task_id not in self.tasks
        ):
            raise NotFound(f"There is no task {task_id}.", task_id=str(task_id))


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is on record; its secret is not."""

    id: UUID
    name: str
    project: str | None
    project_id: UUID | None
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


def all_scopes(scopes: Iterable[str]) -> list[str]:
    """The scopes in force: ``admin`` spelt out."""
    held = set(scopes)
    return [scope for scope in SCOPES if "admin" in held or scope in held]
