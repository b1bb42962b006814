"""Places for streams: how many a process serves at once, in all and to one principal."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from uuid import UUID

from podium.events.model import TooManyStreams


class Kind(StrEnum):
    """What a stream tells."""

    EVENTS = "events"
    LOGS = "logs"


_MOST = {Kind.EVENTS: 2000, Kind.LOGS: 500}
"""Log streams are fewer: each looks at the database every two seconds."""
_MOST_EACH = 200
_INSTEAD = {
    Kind.EVENTS: "follow several subjects in one",
    Kind.LOGS: "read pages of `logs` now and then",
}
_LATER_SECONDS = 5


class StreamPlaces:
    """The streams that this process serves."""

    def __init__(self) -> None:
        self._kinds: Counter[Kind] = Counter()
        self._principals: Counter[UUID] = Counter()

    @contextmanager
    def place(self, kind: Kind, principal: UUID) -> Generator[None]:
        """Hold a place while the block runs; ``TooManyStreams`` when there is none."""
        if self._kinds[kind] >= _MOST[kind]:
            raise _full(kind, f"This server serves {_MOST[kind]} streams of {kind}")
        if self._principals[principal] >= _MOST_EACH:
            raise _full(kind, f"You follow {_MOST_EACH} streams of events and logs")
        self._kinds[kind] += 1
        self._principals[principal] += 1
        try:
            yield
        finally:
            self._kinds[kind] -= 1
            self._principals[principal] -= 1
            self._principals += Counter()  # forgets those that have none


def _full(kind: Kind, what: str) -> TooManyStreams:
    return TooManyStreams(
        f"{what} already.",
        hint=f"Close some, or {_INSTEAD[kind]}.",
        retry_after=_LATER_SECONDS,
    )
