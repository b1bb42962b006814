"""How long a session takes until one can talk in it, on an idle worker.

From before ``POST agents/spawn`` until the session is idle, which a client finds out by reading it
every 5 ms: submission, claim and start of its agent included. One agent is a function, which runs
inside the worker and is idle when it asks for the first input; the other is a command (``cat``), a
confined process that is idle from its start. A program that takes long to begin takes that longer.

That it can be talked to is tried each time: something is said, and the session must answer it. How
long that takes from before it is said is in ``details``. Then the session is closed and its end
awaited before the next is begun.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

from benchmarks.figures import Figure, Target, percentile
from benchmarks.http_client import Http
from benchmarks.podium_server import podium
from benchmarks.processes import ProcessFailed
from benchmarks.session import Session

SESSIONS = 30
QUICK_SESSIONS = 3
POLL_SECONDS = 0.005
WAIT_SECONDS = 30.0
FUNCTION = "talking"
COMMAND = "echo"


async def run(session: Session) -> list[Figure]:
    """Seconds: the median and the 99th percentile of each kind of agent."""
    figures: list[Figure] = []
    number = QUICK_SESSIONS if session.quick else SESSIONS
    async with podium(session) as server:
        connection = await server.connect()
        config = {"command": ["cat"], "output": "text", "session": {"input": "text"}}
        agent = {"name": COMMAND, "runtime": "command", "config": config}
        await connection.post("agents", agent)
        for agent, kind in ((FUNCTION, "function"), (COMMAND, "command")):
            await _talk(connection, agent)  # the first one warms up
            idle: list[float] = []
            answered: list[float] = []
            for place in range(number):
                session.tell(f"session_start: {kind}, {place + 1} of {number}")
                took = await _talk(connection, agent)
                idle.append(took[0])
                answered.append(took[1])
            figures += _figures(f"session_start_{kind}", idle, answered)
        await connection.close()
    return figures


def _figures(name: str, idle: list[float], answered: list[float]) -> list[Figure]:
    middle = Figure(name, "s", "lower", Target(2))
    middle.rounds = [{"podium": median(idle)}]
    middle.details = {
        "answer_s": round(median(answered), 4),
        "answer_p99_s": round(percentile(answered, 0.99), 4),
    }
    worst = Figure(f"{name}_p99", "s", "lower", Target(2))
    worst.rounds = [{"podium": percentile(idle, 0.99)}]
    return [middle, worst]


async def _talk(http: Http, agent: str) -> tuple[float, float]:
    """Seconds until a new session is idle, and from something said to its answer."""
    start = time.monotonic()
    made = await http.post("agents/spawn", {"agent": agent})
    place = f"sessions/{made['id']}"

    async def is_idle() -> bool:
        return (await http.get(place))["state"] == "idle"

    async def is_answered() -> bool:
        said = (await http.get(f"{place}/transcript"))["items"]
        return any(each["kind"] == "say" and each["text"].strip() == "hello" for each in said)

    async def is_over() -> bool:
        return (await http.get(place))["state"] == "completed"

    idle = await _until(is_idle) - start
    start = time.monotonic()
    await http.post(f"{place}/input", {"text": "hello"})
    answered = await _until(is_answered) - start
    await http.post(f"{place}/close", {})
    await _until(is_over)
    return idle, answered


async def _until(holds: Callable[[], Awaitable[bool]]) -> float:
    """The moment when it is first seen to hold."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not await holds():
        if time.monotonic() > deadline:
            raise ProcessFailed(f"a session did not go on within {WAIT_SECONDS:g} s")
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic()
