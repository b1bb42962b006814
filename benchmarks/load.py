"""Tasks at an even pace, and how long they were ready before they were claimed."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.database import rows
from benchmarks.http_client import Http
from benchmarks.podium_server import Server

PAUSE_SECONDS = 0.05
CONNECTIONS = 8
_CLAIMS = """
select count(*) as number,
       percentile_disc(0.5) within group (order by wait) as p50,
       percentile_disc(0.99) within group (order by wait) as p99
  from (select extract(epoch from started_at - queued_at)::float8 * 1000 as wait from attempt
         where queued_at >= to_timestamp($1) and queued_at < to_timestamp($2)) each
"""


@dataclass(frozen=True)
class Claims:
    """Attempts whose tasks became ready in a stretch of time, and the milliseconds until each had
    been claimed."""

    number: int
    p50: float
    p99: float


async def steady(
    server: Server,
    per_second: float,
    seconds: float,
    task: Callable[[int], Mapping[str, Any]],
) -> list[float]:
    """Submit ``task(n)`` for each n from 0, in a bulk call every 50 ms.

    Each call leaves at its moment, however long those before it take, as long as one of eight
    connections is free. Returns the milliseconds from the moment when each was due to its answer.
    """
    many = round(per_second * PAUSE_SECONDS)
    free: asyncio.Queue[Http] = asyncio.Queue()
    connections = [await server.connect() for _ in range(CONNECTIONS)]
    for connection in connections:
        free.put_nowait(connection)
    took: list[float] = []

    async def post(due: float, tasks: list[Mapping[str, Any]]) -> None:
        connection = await free.get()
        await connection.post("tasks/bulk", {"tasks": tasks})
        free.put_nowait(connection)
        took.append((time.monotonic() - due) * 1000)

    start = time.monotonic()
    try:
        async with asyncio.TaskGroup() as calls:
            for turn in range(round(seconds / PAUSE_SECONDS)):
                due = start + turn * PAUSE_SECONDS
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                tasks = [task(turn * many + place) for place in range(many)]
                calls.create_task(post(due, tasks))
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))
    return took


async def claims(database_url: str, since: float, until: float) -> Claims:
    """The claims of tasks that became ready between two moments of ``time.time``.

    Ask once all of them have ended: an attempt that has not is not seen.
    """
    [found] = await rows(database_url, _CLAIMS, since, until)
    if not found["number"]:
        raise RuntimeError("no task was claimed in that time")
    return Claims(found["number"], found["p50"], found["p99"])
