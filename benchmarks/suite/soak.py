"""30 minutes at 1,000 tasks/s: do tables or latencies grow?

No-ops come at an even pace over HTTP, each of which counts against the limit of one of 100
customers, so that the tables of limits churn, too. One worker runs them, and beside them nothing
runs. Three times a minute it is noted what the tables that come and go take on disk, indexes
included: the most of each minute counts, as vacuum lets them breathe.

``soak_tables`` is the most that they took together in the last five minutes, over the most in the
first five; ``soak_latency`` the same of the 99th percentile of a claim, from when a task became
ready until it was claimed, the median over those minutes. The first minute warms up and counts for
neither. What is kept of each task grows with the tasks: ``soak_task_bytes`` is by how much all else
in the database grew for each task from the fifth minute on. ``details`` have each minute.
"""

import asyncio
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.database import connected
from benchmarks.figures import Figure, Target, percentile
from benchmarks.load import claims, steady
from benchmarks.podium_server import Server, podium
from benchmarks.session import Session
from benchmarks.suite.http_post import drained

TASKS_PER_SECOND = 1000
MINUTES = 30
EDGE_MINUTES = 5
MINUTE_SECONDS = 60.0
QUICK_MINUTES = 4
QUICK_EDGE_MINUTES = 1
QUICK_MINUTE_SECONDS = 2.0
SAMPLES = 3
CUSTOMERS = 100
HOT_TABLES = (
    "ready",
    "running",
    "timer",
    "blocked",
    "wait",
    "gate",
    "need",
    "spent",
    "expiry",
    "worker",
)
_SIZES = """
select (select sum(pg_total_relation_size(name::regclass))::int8 from unnest($1::text[]) name)
           as hot,
       pg_database_size(current_database()) as whole
"""


@dataclass
class Minute:
    """What was seen in a minute: bytes at most, and milliseconds of claims."""

    began: float
    hot: int = 0
    whole: int = 0
    p50: float = 0.0
    p99: float = 0.0

    def told(self) -> dict[str, Any]:
        return {
            "hot_mb": round(self.hot / 1e6, 2),
            "database_mb": round(self.whole / 1e6, 1),
            "p50_ms": round(self.p50, 2),
            "p99_ms": round(self.p99, 2),
        }


async def run(session: Session) -> list[Figure]:
    """Two ratios, and bytes."""
    number, edge = (QUICK_MINUTES, QUICK_EDGE_MINUTES) if session.quick else (MINUTES, EDGE_MINUTES)
    seconds = QUICK_MINUTE_SECONDS if session.quick else MINUTE_SECONDS
    async with podium(session) as server:
        await _set_limit(server)
        load = asyncio.create_task(steady(server, TASKS_PER_SECOND, (number + 1) * seconds, _task))
        session.tell("soak: warms up")
        await asyncio.sleep(seconds)
        minutes: list[Minute] = []
        for place in range(number):
            session.tell(f"soak: minute {place + 1} of {number}")
            minutes.append(await _watch(server, seconds))
        posts = await load
        await drained(server)
        for minute in minutes:
            found = await claims(server.database_url, minute.began, minute.began + seconds)
            minute.p50, minute.p99 = found.p50, found.p99
    tables, latency, kept = _figures(minutes, edge, seconds)
    latency.details["post_p99_ms"] = round(percentile(posts, 0.99), 2)
    return [tables, latency, kept]


def _figures(minutes: list[Minute], edge: int, seconds: float) -> tuple[Figure, Figure, Figure]:
    first, last = minutes[:edge], minutes[-edge:]
    tables = Figure("soak_tables", "times", "lower", Target(1.5))
    most = max(minute.hot for minute in last) / max(minute.hot for minute in first)
    tables.rounds = [{"podium": most}]
    tables.details = {"minutes": [minute.told() for minute in minutes]}
    latency = Figure("soak_latency", "times", "lower", Target(1.5))
    then, now = (median(minute.p99 for minute in part) for part in (first, last))
    latency.rounds = [{"podium": now / then}]
    latency.details = {"p99_ms_first": round(then, 2), "p99_ms_last": round(now, 2)}
    kept = Figure("soak_task_bytes", "bytes", "lower")
    begin, end = minutes[edge - 1], minutes[-1]
    grown = (end.whole - end.hot) - (begin.whole - begin.hot)
    tasks = (len(minutes) - edge) * seconds * TASKS_PER_SECOND
    kept.rounds = [{"podium": grown / tasks}]
    return tables, latency, kept


def _task(place: int) -> dict[str, Any]:
    return {"agent": "noop", "input": place, "limits": [f"customer:{place % CUSTOMERS}"]}


async def _set_limit(server: Server) -> None:
    connection = await server.connect()
    await connection.put("limits/customer:*", {"concurrency": TASKS_PER_SECOND})
    await connection.close()


async def _watch(server: Server, seconds: float) -> Minute:
    """The sizes of one minute, which takes so many seconds."""
    minute = Minute(time.time())
    start = time.monotonic()
    async with connected(server.database_url) as connection:
        for sample in range(1, SAMPLES + 1):
            await asyncio.sleep(max(0.0, start + sample * seconds / SAMPLES - time.monotonic()))
            sizes = await connection.fetchrow(_SIZES, list(HOT_TABLES))
            minute.hot, minute.whole = max(minute.hot, sizes["hot"]), sizes["whole"]
    return minute
