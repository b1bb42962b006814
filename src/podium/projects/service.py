"""Use cases of projects, and the cache that spares each request a query for its own."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import NewEvent
from podium.kernel.errors import Conflict, NotFound
from podium.kernel.ids import uuid7
from podium.kernel.shared_reads import SharedReads
from podium.principals.model import Principal
from podium.projects import store
from podium.projects.model import DEFAULT, Project
from podium.storage.database import Database, after_commit

_TRUSTED_SECONDS = 5.0
"""For so long another process may take a deleted project for a live one."""
_COUNTED = 10_000
"""Tasks of a project that are counted; those of a large one would take seconds."""


class ProjectService:
    """Projects by name and id. A name's id and an id's name never change while it lives."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_name: dict[str, tuple[float, Project]] = {}
        self._names: dict[UUID, str] = {}
        self._read_names = SharedReads(self._read_name)

    async def resolve(self, name: str) -> Project:
        """The project of this name, from memory if it was asked for in the last seconds."""
        known = self._by_name.get(name)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        async with self._database.connect() as conn:
            project = await self.get(conn, name)
        self._by_name[name] = (time.monotonic() + _TRUSTED_SECONDS, project)
        return project

    async def name(self, project_id: UUID) -> str:
        """The name of a project, deleted ones included; remembered for ever."""
        known = self._names.get(project_id)
        return await self._read_names.get(project_id) if known is None else known

    async def _read_name(self, project_id: UUID) -> str:
        async with self._database.connect() as conn:
            name = await store.name_of(conn, project_id)
        if name is None:
            raise NotFound(f"There is no project {project_id}.")
        self._names[project_id] = name
        return name

    async def get(self, conn: AsyncConnection, name: str) -> Project:
        if (project := await store.by_name(conn, name)) is None:
            raise missing(name)
        return project

    async def list(
        self, conn: AsyncConnection, asker: Principal, after: str | None, limit: int
    ) -> Sequence[Project]:
        """Projects that the asker may see, by name."""
        return await store.read_page(conn, asker.project_id, after, limit)

    async def create(
        self, conn: AsyncConnection, asker: Principal, name: str, given: Mapping[str, Any]
    ) -> Project:
        """Make a project with the given ones of its settings."""
        project = await store.insert(conn, uuid7(), name, given)
        if project is None:
            raise Conflict(
                f"There is a project {name!r} already.",
                hint="Change it with `podium project edit`, or choose another name.",
                project=name,
            )
        await _tell(conn, "project.created", project, asker.name)
        return project

    async def change(
        self, conn: AsyncConnection, asker: Principal, name: str, wanted: Mapping[str, Any]
    ) -> Project:
        """Change the given ones of its settings."""
        ages = "priority_ageing" in wanted
        if ages:
            await store.lock_lines(conn)
        project = replace(await self._locked(conn, name), **wanted)
        if wanted:
            await store.update(conn, project.id, wanted)
        if ages:
            await store.follow_ageing(conn, project.id)
        await _tell(conn, "project.updated", project, asker.name)
        after_commit(conn, partial(self._forget, name))
        return project

    async def delete(self, conn: AsyncConnection, asker: Principal, name: str) -> None:
        """Delete an empty project; ``Conflict`` counts what is still in it.

        Nothing comes to it meanwhile: submits wait for the lock, and whoever registers an agent or
        makes a token for it waits for its row; then they find it deleted.
        """
        await store.lock_out_tasks(conn)
        project = await self._locked(conn, name)
        if name == DEFAULT:
            raise Conflict(
                "The project 'default' cannot be deleted.",
                hint="Leave it empty if you do not use it: what names no project goes there.",
                project=name,
            )
        held = await store.contents(conn, project.id, _COUNTED + 1)
        if any(held.values()):
            raise _not_empty(name, held)
        await store.delete(conn, project.id)
        event = NewEvent("project.deleted", project.id, project.id, asker.name, {"name": name})
        await events.append(conn, [event])
        after_commit(conn, partial(self._forget, name))

    async def _locked(self, conn: AsyncConnection, name: str) -> Project:
        if (project := await store.by_name(conn, name, for_update=True)) is None:
            raise missing(name)
        return project

    def _forget(self, name: str) -> None:
        self._by_name.pop(name, None)


async def ensure_default(conn: AsyncConnection) -> None:
    """Make the project ``default`` when it does not exist. Safe when several do it at once."""
    project = await store.insert(conn, uuid7(), DEFAULT, {})
    if project is not None:
        await _tell(conn, "project.created", project, "system")


async def _tell(conn: AsyncConnection, kind: str, project: Project, actor: str) -> None:
    data = {
        "name": project.name,
        "weight": project.weight,
        "priority_ageing": project.priority_ageing,
        "keep_days": project.keep_days,
        "keep_tasks": project.keep_tasks,
    }
    await events.append(conn, [NewEvent(kind, project.id, project.id, actor, data)])


async def hold(conn: AsyncConnection, project_id: UUID) -> None:
    """Keep the project from being deleted until the transaction ends; ``NotFound`` when it was."""
    if not await store.hold(conn, project_id):
        raise NotFound(
            "The project was deleted.", hint="`podium project list` shows those that you may see."
        )


def _not_empty(name: str, held: Mapping[str, int]) -> Conflict:
    counts = [_counted(kind, count) for kind, count in held.items() if count]
    return Conflict(
        f"The project {name!r} is not empty; it holds: {', '.join(counts)}.",
        hint="`podium task delete` (after `podium task cancel` while they are open), `podium agent "
        "remove`, `podium schedule delete`, `podium template delete` and `podium token revoke` "
        "remove them; the `list` of each shows them.",
        project=name,
        **{kind: min(count, _COUNTED) for kind, count in held.items()},
    )


def _counted(kind: str, count: int) -> str:
    """``kind`` is a plural."""
    if count > _COUNTED:
        return f"more than {_COUNTED:,} {kind}"
    return f"{count:,} {kind if count > 1 else kind.removesuffix('s')}"


def missing(name: str) -> NotFound:
    """The same for a project that is none and for one that the asker may not see."""
    return NotFound(
        f"There is no project {name[:80]!r}.",
        hint="`podium project list` shows those that you may see.",
        project=name[:80],
    )
