"""Ids are UUIDv7, made by the application: they sort by creation time and need no round trip."""

import os
import threading
import time
from uuid import UUID

_COUNTER_BITS = 12
_RANDOM_BITS = 62


class _Clock:
    """Milliseconds and the 12 bits below them as one counter that never stands still."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        with self._lock:
            self._last = max((time.time_ns() << _COUNTER_BITS) // 1_000_000, self._last + 1)
            return self._last


_clock = _Clock()


def uuid7() -> UUID:
    """A new UUIDv7 (RFC 9562), strictly increasing within this process.

    Ids made within the same millisecond keep their order of creation, which is the order in
    which tasks of one priority are started.
    """
    tick = _clock.tick()
    millis, counter = tick >> _COUNTER_BITS, tick & ((1 << _COUNTER_BITS) - 1)
    random = int.from_bytes(os.urandom(8), "big") >> (64 - _RANDOM_BITS)
    return UUID(int=millis << 80 | 7 << 76 | counter << 64 | 2 << 62 | random)
