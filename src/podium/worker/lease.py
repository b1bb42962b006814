"""The worker's own view of its lease."""

import math

from podium.agents.runtime import AttemptContext
from podium.kernel.clock import boottime
from podium.worker.fence import Fence

SAFETY_SECONDS = 2.0
"""A worker gives up this much before the database would, so that nothing runs twice."""


class LeaseClock:
    """Until when this worker's attempts may run, on the clock that counts suspended time.

    ``fence`` ends this process when a step inside it would go on although others may have begun its
    task. Once armed it stays so until the next renewal: to arm it is a call into the kernel.
    """

    def __init__(self, seconds: float, fence: Fence | None = None) -> None:
        self.seconds = seconds
        self.stepping: AttemptContext | None = None
        self.steps = 0
        self._inside = 0
        self._fence = fence
        self._deadline = 0.0
        self._end = 0.0
        self._last = math.inf

    def renewed(self, asked_at: float) -> None:
        """A renewal succeeded that was sent at ``asked_at``: the database counts from later on."""
        self._end = asked_at + self.seconds
        self._deadline = self._end - min(SAFETY_SECONDS, self.seconds / 4)
        if self._fence and self._inside:
            self._fence.arm(self._end)
        else:
            self._disarm()

    def lost(self) -> None:
        """Nothing may begin any more, what runs ends at once: others may run its tasks by now."""
        self._deadline = 0.0
        if not self._inside:
            self._disarm()

    def enter(self) -> None:
        """Something begins to run inside this process."""
        self._inside += 1
        if self._fence and not self._fence.armed:
            self._fence.arm(self._end)

    def leave(self) -> None:
        """It has ended."""
        self._inside -= 1
        if not self._inside and self.expired():
            self._disarm()

    def cut_short(self, seconds: float) -> None:
        """Let attempts run for so long at most; the worker keeps its lease and settles them."""
        self._last = min(self._last, boottime() + seconds)

    def deadline(self) -> float:
        """When attempts must have ended; they ask before each step."""
        if self._fence and self._inside and boottime() >= self._end:  # the fence may count no sleep
            self._fence.end()
        return min(self._deadline, self._last)

    def left(self) -> float:
        """Seconds until the deadline; 0 when it has passed."""
        return max(0.0, self._deadline - boottime())

    def expired(self) -> bool:
        return boottime() >= self._deadline

    def _disarm(self) -> None:
        if self._fence:
            self._fence.disarm()
