"""A lone chain of 5 steps, from its submission to the run of its last step.

Each step is durable before the next one starts. DBOS runs a workflow's steps in one process
without handing them out again, which is less work than a task for each.
"""

from statistics import median

from benchmarks.figures import Figure, Target
from benchmarks.race import race
from benchmarks.session import Session

SECONDS = 2.0
ROUNDS = 3
BUDGET_SECONDS = 80.0


async def run(session: Session) -> list[Figure]:
    """Milliseconds, the median of a round."""
    figure = Figure("chain", "ms", "lower", Target(40))
    await race(
        session,
        [figure],
        "chain",
        {"seconds": 0.5 if session.quick else SECONDS},
        lambda answer: (median(answer["values"]),),
        rounds=1 if session.quick else ROUNDS,
        budget=BUDGET_SECONDS,
    )
    return [figure]
