"""Ids are UUIDv7, made by the application: they sort by creation time and need no round trip."""

import os
import struct
import threading
import time
from datetime import datetime
from uuid import UUID

_COUNTER_BITS = 12
_RANDOM_BITS = 62


class _Clock:
    """Milliseconds and the 12 bits below them as one counter that never stands still."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def ticks(self, count: int) -> range:
        with self._lock:
            first = max((time.time_ns() << _COUNTER_BITS) // 1_000_000, self._last + 1)
            self._last = first + count - 1
        return range(first, first + count)


_clock = _Clock()


def uuid7() -> UUID:
    """A new UUIDv7 (RFC 9562), strictly increasing within this process.

    Ids made within the same millisecond keep their order of creation, which is the order in
    which tasks of one priority are started.
    """
    return uuid7s(1)[0]


def least_uuid7(moment: datetime) -> UUID:
    """No id that was made after the moment is less; of one before 1970 the least of all."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def uuid7s(count: int) -> list[UUID]:
    """So many ids, in order."""
    ticks = _clock.ticks(count)
    noise = struct.unpack(f">{count}Q", os.urandom(8 * count))
    return [
        _uuid(tick, bits >> (64 - _RANDOM_BITS)) for tick, bits in zip(ticks, noise, strict=True)
    ]


def _uuid(tick: int, random: int) -> UUID:
    millis, counter = tick >> _COUNTER_BITS, tick & ((1 << _COUNTER_BITS) - 1)
    return UUID(int=millis << 80 | 7 << 76 | counter << 64 | 2 << 62 | random)
