"""A terminal for commands that look and ask differently when there is one."""

import codecs
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from installation import INTERRUPT_AFTER_SECONDS

_TAKE = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the controlling one, so that Ctrl-C reaches the process."""


_WHERE = "\x1b[6n"
"""Asks a terminal where its cursor is; every real one answers."""


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what a failed test has left."""
    if process.poll() is None:
        process.kill()
        process.wait()


class Terminal:
    """A process on a pseudo-terminal. ``seen`` is all that it has shown so far, ``found`` and
    ``left`` how the terminal was set before it and after it.

    With ``LINES`` empty in its environment its size is that of the terminal, see ``resize``.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._main, theirs = pty.openpty()
        self.found: list[Any] = termios.tcgetattr(self._main)
        self.left: list[Any] = []
        self.resize(80, 24)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE, *argv],
            env={"LINES": "50", **environment, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        weakref.finalize(self, _end, self._process)
        os.close(theirs)
        os.set_blocking(self._main, False)

    def expect(self, text: str, seconds: float = 60) -> None:
        """Read until ``text`` was shown."""
        self.expect_that(lambda seen: text in seen, seconds)

    def expect_that(self, holds: Callable[[str], bool], seconds: float = 60) -> None:
        """Read until this holds of what was shown."""
        deadline = time.monotonic() + seconds
        while not holds(self.seen):
            assert time.monotonic() < deadline, self.seen
            self._read()

    def forget(self) -> None:
        """Take what was shown so far for not shown."""
        self._read()
        self.seen = ""

    def resize(self, columns: int, lines: int) -> None:
        """Make the terminal as large, which the process is told of."""
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def type(self, text: str) -> None:
        """Type something; ``\\x03`` is Ctrl-C, for a command that soon waits."""
        if text == "\x03":
            time.sleep(INTERRUPT_AFTER_SECONDS)
        os.write(self._main, text.encode())

    def end(self, seconds: float = 60) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            self._read()
        self._read()
        self.left = termios.tcgetattr(self._main)
        os.close(self._main)
        return self._process.returncode

    def _read(self) -> None:
        try:
            shown = self._decoder.decode(os.read(self._main, 65536))
            self.seen += shown
            for _ in range(shown.count(_WHERE)):
                os.write(self._main, b"\x1b[1;1R")
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:  # its other end is closed
            time.sleep(0.02)
