"""Queues as clients see and send them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from podium.kernel.fields import Body, Page
from podium.queues import model
from podium.queues.model import MOST_COUNTED, Distribution, QueueState
from podium.scheduler.model import Rate

_Concurrency = Annotated[
    int | None,
    Field(ge=1, le=1_000_000, description="Tasks of it that run at once; null: no limit."),
]


_DISTRIBUTION = (
    "Which of the agents that have the capabilities of a task is given it. least_loaded: who runs "
    "the least part of what it may; round_robin: one after the other; weighted: by their weights."
)


class QueueEdit(Body):
    """What to lay down for a queue; fields left out stay as they are, null takes a limit away."""

    concurrency: _Concurrency = None
    rate: Rate | None = Field(default=None, description="How fast they may start; null: no limit.")
    state: QueueState = Field(
        default_factory=lambda: "open",  # which the document does not tell: left out, it stays
        description="open; paused: takes tasks and starts none; draining: takes no new tasks and "
        "goes on with those that it has.",
    )
    distribution: Distribution = Field(
        default_factory=lambda: "least_loaded", description=_DISTRIBUTION
    )


class Queue(BaseModel):
    """A queue of a project."""

    name: str
    project: str
    state: QueueState
    concurrency: int | None = Field(description="Tasks of it that run at once; null: no limit.")
    rate: Rate | None = Field(description="How fast they may start; null: no limit.")
    distribution: Distribution = Field(description=_DISTRIBUTION)
    queued: int = Field(description=f"Tasks that are ready; counted up to {MOST_COUNTED}.")
    running: int
    updated_at: datetime | None = Field(description="null when nothing was laid down for it.")


class QueuePage(Page[Queue]):
    """Queues in order of name."""


def queue_view(queue: model.Queue, project: str) -> Queue:
    return Queue(
        name=queue.name,
        project=project,
        state=queue.rules.state,
        concurrency=queue.rules.concurrency,
        rate=queue.rules.rate,
        distribution=queue.rules.distribution,
        queued=queue.queued,
        running=queue.running,
        updated_at=queue.updated_at,
    )
