"""``POST tasks`` over HTTP: one client, 32 clients, and 10,000 tasks in one call.

A worker runs, as it does in practice, and takes its share of the machine: it carries the tasks
out while they come in. Server, worker and clients share the processors. Peers have no such door.
"""

import asyncio
import time
from statistics import median

from benchmarks.figures import Figure, Target, percentile
from benchmarks.http_client import Http
from benchmarks.podium_server import Server, podium
from benchmarks.processes import ProcessFailed
from benchmarks.session import Session

SECONDS = 4.0
CLIENTS = 32
BULK = 10_000
ROUNDS = 3
TASK = {"agent": "noop"}
DRAIN_SECONDS = 30.0


async def run(session: Session) -> list[Figure]:
    """The three figures."""
    alone = Figure("post_alone", "ms", "lower", Target(8))
    together = Figure("post_32_clients", "requests/s", "higher", Target(800))
    bulk = Figure("post_bulk", "tasks/s", "higher", Target(8000))
    seconds = 0.5 if session.quick else SECONDS
    async with podium(session) as server:
        await _post_for(server, 1, 0.2)
        for number in range(1 if session.quick else ROUNDS):
            session.tell(f"post: round {number + 1}, one client")
            latencies = await _post_for(server, 1, seconds)
            alone.rounds.append({"podium": median(latencies)})
            alone.details.setdefault("p99_ms", []).append(percentile(latencies, 0.99))
            await drained(server)
            session.tell(f"post: round {number + 1}, {CLIENTS} clients")
            latencies = await _post_for(server, CLIENTS, seconds)
            together.rounds.append({"podium": len(latencies) / seconds})
            together.details.setdefault("p99_ms", []).append(percentile(latencies, 0.99))
            await drained(server)
            session.tell(f"post: round {number + 1}, bulk")
            bulk.rounds.append({"podium": await _bulk(server, 500 if session.quick else BULK)})
            await drained(server)
    return [alone, together, bulk]


async def _post_for(server: Server, clients: int, seconds: float) -> list[float]:
    """Milliseconds of each request that ended within the time."""
    latencies: list[float] = []

    async def post(connection: Http, deadline: float) -> None:
        while True:
            start = time.monotonic()
            await connection.post("tasks", TASK)
            end = time.monotonic()
            if end > deadline:
                return
            latencies.append((end - start) * 1000)

    connections = [await server.connect() for _ in range(clients)]
    try:
        deadline = time.monotonic() + seconds
        await asyncio.gather(*(post(connection, deadline) for connection in connections))
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))
    return latencies


async def _bulk(server: Server, number: int) -> float:
    connection = await server.connect()
    try:
        start = time.monotonic()
        made = await connection.post("tasks/bulk", {"tasks": [TASK] * number})
        elapsed = time.monotonic() - start
    finally:
        await connection.close()
    return len(made["ids"]) / elapsed


async def drained(server: Server, within: float = DRAIN_SECONDS) -> None:
    """Return when nothing waits or runs: what is left of one part must not slow the next.

    ``ProcessFailed`` when something still does after so many seconds.
    """
    connection = await server.connect()
    deadline = time.monotonic() + within
    states = "&".join(f"state={state}" for state in ("pending", "queued", "running"))
    try:
        while time.monotonic() < deadline:
            if not (await connection.get(f"tasks?limit=1&{states}"))["items"]:
                return
            await asyncio.sleep(0.05)
        raise ProcessFailed(f"not all tasks ended within {within:g} s")
    finally:
        await connection.close()
