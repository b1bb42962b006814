"""Runs all checks that need the server: one look, of which the cost does not grow with tasks."""

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.diagnosis import servers, store, waiting, work
from podium.diagnosis.model import Finding
from podium.events.live import Feed
from podium.scheduler import overview
from podium.storage.database import Database
from podium.storage.valkey import Valkey

CHECKS = (
    *(
        "database",
        "database clock",
        "transactions",
        "events",
        "search",
        "Valkey",
        "server disk",
        "workers",
    ),
    *("confinement", "waiting tasks", "schedules", "agents", "dead tasks", "held tasks", "tokens"),
)
"""Those that are made; one without a finding found nothing."""

_DAY = timedelta(days=1)
_LITTLE_BYTES = 2 * 2**30
_LEAST_BYTES = 2**28


class DiagnosisService:
    """Looks for what is wrong."""

    def __init__(self, database: Database, valkey: Valkey, feed: Feed, data_dir: Path) -> None:
        self._database = database
        self._valkey = valkey
        self._feed = feed
        self._data_dir = data_dir

    async def look(self, *, tokens: bool) -> Sequence[Finding]:
        """What is wrong now, check by check; ``tokens`` says whether whoever asks may see those."""
        async with self._database.connect() as conn:
            found = [*await self._servers(conn), *await _work(conn)]
            if tokens:
                found += work.tokens(await store.tokens(conn, work.SOON_SECONDS))
        found.sort(key=lambda finding: CHECKS.index(finding.check))
        return found

    async def _servers(self, conn: AsyncConnection) -> Sequence[Finding]:
        began = time.perf_counter()
        moment = await store.moment(conn)
        took = time.perf_counter() - began
        apart = (moment - datetime.now(UTC)).total_seconds() + took / 2
        catching_up, unseen = await store.search_lag(conn)
        return [
            *servers.round_trip(took),
            *servers.connections(*await store.connections(conn)),
            *servers.clocks(apart),
            *servers.transactions(
                await store.sessions(conn, servers.HOLDS_EVENTS_SECONDS),
                await store.prepared(conn),
                self._feed.lag,
            ),
            *servers.feed(self._feed.lag),
            *servers.search(unseen, catching_up=catching_up),
            *([] if self._valkey.available else [_VALKEY]),
            *_disk(self._data_dir),
            *servers.workers(await overview.workers(conn)),
        ]


async def _work(conn: AsyncConnection) -> Sequence[Finding]:
    since = datetime.now(UTC) - _DAY
    failing = await store.failing(conn, since, work.LATELY_SECONDS, work.LEAST_FAILURES)
    return [
        *waiting.findings(await store.waiting(conn)),
        *work.schedules(await store.schedules(conn, work.LATE_SECONDS, work.LAST_FIRINGS)),
        *work.agents(failing),
        *work.dead(await store.dead(conn, since)),
        *work.held(await store.held(conn)),
    ]


_VALKEY = Finding(
    "Valkey",
    "valkey_away",
    "warning",
    "Valkey",
    "The server cannot reach it: work goes on, only slower.",
    "See that it runs at PODIUM_VALKEY_URL; 'podium logs' has valkey.lost with the reason.",
)


def _disk(place: Path) -> Sequence[Finding]:
    """Room for artifacts, logs and the embedded servers, on the machine of the API."""
    free = shutil.disk_usage(place).free
    if free >= _LITTLE_BYTES:
        return []
    return [
        Finding(
            "server disk",
            "disk_short",
            "failed" if free < _LEAST_BYTES else "warning",
            str(place),
            f"Only {free / 2**20:.0f} MiB are free on the disk of the server's data directory.",
            "Free some space there; without any, tasks are handed back and nothing is accepted.",
        )
    ]
