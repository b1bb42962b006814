"""``podium up`` on a data directory that was used before, until the API is ready.

From the start of the command to the first success of ``/health/ready``: PostgreSQL, Valkey,
migrations, API and worker included. The first start, which makes the database, is in ``details``.
"""

import sys
import time

from benchmarks.figures import Figure, Target
from benchmarks.podium_server import free_port, wait_until_ready
from benchmarks.processes import run_to_end
from benchmarks.session import Session

ROUNDS = 5
SECONDS = 60.0
PODIUM = (sys.executable, "-m", "podium.cli")


async def run(session: Session) -> list[Figure]:
    """Seconds."""
    figure = Figure("up_warm", "s", "lower", Target(4))
    figure.details["first_start_s"] = await _up_and_down(session)
    for number in range(1 if session.quick else ROUNDS):
        session.tell(f"up_warm: round {number + 1}")
        figure.rounds.append({"podium": await _up_and_down(session)})
    return [figure]


async def _up_and_down(session: Session) -> float:
    environment = {
        "PODIUM_HOME": str(session.directory / "up"),
        "PODIUM_PORT": str(free_port()),
    }
    log = session.log("up")
    start = time.monotonic()
    try:
        await run_to_end((*PODIUM, "up", "--detach"), environment, log, SECONDS)
        await wait_until_ready(f"http://127.0.0.1:{environment['PODIUM_PORT']}", SECONDS)
        return time.monotonic() - start
    finally:
        await run_to_end((*PODIUM, "down"), environment, log, SECONDS)
