"""What a shell offers after Tab that only the server knows.

A shell waits for it at every Tab, and shows whatever is written: so there is one call, which waits
a second for an answer, and where there is none nothing is offered.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import typer

from podium.cli.text import line
from podium.client.errors import PodiumError

if TYPE_CHECKING:
    from podium.client import Podium

_SECONDS = 1.0
_MOST = 50
"""So many agents, or newest tasks, are looked at: one call brings them."""

Offer = tuple[str, str]
"""A word, and what shells that can do so show beside it."""


def agents(ctx: typer.Context, incomplete: str) -> Sequence[Offer]:
    """The agents whose names begin so."""
    return _asked(ctx, incomplete, _agents)


def queues(ctx: typer.Context, incomplete: str) -> Sequence[Offer]:
    """The queues whose names begin so."""
    return _asked(ctx, incomplete, _queues)


def limits(ctx: typer.Context, incomplete: str) -> Sequence[Offer]:
    """The limits whose names begin so."""
    return _asked(ctx, incomplete, _limits)


def filters(ctx: typer.Context, incomplete: str) -> Sequence[Offer]:
    """The saved filters whose names begin so."""
    return _asked(ctx, incomplete, _filters)


def schedules(ctx: typer.Context, incomplete: str) -> Sequence[Offer]:
    """The schedules whose names begin so."""
    return _asked(ctx, incomplete, _schedules)


def templates(ctx: typer.Context, incomplete: str) -> Sequence[Offer]:
    """The templates whose names begin so."""
    return _asked(ctx, incomplete, _templates)


def tasks(ctx: typer.Context, incomplete: str) -> Sequence[Offer]:
    """The newest tasks whose ids begin so."""
    return _asked(ctx, incomplete, _tasks)


def _asked(
    ctx: typer.Context, incomplete: str, offers: "Callable[[Podium], Sequence[Offer]]"
) -> Sequence[Offer]:
    from podium.client import Podium

    try:
        with Podium(project=ctx.params.get("project"), timeout=_SECONDS, retries=0) as client:
            found = offers(client)
    except PodiumError:  # no place to tell of it; the command itself will
        return []
    return [offer for offer in found if offer[0].startswith(incomplete)]


def _agents(client: "Podium") -> Sequence[Offer]:
    found = islice(client.agents.list(), _MOST)
    return [(agent.name, line(agent.description, 60)) for agent in found]


def _queues(client: "Podium") -> Sequence[Offer]:
    found = islice(client.queues.list(), _MOST)
    return [(queue.name, f"{queue.state}, {queue.queued} queued") for queue in found]


def _limits(client: "Podium") -> Sequence[Offer]:
    found = islice(client.limits.list(), _MOST)
    return [(limit.name, f"{limit.used} used, {limit.waiting} waiting") for limit in found]


def _filters(client: "Podium") -> Sequence[Offer]:
    return [(each.name, line(each.description)) for each in client.filters.list(limit=_MOST)]


def _schedules(client: "Podium") -> Sequence[Offer]:
    found = islice(client.schedules.list(), _MOST)
    return [(schedule.name, line(schedule.description, 60)) for schedule in found]


def _templates(client: "Podium") -> Sequence[Offer]:
    found = islice(client.templates.list(), _MOST)
    return [(template.name, line(template.description, 60)) for template in found]


def _tasks(client: "Podium") -> Sequence[Offer]:
    found = client.tasks.list(limit=_MOST)
    return [(task.id, line(f"{task.state} {task.title}", 60)) for task in found]
