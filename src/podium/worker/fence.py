"""Ends a worker's process when its lease does, even in the middle of a step."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

import structlog

from podium.kernel.clock import boottime

_log = structlog.get_logger(__name__)

_CLOCK_BOOTTIME, _TIMER_ABSTIME, _SIGEV_THREAD_ID = 7, 1, 4  # Linux: time.h, asm/siginfo.h
_SIGNAL = signal.SIGRTMIN if sys.platform == "linux" else signal.SIGALRM
SIGNALS = frozenset({_SIGNAL, signal.SIGALRM})
"""What a process ends by that its fence ended."""


class Fence:
    """Has the kernel end this process at a moment, unless that is moved on before.

    To look at the clock before each step is too late for the step that is under way: it may keep
    the event loop to itself, or its process is stopped in the middle of it. So a timer sends the
    main thread a signal that nothing handles. Not an instruction of that thread follows, neither of
    Python nor of C, also when a process goes on that was stopped for long.

    For the main thread alone.
    """

    def __init__(self) -> None:
        self._timer = _thread_timer() or _process_timer()
        self.armed = False

    def arm(self, at: float) -> None:
        """End this process at ``at``, on ``kernel.clock.boottime``."""
        self._timer(at)
        self.armed = True

    def disarm(self) -> None:
        """Let it live on."""
        if self.armed:
            self._timer(0.0)
            self.armed = False

    def end(self) -> None:
        """End this process now."""
        os.kill(os.getpid(), signal.SIGKILL)


Timer = Callable[[float], None]
"""Sets the moment of the signal, on ``kernel.clock.boottime``; 0 takes it back."""


class _Event(ctypes.Structure):
    """``struct sigevent`` of Linux."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread", ctypes.c_int),
        ("unused", ctypes.c_byte * 44),
    )


class _Moment(ctypes.Structure):
    """``struct itimerspec``: it is not repeated."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("again_s", "again_ns", "s", "ns"))


def _thread_timer() -> Timer | None:
    """Signals the thread that calls this, and counts the time that the machine sleeps.

    None where there is no such timer, or the system grants no more of them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform != "linux" or not hasattr(libc, "timer_create"):  # glibc has it since 2.34
        return None
    timer = ctypes.c_void_p()
    event = _Event(signal=_SIGNAL, notify=_SIGEV_THREAD_ID, thread=threading.get_native_id())
    if libc.timer_create(_CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(timer)):
        return None

    def set_for(at: float) -> None:
        seconds, rest = divmod(at, 1)
        moment = _Moment(s=int(seconds), ns=int(rest * 1e9))
        if libc.timer_settime(timer, _TIMER_ABSTIME, ctypes.byref(moment), None):
            raise OSError(ctypes.get_errno(), "timer_settime")

    return set_for


def _process_timer() -> Timer:
    """Signals this process, of which another thread may hear first, so an instant of a step may
    pass; it stands still while the machine sleeps."""
    _log.info("worker.plain_fence", detail="The system has no timer for a thread.")

    def set_for(at: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(0.001, at - boottime()) if at else 0.0)

    return set_for
