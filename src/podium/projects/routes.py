"""``projects``."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field

from podium.events.http import Change
from podium.kernel.web import Body, Limit, Name, Page, PageCursor, page_cursor, page_key, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import Projects, project_for
from podium.projects.model import Project
from podium.storage.database import Database

router = APIRouter(prefix="/projects", tags=["projects"])

_Database = Annotated[Database, Depends(provided(Database))]
_Reader = Annotated[Principal, Depends(require("projects:read"))]
_Writer = Annotated[Principal, Depends(require("projects:write"))]
_PathName = Annotated[str, PathParameter(alias="name", max_length=63, examples=["default"])]
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


class ProjectOut(BaseModel):
    """A project."""

    id: UUID
    name: str
    weight: float
    created_at: datetime


@router.get("", summary="List projects by name")
async def list_projects(
    reader: _Reader,
    projects: Projects,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> Page[ProjectOut]:
    key = page_key(cursor, str)
    async with database.connect() as conn:
        found = await projects.list(conn, reader, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].name) if len(found) > limit else None
    return Page(items=[_out(project) for project in page], next=more)


@router.post("", status_code=201, summary="Create a project")
async def create_project(
    new: ProjectNew, writer: _Writer, projects: Projects, change: Change
) -> ProjectOut:
    async with change() as conn:
        return _out(await projects.create(conn, writer, new.name, new.weight))


@router.get("/{name}", summary="Read a project")
async def get_project(name: _PathName, reader: _Reader, projects: Projects) -> ProjectOut:
    return _out(await project_for(reader, projects, name))


@router.put("/{name}", summary="Change a project")
async def edit_project(
    name: _PathName, edit: ProjectEdit, writer: _Writer, projects: Projects, change: Change
) -> ProjectOut:
    async with change() as conn:
        return _out(await projects.change(conn, writer, name, edit.weight))


@router.delete("/{name}", status_code=204, summary="Delete a project without open tasks")
async def delete_project(
    name: _PathName, writer: _Writer, projects: Projects, change: Change
) -> None:
    async with change() as conn:
        await projects.delete(conn, writer, name)


def _out(project: Project) -> ProjectOut:
    return ProjectOut.model_validate(project, from_attributes=True)
