"""``templates``."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Path, Query

from podium.events.http import Change
from podium.kernel.errors import Conflict
from podium.kernel.fields import Word
from podium.kernel.web import Limit, PageCursor, api_router, page_cursor, page_key, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import CurrentProject
from podium.storage.database import Database
from podium.tasks.model import Task
from podium.tasks.routes import Key
from podium.templates.service import TemplateService
from podium.templates.views import (
    Template,
    TemplateCall,
    TemplateEdit,
    TemplateNew,
    TemplatePage,
    TemplatePreview,
    TemplateVersionPage,
    changes_of,
    definition_of,
    template_view,
)

router = api_router("/templates", "templates")

_Templates = Annotated[TemplateService, Depends(provided(TemplateService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Reader = Annotated[Principal, Depends(require("templates:read"))]
_Writer = Annotated[Principal, Depends(require("templates:write"))]
_Name = Annotated[Word, Path(alias="template", description="Name of the template.")]
_MOST_VERSION = 2**31 - 1
_Version = Annotated[
    int | None,
    Query(ge=1, le=_MOST_VERSION, description="In this version; unset, in the one in force."),
]
_BuiltIn = Annotated[
    bool, Query(description="As it is built in, whatever the project has made of it.")
]


@router.get("", summary="List templates by name")
async def list_templates(
    reader: _Reader,
    project: CurrentProject,
    templates: _Templates,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> TemplatePage:
    """Those of the project, and those that are built in."""
    reader.demand_all()
    key = page_key(cursor, str)
    async with database.connect() as conn:
        found = await templates.list(conn, project.id, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].name) if len(found) > limit else None
    return TemplatePage(items=[template_view(each, project.name) for each in page], next=more)


@router.post("", status_code=201, summary="Create a template")
async def create_template(
    new: TemplateNew,
    writer: _Writer,
    project: CurrentProject,
    templates: _Templates,
    change: Change,
) -> Template:
    """Who writes a template needs the scopes that submitting its tasks needs."""
    definition = await templates.checked(writer, project.id, definition_of(new))
    async with change() as conn:
        made = await templates.create(conn, writer, project.id, new.name, definition)
    return template_view(made, project.name)


@router.post("/check", status_code=204, summary="Check a template without making it")
async def check_template(new: TemplateNew, _: _Writer, templates: _Templates) -> None:
    """Its parameters, its defaults and its texts. What its task needs may come later: that is
    checked when it is made."""
    await templates.check(definition_of(new))


@router.get("/{template}", summary="Read a template")
async def get_template(
    name: _Name,
    reader: _Reader,
    project: CurrentProject,
    templates: _Templates,
    database: _Database,
    version: _Version = None,
    built_in: _BuiltIn = False,  # noqa: FBT002 - a query parameter
) -> Template:
    reader.demand_all()
    async with database.connect() as conn:
        found = await templates.get(conn, project.id, name, version, as_built_in=built_in)
    return template_view(found, project.name)


@router.put("/{template}", summary="Give a template another version")
async def edit_template(
    name: _Name,
    edit: TemplateEdit,
    writer: _Writer,
    project: CurrentProject,
    templates: _Templates,
    database: _Database,
    change: Change,
) -> Template:
    """Tasks that were started from an earlier version stay as they are. One that is built in gets a
    version of the project's own. Who writes it needs the scopes that submitting its tasks needs."""
    async with database.connect() as conn:
        seen = await templates.get(conn, project.id, name)
    if edit.version not in (None, seen.version):
        raise Conflict(
            f"The template {name!r} is at version {seen.version}, not {edit.version}.",
            hint="Somebody changed it meanwhile: read it again.",
            version=seen.version,
        )
    wanted = replace(seen.definition, **changes_of(edit))
    definition = await templates.checked(writer, project.id, wanted)
    async with change() as conn:
        changed = await templates.change(conn, writer, project.id, seen, definition)
    return template_view(changed, project.name)


@router.delete("/{template}", status_code=204, summary="Delete a template")
async def delete_template(
    name: _Name, writer: _Writer, project: CurrentProject, templates: _Templates, change: Change
) -> None:
    """Its tasks stay. Where one is built in under its name, that is in force again."""
    async with change() as conn:
        await templates.delete(conn, writer, project.id, name)


@router.get("/{template}/versions", summary="List versions of a template, newest first")
async def list_template_versions(
    name: _Name,
    reader: _Reader,
    project: CurrentProject,
    templates: _Templates,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> TemplateVersionPage:
    reader.demand_all()
    key = page_key(cursor, _version)
    async with database.connect() as conn:
        before = key[0] if key else None
        found = await templates.versions(conn, project.id, name, before, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].version) if len(found) > limit else None
    items = [template_view(each, project.name) for each in page]
    return TemplateVersionPage(items=items, next=more)


@router.post("/{template}/preview", summary="See the task that a call would start")
async def preview_template(
    name: _Name,
    body: TemplateCall,
    reader: _Reader,
    project: CurrentProject,
    templates: _Templates,
    database: _Database,
) -> TemplatePreview:
    """All is checked as when it is started, but for whether its queue takes tasks. Nothing is
    written."""
    reader.demand_all()
    async with database.connect() as conn:
        template = await templates.get(conn, project.id, name, body.version)
    task = await templates.task(template, body.parameters, _changes(body))
    await templates.preview(project.id, task)
    return TemplatePreview(
        template=task.template,
        requires_approval=template.definition.requires_approval,
        task=task.model_dump(mode="json", exclude_unset=True, exclude={"template"}),
    )


@router.post("/{template}/start", status_code=201, summary="Start a task of a template")
async def start_template(
    name: _Name,
    body: TemplateCall,
    reader: _Reader,
    project: CurrentProject,
    templates: _Templates,
    key: Key = None,
) -> Task:
    """Who asks needs the scopes that submitting its task needs."""
    reader.demand_all()
    return await templates.start(
        reader, project, name, body.parameters, _changes(body), body.version, key
    )


def _changes(body: TemplateCall) -> dict[str, Any]:
    return body.task.model_dump(exclude_unset=True)


def _version(part: Any) -> int:
    if type(part) is not int or not 1 <= part <= _MOST_VERSION:
        raise ValueError("no version has this number")
    return part
