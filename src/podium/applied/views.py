"""Records of what was applied as clients see and send them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from podium.applied import model
from podium.kernel.fields import Body, Line, Page, Word

_MOST = 1000
_Fields = Annotated[
    dict[Word, Annotated[str, Field(max_length=64)]],
    Field(max_length=100, description="A digest of each field as it was applied."),
]


class Thing(Body):
    """A thing that files describe; of kind `Project`, `project` is its own name."""

    project: Annotated[str, Field(max_length=63)]
    kind: Annotated[model.Kind, Field(strict=False)]
    name: Annotated[Line, Field(min_length=1, max_length=200)]


class ThingApplied(Thing):
    """A thing as it was applied."""

    fields: _Fields = Field(default={})


class SetPut(Body):
    """What belongs to a set of files now, and what does no more."""

    applied: list[ThingApplied] = Field(default=[], max_length=_MOST)
    removed: list[Thing] = Field(default=[], max_length=_MOST)


class Applied(BaseModel):
    """That a thing belongs to a set of files."""

    project: str
    kind: model.Kind
    name: str
    set: str
    fields: Mapping[str, str] = Field(description="A digest of each field as it was applied.")
    applied_by: str
    applied_at: datetime


class AppliedPage(Page[Applied]):
    """Records of what was applied."""


def applied_view(record: model.Applied) -> Applied:
    return Applied.model_validate(record, from_attributes=True, strict=False)


def place(thing: Thing) -> model.Place:
    return model.Place(thing.project, thing.kind, thing.name)
