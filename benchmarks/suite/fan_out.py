"""A task, 1,000 that depend on it, and one that depends on them all.

From before the submission of the whole to the start of the last task.
"""

from statistics import median

from benchmarks.figures import Figure, Target
from benchmarks.race import race
from benchmarks.session import Session

WIDTH = 1000
SECONDS = 4.0
ROUNDS = 3
BUDGET_SECONDS = 120.0


async def run(session: Session) -> list[Figure]:
    """Seconds, the median of a round."""
    figure = Figure("fan_out", "s", "lower", Target(0.5))
    await race(
        session,
        [figure],
        "fan_out",
        {"width": 50, "seconds": 0.5} if session.quick else {"width": WIDTH, "seconds": SECONDS},
        lambda answer: (median(answer["values"]),),
        rounds=1 if session.quick else ROUNDS,
        budget=BUDGET_SECONDS,
    )
    return [figure]
