"""How long a running task may still take, learned from tasks like it: those of the same queue that
the same agent, or agents with the same capabilities, did before."""

from collections.abc import Sequence
from statistics import median

LEARNED_FROM = 50
"""So many of the newest tasks that succeeded."""
_FEWEST = 3
_LEAST_FRACTION = 0.01


def seconds_left(elapsed: float, fraction: float | None, taken: Sequence[float]) -> float | None:
    """An estimate; None when nothing is known that it could be made from.

    ``taken`` are the seconds that tasks like it took. Those of them count that took longer than
    this one has run. What the task says of its own progress counts for more the further it is.
    """
    own = None
    if fraction is not None and fraction >= _LEAST_FRACTION:
        own = elapsed * (1 - fraction) / fraction
    longer = [each - elapsed for each in taken if each > elapsed]
    learned = median(longer) if longer and len(taken) >= _FEWEST else None
    if own is None or learned is None or fraction is None:
        return learned if own is None else own
    return fraction * own + (1 - fraction) * learned
