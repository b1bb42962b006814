"""Ends what runs in a worker's process when its lease has ended, even in the middle of a step."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

import structlog

from podium.kernel.clock import boottime

_log = structlog.get_logger(__name__)

_OVERSLEPT = "_PODIUM_WORKER_OVERSLEPT"
_CLOCK_BOOTTIME, _TIMER_ABSTIME, _SIGEV_THREAD_ID = 7, 1, 4  # Linux: time.h, asm/siginfo.h

Handler = Callable[[int, FrameType | None], None]
Timer = Callable[[float], None]
"""Sets the moment of the signal, on ``kernel.clock.boottime``."""


def start_anew() -> None:
    """Replace this process by a fresh one: nothing of what ran in it takes another step.

    A signal handler may call this: the fresh process writes the log, as that may be locked here.
    """
    os.environ[_OVERSLEPT] = "yes"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - itself


def tell_if_overslept() -> None:
    """Log it when this process took the place of one whose lease had ended."""
    if os.environ.pop(_OVERSLEPT, None):
        detail = "Its lease ended while it was stopped or an agent's function kept it busy."
        _log.error("worker.overslept", detail=f"{detail} It started anew.")


class Fence:
    """``end`` ends this process; before, ``set`` has a moment at which that is looked into.

    To look at the clock before each step is too late for the step that is under way: it may keep
    the event loop to itself, or its process is stopped in the middle of it. So a signal interrupts
    the main thread between two instructions of Python, whatever it does. What may still finish is
    the one call into C or the kernel that it was in.

    For the main thread alone. ``end`` does not return.
    """

    def __init__(self, end: Callable[[], None]) -> None:
        self.end = end
        self._at = 0.0
        self._check = end
        self._timer = _thread_timer(self._rings) or _process_timer(self._rings)

    def set(self, at: float, check: Callable[[], None]) -> None:
        """Call ``check`` at ``at``, on the clock ``boottime``, and no more when it was set for."""
        self._at = at
        self._check = check
        self._timer(at)

    def _rings(self, _signal: int, _frame: FrameType | None) -> None:
        if boottime() >= self._at:
            self._check()
        else:  # it was set anew meanwhile, or rang early
            self._timer(self._at)


def _process_timer(rings: Handler) -> Timer:
    """Signals this process, thus any of its threads; Python's main thread hears of it from there.

    Such a timer stands still while the machine sleeps.
    """
    signal.signal(signal.SIGALRM, rings)

    def set_for(at: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(0.001, at - boottime()))

    return set_for


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


def _thread_timer(rings: Handler) -> Timer | None:
    """Signals the thread that calls this, and no other, also for the time that the machine slept.

    None where there is no such timer, or the system grants no more of them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform != "linux" or not hasattr(libc, "timer_create"):  # glibc has it since 2.34
        return None
    timer = ctypes.c_void_p()
    event = _Event(
        signal=signal.SIGRTMIN, notify=_SIGEV_THREAD_ID, thread=threading.get_native_id()
    )
    if libc.timer_create(_CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(timer)):
        return None
    signal.signal(signal.SIGRTMIN, rings)

    def set_for(at: float) -> None:
        seconds, rest = divmod(at, 1)
        moment = _Moment(s=int(seconds), ns=int(rest * 1e9))
        if libc.timer_settime(timer, _TIMER_ABSTIME, ctypes.byref(moment), None):
            raise OSError(ctypes.get_errno(), "timer_settime")

    return set_for
