"""Saved filters as clients see and send them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from podium.filters import model
from podium.kernel.fields import Body, Line, Page
from podium.tasks.filtering import Order
from podium.tasks.queries import TaskQuery


class FilterPut(Body):
    """A filter to save; it replaces all that was."""

    description: Annotated[Line, Field(max_length=500)] = ""
    filter: TaskQuery
    sort: Annotated[Order, Field(strict=False)] = Order.NEWEST


class SavedFilter(BaseModel):
    """A filter of tasks that is kept under a name, and how a list of them is sorted."""

    name: str
    project: str
    description: str
    filter: TaskQuery
    sort: Order
    created_by: str = Field(description="Who saved it last.")
    updated_at: datetime


class SavedFilterPage(Page[SavedFilter]):
    """Saved filters in order of name."""


def filter_view(saved: model.SavedFilter, project: str) -> SavedFilter:
    return SavedFilter(
        name=saved.name,
        project=project,
        description=saved.description,
        filter=TaskQuery.model_validate(saved.filter, strict=False),
        sort=Order(saved.sort),
        created_by=saved.created_by,
        updated_at=saved.updated_at,
    )
