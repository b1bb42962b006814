"""``projects``."""

from typing import Annotated

from fastapi import Depends
from fastapi import Path as PathParameter

from podium.events.http import Change
from podium.kernel.web import Limit, PageCursor, api_router, page_cursor, page_key, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import Projects, project_for
from podium.projects.views import Project, ProjectEdit, ProjectNew, ProjectPage, project_view
from podium.storage.database import Database

router = api_router("/projects", "projects")

_Database = Annotated[Database, Depends(provided(Database))]
_Reader = Annotated[Principal, Depends(require("projects:read"))]
_Writer = Annotated[Principal, Depends(require("projects:write"))]
_PathName = Annotated[str, PathParameter(alias="name", max_length=63, examples=["default"])]


@router.get("", summary="List projects by name")
async def list_projects(
    reader: _Reader,
    projects: Projects,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> ProjectPage:
    key = page_key(cursor, str)
    async with database.connect() as conn:
        found = await projects.list(conn, reader, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].name) if len(found) > limit else None
    return ProjectPage(items=[project_view(project) for project in page], next=more)


@router.post("", status_code=201, summary="Create a project")
async def create_project(
    new: ProjectNew, writer: _Writer, projects: Projects, change: Change
) -> Project:
    given = {field: getattr(new, field) for field in new.model_fields_set - {"name"}}
    async with change() as conn:
        return project_view(await projects.create(conn, writer, new.name, given))


@router.get("/{name}", summary="Read a project")
async def get_project(name: _PathName, reader: _Reader, projects: Projects) -> Project:
    return project_view(await project_for(reader, projects, name))


@router.put("/{name}", summary="Change a project")
async def edit_project(
    name: _PathName, edit: ProjectEdit, writer: _Writer, projects: Projects, change: Change
) -> Project:
    wanted = {field: getattr(edit, field) for field in edit.model_fields_set}
    async with change() as conn:
        return project_view(await projects.change(conn, writer, name, wanted))


@router.delete("/{name}", status_code=204, summary="Delete an empty project")
async def delete_project(
    name: _PathName, writer: _Writer, projects: Projects, change: Change
) -> None:
    """Refused while it has agents, tasks (ended ones too), schedules, templates of its own, or
    tokens in force."""
    async with change() as conn:
        await projects.delete(conn, writer, name)
