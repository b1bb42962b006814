"""The worker's own view of its lease."""

from podium.kernel.clock import boottime

SAFETY_SECONDS = 2.0
"""A worker gives up this much before the database would, so that nothing runs twice."""


class LeaseClock:
    """Until when this worker's attempts may run, on the clock that counts suspended time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._deadline = 0.0

    def renewed(self, asked_at: float) -> None:
        """A renewal succeeded that was sent at ``asked_at``: the database counts from later on."""
        self._deadline = asked_at + self.seconds - min(SAFETY_SECONDS, self.seconds / 4)

    def lost(self) -> None:
        self._deadline = 0.0

    def deadline(self) -> float:
        return self._deadline

    def expired(self) -> bool:
        return boottime() >= self._deadline
