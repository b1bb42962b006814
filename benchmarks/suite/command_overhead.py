"""What a command agent costs over the bare process.

A task whose agent runs ``true`` is timed from before its submission until the client has heard
of its end, submission, start, supervision, confinement and settlement included. The time of the
same bare process, started from this one in turn, is taken off.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from statistics import median

from benchmarks.figures import Figure, Target
from benchmarks.http_client import Http
from benchmarks.podium_server import podium
from benchmarks.processes import ProcessFailed
from benchmarks.session import Session
from benchmarks.subscriber import Arrival, subscribe

COMMAND = "true"
TASKS = 20
ROUNDS = 3
SUCCESS = "task.completed"
ENDS = (SUCCESS, "task.failed", "task.dead", "task.cancelled")
END_SECONDS = 30.0


async def run(session: Session) -> list[Figure]:
    """Seconds, the median of a round."""
    figure = Figure("command_overhead", "s", "lower", Target(0.1))
    number = 3 if session.quick else TASKS
    async with podium(session) as server, subscribe(server) as arrivals:
        connection = await server.connect()
        agent = {"name": "bare", "runtime": "command", "config": {"command": [COMMAND]}}
        await connection.post("agents", agent)
        await _task(connection, arrivals)
        for place in range(1 if session.quick else ROUNDS):
            session.tell(f"command_overhead: round {place + 1}")
            bare: list[float] = []
            whole: list[float] = []
            for _ in range(number):
                bare.append(await _bare())
                whole.append(await _task(connection, arrivals))
            figure.rounds.append({"podium": median(whole) - median(bare)})
            figure.details.setdefault("bare_process_s", []).append(median(bare))
        await connection.close()
    return [figure]


async def _bare() -> float:
    start = time.monotonic()
    process = await asyncio.create_subprocess_exec(COMMAND)
    await process.wait()
    return time.monotonic() - start


async def _task(connection: Http, arrivals: AsyncIterator[Arrival]) -> float:
    start = time.monotonic()
    made = await connection.post("tasks", {"agent": "bare"})
    async with asyncio.timeout(END_SECONDS):
        async for arrival in arrivals:
            event = arrival.event
            if event["subject"] == made["id"] and event["type"] in ENDS:
                if event["type"] != SUCCESS:
                    raise ProcessFailed(f"the command's task ended otherwise: {event}")
                return arrival.monotonic - start
    raise ProcessFailed("the event stream ended")
