"""Keeps what search knows of tasks up to date, behind the events and apart from them."""

import time

from prometheus_client import Counter

from podium.events import store as events
from podium.storage.database import Database

CHANNEL = "podium:search"
_BATCH = 1000
_PART = 10_000
"""Tasks of one part: what a search for a word that stands in all of them looks through."""
_SHARE = 4.0
"""While tasks wait for workers, it rests for so many times as long as it worked."""
_INDEX = "select * from index_tasks($1, $2, $3::smallint, $4, $5)"
_BUSY = "select exists (select from ready) as busy"

_indexed = Counter("podium_search_indexed", "Tasks whose words were looked at for search.")


class Indexer:
    """Follows the events. Several may: one of them acts, the others find nothing to do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ring(self) -> float | None:
        """Index what changed; gives the seconds until there is more, None when that is all."""
        began = time.monotonic()
        async with self._database.connect() as conn:
            floor = await events.floor(conn)
        (row,) = await self._database.call(_INDEX, _BATCH, _PART, *floor)
        _indexed.inc(row["looked_at"])
        if not row["more"]:
            return None
        (busy,) = await self._database.call(_BUSY)
        return (time.monotonic() - began) * _SHARE if busy["busy"] else 0.0
