"""Every type of event that Podium writes, and whether a wished one is among them."""

from collections.abc import Iterable

from podium.agents import model as agents
from podium.events.model import EventType
from podium.kernel.errors import InvalidInput
from podium.principals import model as principals
from podium.projects import model as projects
from podium.scheduler import model as scheduler

CATALOGUE: tuple[EventType, ...] = (
    *scheduler.EVENTS,
    *agents.EVENTS,
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
