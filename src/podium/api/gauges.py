"""What metrics tell of the whole installation, which must be asked of the database."""

import time

from prometheus_client import CollectorRegistry
from sqlalchemy import text

from podium.api.counts import TaskCounts
from podium.api.metrics import Metrics
from podium.diagnosis import servers
from podium.diagnosis import store as diagnosis
from podium.events.live import Feed
from podium.scheduler import overview
from podium.storage.database import Database
from podium.storage.valkey import Valkey

_LEAST = text("select 1")


class Gauges:
    """Brings gauges up to date for those who are about to read them."""

    def __init__(
        self, metrics: Metrics, feed: Feed, database: Database, valkey: Valkey, counts: TaskCounts
    ) -> None:
        self.registry: CollectorRegistry = metrics.registry
        self._metrics = metrics
        self._feed = feed
        self._database = database
        self._valkey = valkey
        self._counts = counts

    async def refresh(self) -> None:
        """Ask; raises ``Unavailable`` when PostgreSQL is away."""
        metrics = self._metrics
        metrics.feed_lag.set(self._feed.lag)
        metrics.valkey.set(self._valkey.available)
        for state, count in (await self._counts.open()).items():
            metrics.tasks.labels(state).set(count)
        metrics.tasks.labels("dead").set(await self._counts.dead())
        metrics.oldest.set(await self._counts.oldest_queued())
        async with self._database.connect() as conn:
            for state, count in (await overview.worker_states(conn)).items():
                metrics.workers.labels(state).set(count)
            lasting = await diagnosis.sessions(conn, servers.LONG_TRANSACTION_SECONDS)
            metrics.transactions.clear()
            for each in lasting:
                if each["seconds"] is None:
                    continue
                labels = str(each["pid"]), each["program"], each["login"]
                metrics.transactions.labels(*labels).set(each["seconds"])
            began = time.perf_counter()
            await conn.execute(_LEAST)
            metrics.round_trip.set(time.perf_counter() - began)
