"""A task, 1,000 that depend on it, and one that depends on them all.

From before the submission of the whole to the start of the last task.
"""

from benchmarks.figures import Figure, Target
from benchmarks.race import race
from benchmarks.session import Session

WIDTH = 1000
ROUNDS = 3
BUDGET_SECONDS = 80.0


async def run(session: Session) -> list[Figure]:
    """Seconds."""
    figure = Figure("fan_out", "s", "lower", Target(0.5))
    await race(
        session,
        [figure],
        "fan_out",
        {"width": 50 if session.quick else WIDTH},
        lambda answer: (answer["value"],),
        rounds=1 if session.quick else ROUNDS,
        budget=BUDGET_SECONDS,
    )
    return [figure]
