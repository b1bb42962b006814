"""The FastAPI dependency that gives a request its project."""

from typing import Annotated

from fastapi import Depends, Query
from starlette.requests import HTTPConnection

from podium.kernel.web import provided, service
from podium.principals.http import current_principal
from podium.principals.model import Principal
from podium.projects.model import DEFAULT, Project
from podium.projects.service import ProjectService, missing

Projects = Annotated[ProjectService, Depends(provided(ProjectService))]
ProjectName = Annotated[
    str | None,
    Query(
        alias="project",
        max_length=63,
        description="Name of the project. Default: the one that the token is bound to, "
        "else `default`.",
        examples=["default"],
    ),
]


async def project_for(principal: Principal, projects: ProjectService, name: str | None) -> Project:
    """The project that a principal means; ``NotFound`` when it may not see it."""
    if name is None:
        bound = principal.project_id
        name = DEFAULT if bound is None else await projects.name(bound)
    project = await projects.resolve(name)
    if principal.project_id not in (None, project.id):
        raise missing(name)
    return project


async def current_project(connection: HTTPConnection, project: ProjectName = None) -> Project:
    """The project of the request, which the principal may see."""
    principal = await current_principal(connection)
    return await project_for(principal, service(connection, ProjectService), project)


CurrentProject = Annotated[Project, Depends(current_project)]
