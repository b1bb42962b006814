"""Use cases of what was applied."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.applied import store
from podium.applied.model import READS, WRITES, Applied, Kind, Place
from podium.events import store as events
from podium.events.model import NewEvent
from podium.principals.model import Principal, Scope
from podium.projects.service import missing


class AppliedService:
    """Keeps to which set of files a thing belongs. It belongs to one at most: the last that it was
    applied with."""

    async def list(
        self,
        conn: AsyncConnection,
        asker: Principal,
        set_name: str | None,
        after: store.Key | None,
        limit: int,
    ) -> Sequence[Applied]:
        """Records of all projects and kinds that the asker may see."""
        kinds = [kind for kind in Kind if asker.has(READS[kind])]
        return await store.read_page(conn, asker.project_id, kinds, set_name, after, limit)

    async def record(
        self,
        conn: AsyncConnection,
        asker: Principal,
        set_name: str,
        applied: Mapping[Place, Mapping[str, str]],
        removed: Sequence[Place],
    ) -> None:
        """Let things belong to the set, and others no more. Things of projects that there are no
        more belong to none anyway."""
        scopes: set[Scope] = {WRITES[place.kind] for place in (*applied, *removed)}
        asker.demand(*scopes)
        names = sorted({place.project for place in (*applied, *removed)})
        ids = await store.projects_named(conn, names)
        seen = {name: id_ for name, id_ in ids.items() if asker.project_id in (None, id_)}
        for place in applied:
            if place.project not in seen:
                raise missing(place.project)
        keyed = {_key(seen, place): fields for place, fields in applied.items()}
        gone = [_key(seen, place) for place in removed if place.project in seen]
        added = await store.put(conn, set_name, asker.name, keyed)
        left = await store.remove(conn, set_name, gone)
        await _tell(conn, asker, set_name, added, left)


def _key(ids: Mapping[str, UUID], place: Place) -> store.Key:
    return (ids[place.project], place.kind.value, place.name)


async def _tell(
    conn: AsyncConnection,
    asker: Principal,
    set_name: str,
    added: Sequence[store.Key],
    removed: Sequence[store.Key],
) -> None:
    """An event for each project of which something came or went."""
    told: list[NewEvent] = []
    for project_id in sorted({key[0] for key in (*added, *removed)}):
        data = {
            "set": set_name,
            "added": [f"{kind}/{name}" for of, kind, name in added if of == project_id],
            "removed": [f"{kind}/{name}" for of, kind, name in removed if of == project_id],
        }
        told.append(NewEvent("set.applied", project_id, project_id, asker.name, data))
    if told:
        await events.append(conn, told)
