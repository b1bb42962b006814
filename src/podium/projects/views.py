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


class ProjectNew(Body):
    """A project to create."""

    name: Name = Field(examples=["research"])
    weight: _Weight = 1.0


class ProjectEdit(Body):
    """What of a project can change."""

    weight: _Weight


class Project(BaseModel):
    """A project."""

    id: UUID
    name: str
    weight: float
    created_at: datetime


class ProjectPage(Page[Project]):
    """Projects in order of name."""


def project_view(project: model.Project) -> Project:
    return Project.model_validate(project, from_attributes=True)
