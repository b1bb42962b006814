"""What the tasks that an attempt waited for came to."""

import asyncio
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson

from podium.agents.runtime import Dependency
from podium.kernel.errors import AttemptFailed, ErrorClass, TooLarge
from podium.scheduler.batcher import Batcher
from podium.storage.database import Database
from podium.worker import store

Found = Mapping[str, Dependency]
"""By the names that the task gave to its dependencies."""

_MOST = 100
"""Attempts that share a query."""
_PARALLEL = 4
"""Queries side by side: a few attempts that are handed much do not hold up the others."""
_TURN_CHARACTERS = 1_000_000
"""So much JSON is read before others have their turn."""


class Dependencies:
    """Reads them for many attempts at once: those that begin together share a query, unless that
    would bring too much at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._together: Batcher[UUID, Found | None] = Batcher(
            self._read_together, most=_MOST, parallel=_PARALLEL
        )
        self._apart: Batcher[UUID, Found] = Batcher(self._read, most=1, parallel=_PARALLEL)

    async def of(self, task_id: UUID) -> Found:
        """What the task depends on. ``AttemptFailed`` when that hands on too much to it."""
        try:
            found = await self._together.put(task_id)
            return await self._apart.put(task_id) if found is None else found
        except TooLarge as error:  # the worker would need many times as much memory for them
            raise AttemptFailed(
                ErrorClass.INVALID_INPUT,
                "dependencies_too_large",
                error.message,
                hint="Hand large results on as artifacts, or let tasks in between sum them up.",
                detail={"limit_bytes": store.DEPENDENCIES_BYTES},
            ) from None

    async def _read_together(self, tasks: Sequence[UUID]) -> Sequence[Found | None]:
        """None for each when it is too much at once."""
        try:
            return await self._read(tasks)
        except TooLarge:
            if len(tasks) == 1:
                raise
            return [None] * len(tasks)

    async def _read(self, tasks: Sequence[UUID]) -> Sequence[Found]:
        rows = await store.dependencies(self._database, tasks)
        found: dict[UUID, dict[str, Dependency]] = {task_id: {} for task_id in tasks}
        turn = 0
        for row in sorted(rows, key=itemgetter("id")):
            for task_id, name in zip(row["dependents"], row["names"], strict=True):
                found[task_id][name] = _dependency(row)
                turn += len(row["output"] or "") + len(row["error"] or "")
                if turn > _TURN_CHARACTERS:
                    turn = 0
                    await asyncio.sleep(0)
        return [found[task_id] for task_id in tasks]


def _dependency(row: Mapping[str, Any]) -> Dependency:
    """One that is its reader's own: agents may change what they are given."""
    return Dependency(
        task_id=row["id"],
        state=row["outcome"] or "pending",
        output=_json(row["output"]),
        error=_json(row["error"]),
        queued_seconds=row["queued_seconds"],
        run_seconds=row["run_seconds"],
    )


def _json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
