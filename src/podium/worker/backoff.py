"""When a worker claims nothing for a while, because it could only hand it back."""

import structlog

from podium.kernel.clock import boottime

_log = structlog.get_logger(__name__)

_SHORTEST = 1.0
_LONGEST = 30.0


class Backoff:
    """Pauses after attempts that this machine, or its way to the database, failed: each pause twice
    as long as the one before, until an attempt gets through."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._until = 0.0

    def handed_back(self) -> None:
        """An attempt could not be run here. Those of the same moment count once."""
        now = boottime()
        if now >= self._until:
            self._seconds = min(max(2 * self._seconds, _SHORTEST), _LONGEST)
            self._until = now + self._seconds
            _log.warning("worker.claims_nothing", seconds=self._seconds)

    def got_through(self) -> None:
        """An attempt was run here: the next pause is a short one."""
        self._seconds = 0.0

    def pausing(self) -> bool:
        """Whether nothing is to be claimed now."""
        return self._until > 0 and boottime() < self._until
