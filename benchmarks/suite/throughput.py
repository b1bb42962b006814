"""Durable no-op tasks, from the first submission to the last durable end.

One client process submits, one worker process runs, on the same machine as PostgreSQL and
Valkey. A warm-up that is not counted tells how many tasks each engine gets, so that each is
busy for about as long. How each is configured is told in its module.
"""

from benchmarks.figures import Figure, Target
from benchmarks.race import race
from benchmarks.session import Session

SECONDS = 2.0
ROUNDS = 5
BUDGET_SECONDS = 140.0


async def run(session: Session) -> list[Figure]:
    """Tasks per second."""
    figure = Figure("throughput", "tasks/s", "higher", Target(4000, ratio=3))
    await race(
        session,
        [figure],
        "throughput",
        {"seconds": 0.3 if session.quick else SECONDS},
        lambda answer: (answer["value"],),
        rounds=1 if session.quick else ROUNDS,
        budget=BUDGET_SECONDS,
    )
    return [figure]
