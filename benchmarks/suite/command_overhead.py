"""What a command agent costs over the bare process.

A task whose agent runs ``true`` is timed from before its submission until the client has heard
of its end, submission, start, supervision, confinement and settlement included. The time of the
same bare process, started from this one in turn, is taken off.
"""

import asyncio
import time
from statistics import median

from benchmarks.figures import Figure, Target
from benchmarks.http_client import Http
from benchmarks.podium_server import podium
from benchmarks.session import Session

COMMAND = "true"
TASKS = 20
ROUNDS = 3
LOOK_SECONDS = 0.002
END_SECONDS = 30.0


async def run(session: Session) -> list[Figure]:
    """Seconds, the median of a round."""
    figure = Figure("command_overhead", "s", "lower", Target(0.1))
    number = 3 if session.quick else TASKS
    async with podium(session) as server:
        connection = await server.connect()
        agent = {"name": "bare", "runtime": "command", "config": {"argv": [COMMAND]}}
        await connection.post("agents", agent)
        await _task(connection)
        for place in range(1 if session.quick else ROUNDS):
            session.tell(f"command_overhead: round {place + 1}")
            bare: list[float] = []
            whole: list[float] = []
            for _ in range(number):
                bare.append(await _bare())
                whole.append(await _task(connection))
            figure.rounds.append({"podium": median(whole) - median(bare)})
            figure.details.setdefault("bare_process_s", []).append(median(bare))
        await connection.close()
    return [figure]


async def _bare() -> float:
    start = time.monotonic()
    process = await asyncio.create_subprocess_exec(COMMAND)
    await process.wait()
    return time.monotonic() - start


async def _task(connection: Http) -> float:
    start = time.monotonic()
    task = await connection.post("tasks", {"agent": "bare"})
    while task["state"] not in ("succeeded", "failed", "cancelled", "dead"):
        if time.monotonic() - start > END_SECONDS:
            raise RuntimeError(f"the task has not ended: {task}")
        await asyncio.sleep(LOOK_SECONDS)
        task = await connection.get(f"tasks/{task['id']}")
    if task["state"] != "succeeded":
        raise RuntimeError(f"the command failed: {task['error']}")
    return time.monotonic() - start
