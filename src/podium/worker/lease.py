"""The worker's own view of its lease."""

import math
import os
import sys
from collections.abc import Callable

import structlog

from podium.kernel.clock import boottime

_log = structlog.get_logger(__name__)

SAFETY_SECONDS = 2.0
"""A worker gives up this much before the database would, so that nothing runs twice."""


_OVERSLEPT = "_PODIUM_WORKER_OVERSLEPT"


def start_anew() -> None:
    """Replace this process by a fresh one: nothing of what ran in it takes another step.

    A signal handler may call this: the fresh process writes the log, as that may be locked here.
    """
    os.environ[_OVERSLEPT] = "yes"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - itself


def tell_if_overslept() -> None:
    """Log it when this process took the place of one that was stopped past its lease."""
    if os.environ.pop(_OVERSLEPT, None):
        detail = "Its lease ended while it was stopped; it started anew."
        _log.error("worker.overslept", detail=detail)


class LeaseClock:
    """Until when this worker's attempts may run, on the clock that counts suspended time.

    ``fence`` is called when an attempt inside this process is about to go on although others may
    have begun its task: the process was stopped or suspended past its lease.
    """

    def __init__(self, seconds: float, fence: Callable[[], None] | None = None) -> None:
        self.seconds = seconds
        self._fence = fence
        self._deadline = 0.0
        self._end = 0.0
        self._last = math.inf

    def renewed(self, asked_at: float) -> None:
        """A renewal succeeded that was sent at ``asked_at``: the database counts from later on."""
        self._end = asked_at + self.seconds
        self._deadline = self._end - min(SAFETY_SECONDS, self.seconds / 4)

    def lost(self) -> None:
        """Nothing may begin any more, what runs ends at once: others may run its tasks by now."""
        self._deadline = 0.0

    def cut_short(self, seconds: float) -> None:
        """Let attempts run for so long at most; the worker keeps its lease and settles them."""
        self._last = min(self._last, boottime() + seconds)

    def deadline(self) -> float:
        """When attempts must have ended; they ask before each step."""
        self.guard()
        return min(self._deadline, self._last)

    def guard(self) -> None:
        """Let nothing in this process go on when others may have begun its tasks."""
        if self._fence and boottime() >= self._end:
            self._fence()

    def left(self) -> float:
        """Seconds until the deadline; 0 when it has passed."""
        return max(0.0, self._deadline - boottime())

    def expired(self) -> bool:
        return boottime() >= self._deadline
