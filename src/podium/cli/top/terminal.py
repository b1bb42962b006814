"""Keys of a terminal that is given back as it was, whatever ends the command."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_KEYS = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\x1b[Z": "left",
    "\t": "right",
}
_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def keyboard(resized: Callable[[], None]) -> Generator[None]:
    """Keys come one by one and are not shown. Ctrl-Z does nothing, as it would leave the shell
    with our screen; what asks the process to end ends it as Ctrl-C does."""
    descriptor = sys.stdin.fileno()
    before: list[Any] = termios.tcgetattr(descriptor)
    handlers = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGWINCH)}
    try:
        tty.setcbreak(descriptor)
        quiet: list[Any] = termios.tcgetattr(descriptor)
        quiet[6][termios.VSUSP] = os.fpathconf(descriptor, "PC_VDISABLE")
        termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
        for number in _ENDING:
            signal.signal(number, _end)
        signal.signal(signal.SIGWINCH, lambda _number, _frame: resized())
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def next_keys(woken: int, seconds: float) -> list[str]:
    """The keys that were pressed; none once ``woken`` can be read from, or the time is over."""
    readable, _, _ = select.select([sys.stdin.fileno(), woken], [], [], seconds)
    if woken in readable:
        os.read(woken, 4096)
    if sys.stdin.fileno() not in readable:
        return []
    typed = os.read(sys.stdin.fileno(), 1024)
    return _split(typed.decode("utf-8", "replace")) if typed else ["q"]


def _split(typed: str) -> list[str]:
    keys: list[str] = []
    while typed:
        sequence = next((each for each in _KEYS if typed.startswith(each)), typed[0])
        keys.append(_KEYS.get(sequence, sequence))
        typed = typed[len(sequence) :]
    return keys


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt
