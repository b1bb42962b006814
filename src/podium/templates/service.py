"""Use cases of templates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import NewEvent
from podium.kernel.errors import Conflict, NotFound, within
from podium.kernel.ids import uuid7
from podium.principals.model import Principal
from podium.projects import service as projects
from podium.projects.model import Project
from podium.scheduler.model import CallKey
from podium.storage.database import Database
from podium.tasks.model import Task, TaskNew, TaskOfTemplate
from podium.tasks.service import TaskService
from podium.templates import making, parameters, store
from podium.templates.builtin import templates as built_in
from podium.templates.model import Definition, NeedsApproval, Template, differences


class TemplateService:
    """The templates of one project at a time, those that are built in among them. Methods that
    take a connection leave the commit to their caller."""

    def __init__(self, database: Database, tasks: TaskService) -> None:
        self._database = database
        self._tasks = tasks

    # -- reading -----------------------------------------------------------------------------

    async def list(
        self, conn: AsyncConnection, project_id: UUID, after: str | None, limit: int
    ) -> Sequence[Template]:
        """Templates of a project, by name."""
        own = await store.read_page(conn, project_id, after or "", limit)
        found = {name: each for name, each in built_in().items() if name > (after or "")}
        found |= {each.name: _known(each) for each in own}
        return [found[name] for name in sorted(found)][:limit]

    async def get(
        self,
        conn: AsyncConnection,
        project_id: UUID,
        name: str,
        version: int | None = None,
        *,
        as_built_in: bool = False,
    ) -> Template:
        """A template in the version in force, or in this one."""
        found = None if as_built_in else await store.read(conn, project_id, name)
        if found is None and (found := built_in().get(name)) is None:
            raise _missing(name)
        if version in (None, found.version):
            return _known(found)
        earlier = None if found.id is None else await _earlier(conn, project_id, name, version)
        if earlier is None:
            raise NotFound(
                f"There is no version {version} of the template {name!r}.",
                hint=f"`podium template versions {name}` shows those that there are.",
                version=version,
            )
        return _known(earlier)

    async def versions(
        self, conn: AsyncConnection, project_id: UUID, name: str, before: int | None, limit: int
    ) -> Sequence[Template]:
        """Versions of a template, the newest first; of one that is built in there is one."""
        if (found := await self.get(conn, project_id, name)).id is None:
            return [found] if before is None or found.version < before else []
        return [_known(x) for x in await store.versions(conn, project_id, name, before, limit)]

    # -- changing ----------------------------------------------------------------------------

    async def checked(
        self, asker: Principal, project_id: UUID, definition: Definition
    ) -> Definition:
        """The definition, which can be used. Apart from ``create`` and ``change``, because it can
        take seconds, and a transaction would hold up others for so long.

        Others will start its tasks, so who writes it needs what submitting them needs.
        """
        asker.demand("tasks:write")
        await self.check(definition)
        request = _request(definition.task)
        with within("task"):
            await self._tasks.check(project_id, request)
        await self._demand_power(asker, project_id, request)
        return definition

    async def check(self, definition: Definition) -> None:
        """Raise what is wrong with a definition by itself, whatever else there is."""
        await parameters.check_schema(definition.parameters, definition.defaults)
        making.check_texts(definition)
        if schema := definition.task.get("input_schema"):
            await parameters.require_schema(schema, "task.input_schema")

    async def create(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        name: str,
        definition: Definition,
    ) -> Template:
        """Make a template of a checked definition."""
        if name in built_in():
            raise Conflict(
                f"The template {name!r} is built in.",
                hint="Change it for this project with `podium template edit`, or choose another "
                "name.",
                template=name,
            )
        await projects.hold(conn, project_id)
        made = await store.insert(conn, uuid7(), project_id, name, None, definition, asker.name)
        if made is None:
            raise Conflict(
                f"There is a template {name!r} already.",
                hint="Change it with `podium template edit`, or choose another name.",
                template=name,
            )
        return await self._made(conn, asker, project_id, name, made)

    async def change(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        seen: Template,
        definition: Definition,
    ) -> Template:
        """Put a checked definition in force instead of the one that was seen; of what is built in
        it becomes the project's own."""
        fields = differences(seen.definition, definition)
        if not fields:
            return seen
        if seen.id is None:
            await projects.hold(conn, project_id)
            based_on, who = seen.version, asker.name
            new = (uuid7(), project_id, seen.name, based_on, definition, who)
            if (made := await store.insert(conn, *new)) is None:
                raise _changed(seen.name)
            return await self._made(conn, asker, project_id, seen.name, made)
        now = await store.read(conn, project_id, seen.name, for_update=True)
        if now is None or (now.id, now.version) != (seen.id, seen.version):
            raise _changed(seen.name)
        await store.update(conn, seen.id, definition, asker.name)
        changed = await self.get(conn, project_id, seen.name)
        data = {"version": changed.version, "fields": fields}
        await _tell(conn, asker, "template.updated", project_id, seen.id, seen.name, data)
        return changed

    async def delete(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, name: str
    ) -> None:
        """Delete a project's own template; what is built in under its name is in force again."""
        gone = await store.read(conn, project_id, name, for_update=True)
        if gone is None or gone.id is None:
            if name not in built_in():
                raise _missing(name)
            raise Conflict(
                f"The template {name!r} is built in and was not changed in this project.",
                hint="What is built in cannot be deleted.",
                template=name,
            )
        await store.delete(conn, gone.id)
        await _tell(conn, asker, "template.deleted", project_id, gone.id, name, {})

    async def _made(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, name: str, made_id: UUID
    ) -> Template:
        made = await self.get(conn, project_id, name)
        data = {"version": made.version}
        await _tell(conn, asker, "template.created", project_id, made_id, name, data)
        return made

    # -- starting ----------------------------------------------------------------------------

    async def task(
        self, template: Template, given: Mapping[str, Any], changes: Mapping[str, Any]
    ) -> TaskOfTemplate:
        """The task of a template with these parameters, in which these fields of a task are
        changed. Raises ``InvalidInput`` when there can be no such task."""
        definition = template.definition
        whole = await parameters.checked(definition.parameters, definition.defaults, given)
        return making.task(template, whole, changes)

    async def preview(self, project_id: UUID, request: TaskOfTemplate) -> None:
        """Raise what starting the task would, but for what only submitting it tells. Writes
        nothing."""
        with within("task"):
            await self._tasks.check(project_id, request)

    async def start(
        self,
        asker: Principal,
        project: Project,
        name: str,
        given: Mapping[str, Any],
        changes: Mapping[str, Any],
        version: int | None,
        key: str | None,
    ) -> Task:
        """Submit a task of a template. With a key, the same call gives the same task for a day,
        also when the template was changed meanwhile. Commits by itself."""
        asker.demand("tasks:write")
        call = None
        if key is not None:
            call = _call_key(project.id, key, (name, given, changes, version))
            if made := await self._tasks.created_by(call):
                return made
        async with self._database.connect() as conn:
            template = await self.get(conn, project.id, name, version)
        if template.definition.requires_approval:
            raise NeedsApproval(
                f"Tasks of the template {name!r} need an approval, and this version of Podium has "
                "no approvals yet: none can be started.",
                hint="Look at the task with `podium template preview`; whoever may change the "
                "template can let it start tasks without.",
                template=name,
            )
        request = await self.task(template, given, changes)
        await self._demand_power(asker, project.id, request)
        with within("task"):
            return await self._tasks.create(project.id, project.name, asker.name, request, call)

    async def _demand_power(self, asker: Principal, project_id: UUID, request: TaskNew) -> None:
        """Raise ``Forbidden`` unless the asker may submit the task."""
        if not asker.has("tasks:execute") and await self._tasks.run_code(project_id, [request]):
            asker.demand("tasks:execute")


def _known(template: Template) -> Template:
    """The template with the version that is built in under its name."""
    original = built_in().get(template.name)
    return replace(template, built_in=original.version if original else None)


async def _earlier(
    conn: AsyncConnection, project_id: UUID, name: str, version: int | None
) -> Template | None:
    return None if version is None else await store.read_version(conn, project_id, name, version)


def _request(task: Mapping[str, Any]) -> TaskNew:
    """A task as far as it is the same each time: what it is given is known only then."""
    fixed = {name: value for name, value in task.items() if name not in ("input", "input_schema")}
    return TaskNew.model_validate(fixed)


def _call_key(project_id: UUID, key: str, call: object) -> CallKey:
    text = orjson.dumps(call, option=orjson.OPT_SORT_KEYS)
    return CallKey(project_id, key, sha256(b"template\n" + text).digest())


def _missing(name: str) -> NotFound:
    return NotFound(
        f"There is no template {name[:100]!r}.",
        hint="`podium template list` shows those that there are.",
        template=name[:100],
    )


def _changed(name: str) -> Conflict:
    return Conflict(f"The template {name} was changed at this moment.", hint="Try again.")


async def _tell(
    conn: AsyncConnection,
    asker: Principal,
    kind: str,
    project_id: UUID,
    template_id: UUID,
    name: str,
    data: Mapping[str, Any],
) -> None:
    told = {"name": name, **data}
    await events.append(conn, [NewEvent(kind, template_id, project_id, asker.name, told)])
