"""Every type of event that Podium writes, and whether a wished one is among them."""

from collections.abc import Iterable

from podium.agents import model as agents
from podium.applied import model as applied
from podium.events.model import EventType
from podium.filters import model as filters
from podium.kernel.errors import InvalidInput
from podium.limits import model as limits
from podium.principals import model as principals
from podium.projects import model as projects
from podium.queues import model as queues
from podium.scheduler import model as scheduler
from podium.schedules import model as schedules
from podium.sessions import model as sessions
from podium.templates import model as templates

CATALOGUE: tuple[EventType, ...] = (
    *scheduler.EVENTS,
    *sessions.EVENTS,
    *agents.EVENTS,
    *queues.EVENTS,
    *limits.EVENTS,
    *schedules.EVENTS,
    *filters.EVENTS,
    *templates.EVENTS,
    *applied.EVENTS,
    *projects.EVENTS,
    *principals.EVENTS,
)
"""By the slice that writes it."""
_NAMES = frozenset(each.name for each in CATALOGUE)


def require_known(types: Iterable[str]) -> None:
    """Raise ``InvalidInput`` for a type that no event ever has, or a prefix of none."""
    for name in types:
        if not _is_known(name):
            raise InvalidInput(
                f"No event has the type {name[:80]!r}.",
                hint=f"Types are {', '.join(sorted(_NAMES))}; and prefixes such as task.*.",
                field="type",
            )


def _is_known(name: str) -> bool:
    if name.endswith(".*"):
        return any(each.startswith(name[:-1]) for each in _NAMES)
    return name in _NAMES
