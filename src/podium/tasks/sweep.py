"""Removes what a store of artifacts holds and nobody can reach any more.

Files are left behind where a store was away when their task was deleted, where a worker died or
lost its lease between keeping a file and entering it, and where an upload broke off.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import structlog

from podium.kernel.ids import uuid7
from podium.storage.artifacts import ArtifactStore, Place
from podium.storage.database import Database

_log = structlog.get_logger(__name__)

SECONDS = 3600.0
"""How often it looks."""
_AT_ONCE = 1000
_MOST = 50
"""Times 1000 files are looked at, then the next hour goes on from there."""

# One statement sees one moment: an attempt that may still enter a file is in ``running`` until the
# transaction that ends it, and what it entered before is seen then. Ended attempts enter nothing.
_STRAY = """
select x.n - 1 as n
  from unnest($1::uuid[], $2::int[], $3::text[]) with ordinality as x (task_id, attempt, file, n)
 where not exists (select from running r where r.task_id = x.task_id and r.attempt = x.attempt)
   and not exists (select from artifact a where a.task_id = x.task_id and a.attempt = x.attempt
                      and encode(sha256(convert_to(a.name, 'UTF8')), 'hex') = x.file)
 order by x.n
"""
_BEGIN = """
insert into meta (key, value)
values ('artifacts', jsonb_build_object('owner', $1::uuid, 'after', ''))
on conflict (key) do nothing
"""
_READ = """
select (value ->> 'owner')::uuid as owner, (value ->> 'instead_of')::uuid as instead_of,
       coalesce(value ->> 'after', '') as after
  from meta where key = 'artifacts'
"""
_GO_ON = """
update meta set value = value || jsonb_build_object('after', $1::text) where key = 'artifacts'
"""


class _Mark(NamedTuple):
    """Whose the store must be for this installation to remove anything from it: another one that
    keeps its files in the same place would lose them. And where the last sweep stopped."""

    owner: UUID
    instead_of: UUID | None
    after: str


class Sweep:
    """Goes through a store, some at a time."""

    def __init__(self, database: Database, store: ArtifactStore) -> None:
        self._database = database
        self._store = store

    async def sweep(self) -> int:
        """Remove what is in nobody's reach among the next 50,000 files; how many were removed. A
        store that is not this installation's, or has only now been marked so, is left as it is."""
        mark = await self._mark()
        if not await self._store.claim(mark.owner, mark.instead_of):
            _log.info(
                "artifacts.not_swept",
                place=self._store.shown,
                reason="It is not marked as this installation's, or only from now on.",
            )
            return 0
        removed, after = 0, mark.after
        for _ in range(_MOST):
            places = await self._store.kept(after, _AT_ONCE)
            stray = await self._stray(places)
            await self._store.remove(stray)
            removed += len(stray)
            after = str(places[-1]) if len(places) == _AT_ONCE else ""
            await self._database.call(_GO_ON, after)
            if not after:
                break
        if removed:
            _log.info("artifacts.swept", removed=removed)
        return removed

    async def _mark(self) -> _Mark:
        await self._database.call(_BEGIN, uuid7())
        [row] = await self._database.call(_READ)
        return _Mark(row["owner"], row["instead_of"], row["after"])

    async def _stray(self, places: Sequence[Place]) -> list[Place]:
        rows = await self._database.call(
            _STRAY,
            [place.task_id for place in places],
            [place.attempt for place in places],
            [place.file for place in places],
        )
        return [places[row["n"]] for row in rows]
