"""From the acceptance of a task to its start, one at a time, on an idle worker.

The clock starts when the submission has returned, so a task that is already running then counts
as 0. The time from before the submission is kept beside it, in ``details``: an engine cannot
win here by a slow submission and look well there.
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
    figures = [
        Figure("start_latency", "ms", "lower", Target(10)),
        Figure("start_latency_with_submission", "ms", "lower"),
    ]
    await race(
        session,
        figures,
        "start_latency",
        {"seconds": 0.5 if session.quick else SECONDS},
        lambda answer: (median(answer["accepted"]), median(answer["called"])),
        rounds=1 if session.quick else ROUNDS,
        budget=BUDGET_SECONDS,
    )
    return figures
