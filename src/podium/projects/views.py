"""Projects as clients see and send them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from podium.kernel.fields import Body, Name, Page
from podium.projects import model

_Weight = Annotated[
    float,
    Field(
        ge=0.001,
        le=1000,
        description="Share of the workers beside other projects that have tasks to run.",
    ),
]


_Ageing = Annotated[
    float | None,
    Field(
        gt=0,
        le=31_536_000,
        description="Seconds that a task must wait to count as one step of priority higher; null: "
        "priorities do not age.",
    ),
]


_KeepDays = Annotated[
    float | None,
    Field(
        gt=0,
        le=36_500,
        description="Days after their end when tasks are deleted; null: they are not.",
    ),
]
_KeepTasks = Annotated[
    int | None,
    Field(
        ge=0,
        le=100_000_000,
        description="Ended tasks that are kept: the newest; null: all of them.",
    ),
]


class ProjectNew(Body):
    """A project to create."""

    name: Name = Field(examples=["research"])
    weight: _Weight = 1.0
    priority_ageing: _Ageing = None
    keep_days: _KeepDays = None
    keep_tasks: _KeepTasks = None


class ProjectEdit(Body):
    """What to change of a project; fields left out stay as they are."""

    weight: _Weight = Field(default_factory=lambda: 1.0)  # which the document does not tell
    priority_ageing: _Ageing = None
    keep_days: _KeepDays = None
    keep_tasks: _KeepTasks = None


class Project(BaseModel):
    """A project."""

    id: UUID
    name: str
    weight: float
    priority_ageing: float | None = Field(
        description="Seconds of waiting that count as one step of priority; null: none do."
    )
    keep_days: float | None
    keep_tasks: int | None
    created_at: datetime


class ProjectPage(Page[Project]):
    """Projects in order of name."""


def project_view(project: model.Project) -> Project:
    return Project.model_validate(project, from_attributes=True)
