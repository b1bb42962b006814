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


def _tasks(client: "Podium") -> Sequence[Offer]:
    found = client.tasks.list(limit=_MOST)
    return [(task.id, line(f"{task.state} {task.title}", 60)) for task in found]
