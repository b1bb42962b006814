"""A terminal for commands that look and ask differently when there is one."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

_TAKE = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the controlling one, so that Ctrl-C reaches the process."""


class Terminal:
    """A process on a pseudo-terminal. ``seen`` is all that it has shown so far."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.seen = ""
        self._main, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE, *argv],
            env={"LINES": "50", **environment, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        os.set_blocking(self._main, False)

    def expect(self, text: str, seconds: float = 60) -> None:
        """Read until ``text`` was shown."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self._read()

    def type(self, text: str) -> None:
        """Type something; ``\\x03`` is Ctrl-C."""
        os.write(self._main, text.encode())

    def end(self, seconds: float = 60) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            self._read()
        self._read()
        os.close(self._main)
        return self._process.returncode

    def _read(self) -> None:
        try:
            self.seen += os.read(self._main, 65536).decode("utf-8", "replace")
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:  # its other end is closed
            time.sleep(0.02)
