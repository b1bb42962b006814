"""Limits as clients see and send them."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from podium.kernel.fields import Body, Page
from podium.limits import model
from podium.scheduler.model import Rate

_Concurrency = Annotated[
    int | None,
    Field(ge=1, le=1_000_000, description="Tasks that name it and run at once; null: any number."),
]


class LimitPut(Body):
    """What to lay down for a limit; it replaces all that was."""

    concurrency: _Concurrency = None
    rate: Rate | None = Field(
        default=None, description="How fast tasks that name it may start; null: at any rate."
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.concurrency is None and self.rate is None:
            raise ValueError("give a concurrency, a rate or both")
        return self


class Limit(BaseModel):
    """A limit that tasks name; one that ends in `*` holds for each name that begins like it."""

    name: str
    project: str
    concurrency: int | None
    rate: Rate | None
    used: int = Field(description="Tasks that count against it now: they run or are ready to.")
    waiting: int = Field(description="Tasks that wait for it.")
    updated_at: datetime


class LimitPage(Page[Limit]):
    """Limits in order of name."""


def limit_view(limit: model.Limit, project: str) -> Limit:
    return Limit(
        name=limit.name,
        project=project,
        concurrency=limit.concurrency,
        rate=limit.rate,
        used=limit.used,
        waiting=limit.waiting,
        updated_at=limit.updated_at,
    )
