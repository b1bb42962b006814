"""How long the tasks of a worker that was killed take to run again on another one.

A worker runs 20 tasks that go on for ever; a second one is idle. The first is killed with
SIGKILL, and the clock runs until the last of the 20 has begun its second attempt.
"""

import asyncio
import signal
import time

from benchmarks.figures import Figure, Target
from benchmarks.podium_server import Server, podium
from benchmarks.session import Session

TASKS = 20
ROUNDS = 2
START_SECONDS = 20.0
RECOVER_SECONDS = 60.0


async def run(session: Session) -> list[Figure]:
    """Seconds."""
    figure = Figure("recovery", "s", "lower", Target(20))
    for number in range(1 if session.quick else ROUNDS):
        session.tell(f"recovery: round {number + 1}")
        async with podium(session) as server:
            figure.rounds.append({"podium": await _measure(server)})
    return [figure]


async def _measure(server: Server) -> float:
    connection = await server.connect()
    keys = [f"held-{number}" for number in range(TASKS)]
    tasks = [{"agent": "held", "input": key} for key in keys]
    await connection.post("tasks/bulk", {"tasks": tasks})
    await _all_begun(server, keys, 1, START_SECONDS)
    await server.start_worker()
    for process in server.workers[0].tree():
        process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    await _all_begun(server, keys, 2, RECOVER_SECONDS)
    await connection.close()
    moments = [server.stamps.moment(f"{key}/2") for key in keys]
    return max(moment for moment in moments if moment is not None) - killed


async def _all_begun(server: Server, keys: list[str], attempt: int, seconds: float) -> None:
    waits = (server.stamps.wait(f"{key}/{attempt}", seconds) for key in keys)
    await asyncio.gather(*waits)
