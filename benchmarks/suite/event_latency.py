"""From the commit of an event to its arrival at a WebSocket subscriber, at 1,000 events/s.

Tasks that do nothing are submitted at an even pace, so that all their events together make the
rate. When an event was committed is what PostgreSQL itself says (``track_commit_timestamp``),
taken just before the commit is brought to disk; the subscriber has the same clock.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from statistics import median

from benchmarks.database import rows
from benchmarks.figures import Figure, Target, percentile
from benchmarks.podium_server import Server, podium
from benchmarks.session import Session
from benchmarks.subscriber import Arrival, subscribe

SETTINGS = ("track_commit_timestamp = on",)
EVENTS_PER_SECOND = 1000
EVENTS_PER_TASK = 3
PAUSE_SECONDS = 0.05
SECONDS = 8.0
ROUNDS = 3
SETTLE_SECONDS = 0.5
ALL_COMMITS = (
    "select epoch || '.' || xid || '.' || id as cursor,"
    " pg_xact_commit_timestamp((xid % 4294967296)::text::xid) as at from event"
)


async def run(session: Session) -> list[Figure]:
    """Milliseconds: the median and the 99th percentile of each round."""
    middle = Figure("event_latency", "ms", "lower", Target(10))
    worst = Figure("event_latency_p99", "ms", "lower", Target(50))
    seconds = 1.0 if session.quick else SECONDS
    for number in range(1 if session.quick else ROUNDS):
        session.tell(f"event_latency: round {number + 1}")
        async with podium(session) as server:
            latencies = await _measure(server, seconds)
        middle.rounds.append({"podium": median(latencies)})
        worst.rounds.append({"podium": percentile(latencies, 0.99)})
        middle.details.setdefault("events_per_second", []).append(len(latencies) / seconds)
    return [middle, worst]


async def _measure(server: Server, seconds: float) -> list[float]:
    """Milliseconds from commit to arrival of every event of a stretch of load."""
    arrivals: dict[str, float] = {}

    async def read(source: AsyncIterator[Arrival]) -> None:
        async for arrival in source:
            arrivals[arrival.event["cursor"]] = arrival.at

    async with subscribe(server) as source:
        reader = asyncio.create_task(read(source))
        await _load(server, 1.0)  # the first second warms up and does not count
        await asyncio.sleep(SETTLE_SECONDS)
        begun = time.time()
        await _load(server, seconds)
        await asyncio.sleep(SETTLE_SECONDS)
        if reader.done():
            await reader
        reader.cancel()
    commits = await _commits(server.database_url)
    return [
        (arrived - commits[cursor].timestamp()) * 1000
        for cursor, arrived in arrivals.items()
        if arrived >= begun
    ]


async def _load(server: Server, seconds: float) -> None:
    tasks = round(EVENTS_PER_SECOND / EVENTS_PER_TASK * PAUSE_SECONDS)
    connection = await server.connect()
    start = time.monotonic()
    try:
        for turn in range(round(seconds / PAUSE_SECONDS)):
            await asyncio.sleep(max(0.0, start + turn * PAUSE_SECONDS - time.monotonic()))
            await connection.post("tasks/bulk", {"tasks": [{"agent": "noop"}] * tasks})
    finally:
        await connection.close()


async def _commits(database_url: str) -> dict[str, datetime]:
    return {row["cursor"]: row["at"] for row in await rows(database_url, ALL_COMMITS)}
