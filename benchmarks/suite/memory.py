"""The memory of a worker that 10,000 waiting tasks have gone through.

Each task starts, parks itself until a signal that never comes, and waits. The figure is the most
that the worker process and its children ever held at once, sampled 20 times a second from before
the first task until all wait: resident memory, in millions of bytes.
"""

import asyncio
import time
from contextlib import suppress

import psutil

from benchmarks.figures import Figure, Target
from benchmarks.http_client import Http
from benchmarks.podium_server import Server, podium
from benchmarks.processes import Child, ProcessFailed
from benchmarks.session import Session

TASKS = 10_000
SAMPLE_SECONDS = 0.05
WAIT_SECONDS = 60.0


async def run(session: Session) -> list[Figure]:
    """Megabytes."""
    figure = Figure("memory", "MB", "lower", Target(150))
    number = 200 if session.quick else TASKS
    async with podium(session) as server:
        worker = server.workers[0]
        figure.details["idle_mb"] = resident(worker)
        session.tell(f"memory: {number:,} tasks")
        figure.rounds.append({"podium": await _most(server, worker, number)})
        figure.details["when_all_wait_mb"] = resident(worker)
    return [figure]


def resident(child: Child) -> float:
    """What a guarded process and its children hold now."""
    total = 0
    for process in child.tree():
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


async def _most(server: Server, worker: Child, number: int) -> float:
    connection = await server.connect()
    most = resident(worker)
    try:
        tasks = [{"agent": "parked", "input": "never"}] * number
        submission = asyncio.create_task(connection.post("tasks/bulk", {"tasks": tasks}))
        watcher = await server.connect()
        deadline = time.monotonic() + WAIT_SECONDS
        while not submission.done() or await _begun(watcher):
            if time.monotonic() > deadline:
                raise ProcessFailed("the tasks do not all wait")
            most = max(most, resident(worker))
            await asyncio.sleep(SAMPLE_SECONDS)
        await submission
        await watcher.close()
    finally:
        await connection.close()
    return max(most, resident(worker))


async def _begun(http: Http) -> bool:
    states = "state=queued&state=running"
    return bool((await http.get(f"tasks?limit=1&{states}"))["items"])
