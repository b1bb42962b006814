"""What the worker says to the supervisor: NUL-ended records of a word, a blank and a value."""

import os
import select
import sys
import time

LINUX = sys.platform == "linux"
LIFELINE = 0  # the supervisor's standard input

Records = dict[bytes, list[bytes]]


class StartFailed(Exception):
    """The agent could not be started.

    ``stage`` is lock, directory, command, confinement or limits; ``number`` is the errno.
    """

    def __init__(self, stage: str, number: int) -> None:
        super().__init__(stage)
        self.stage = stage
        self.number = number


class Ended(Exception):
    """The attempt was over before the agent was started; the text is the reason."""


def boottime() -> float:
    """The clock of leases; it goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if LINUX else time.monotonic()


class Lifeline:
    """The worker's side of the conversation, read without blocking after the launch."""

    def __init__(self) -> None:
        self._rest = b""
        self.closed = False
        self.deadline = 0.0
        self.stop_grace: float | None = None
        self.paused = False

    def launch(self) -> "Launch":
        """Wait for the launch records, which ``go`` ends. Orders may have come right behind."""
        found: Records = {}
        while not self.closed:
            for word, value in self._records():
                self._obey(word, value)
                found.setdefault(word, []).append(value)
            if b"go" in found:
                os.set_blocking(LIFELINE, False)
                return Launch(found)
        raise Ended("worker_gone")

    def listen(self) -> None:
        """Take what the worker said since the last time."""
        if not self.closed:
            for word, value in self._records():
                self._obey(word, value)

    def wait(self, seconds: float) -> None:
        """Sleep before the agent runs; raises ``Ended`` when it shall not run any more."""
        select.select([LIFELINE], [], [], seconds)
        self.listen()
        if self.closed:
            raise Ended("worker_gone")
        if self.stop_grace is not None:
            raise Ended("stopped")
        if boottime() >= self.deadline:
            raise Ended("lease_expired")

    def _records(self) -> list[tuple[bytes, bytes]]:
        try:
            data = os.read(LIFELINE, 1 << 20)
        except BlockingIOError:
            return []
        self.closed = not data
        *whole, self._rest = (self._rest + data).split(b"\0")
        return [(word, value) for word, _, value in (part.partition(b" ") for part in whole)]

    def _obey(self, word: bytes, value: bytes) -> None:
        if word == b"lease":
            self.deadline = float(value)
        elif word == b"stop":
            self.stop_grace = float(value)
        elif word == b"pause":
            self.paused = value == b"1"


class Launch:
    """What to run. Everything that goes to the kernel stays bytes, as the worker encoded it."""

    def __init__(self, records: Records) -> None:
        self.argv = records[b"argv"]
        self.environment = dict(_pair(value) for value in records.get(b"env", []))
        self.directory = records[b"directory"][0]
        self.lock = records[b"lock"][0]
        self.task = records[b"task"][0].decode()
        self.attempt = records[b"attempt"][0].decode()
        self.grace = float(records[b"grace"][0])
        self.patience = float(records[b"patience"][0])
        self.hide = records.get(b"hide", [])
        self.allow = records.get(b"allow", [])
        self.wrapper = records.get(b"wrapper", [])
        self.wrapper_arguments = records.get(b"wrapper_argument", [])
        limits = (value.decode().split("=") for value in records.get(b"limit", []))
        self.limits = {name: int(number) for name, number in limits}


def _pair(value: bytes) -> tuple[bytes, bytes]:
    name, _, content = value.partition(b"=")
    return name, content
