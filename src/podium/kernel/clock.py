"""Clocks. Leases are judged on the database's clock; a process judges its own on BOOTTIME."""

import sys
import time


def boottime() -> float:
    """Seconds since boot, counting the time that the machine was suspended.

    A lease must run out while a laptop sleeps, which ``time.monotonic`` would not notice.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.clock_gettime(time.CLOCK_MONOTONIC)  # on macOS it goes on during sleep
