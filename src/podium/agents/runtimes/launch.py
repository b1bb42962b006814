"""Starts a supervisor, which runs one command: everything here blocks, for a few milliseconds."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

SUPERVISOR: Sequence[str] = (
    *(sys.executable, "-I", "-S"),
    str(Path(__file__).parent / "supervision" / "start.py"),
)
"""Isolated and without ``site``: it starts in half the time and no variable can change it."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command and the conditions under which it runs.

    ``stdin`` is what the command finds on its standard input; with ``inlet`` that is a pipe which
    ``Supervisor.inlet`` writes to. ``lock`` is a file in an existing folder, one for each task.
    ``limits`` may hold
    cpu_seconds, memory_bytes, open_files, processes and soft_open_files, which processes may raise
    themselves. ``patience`` is for how many seconds it
    waits for the end of the task's previous attempt. ``records`` come from the confinement.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    lock: Path
    stdin: bytes | None = None
    inlet: bool = False
    task: str = "-"
    attempt: int = 1
    grace: float = 5.0
    patience: float = 20.0
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    records: Sequence[tuple[str, str]] = ()

    def encoded(self, deadline: float) -> bytes:
        """The launch as the supervisor reads it. ``ValueError`` when something holds a NUL."""
        records: list[tuple[str, str]] = [
            ("lease", repr(deadline)),
            ("task", self.task),
            ("attempt", str(self.attempt)),
            ("grace", repr(self.grace)),
            ("patience", repr(self.patience)),
            ("lock", str(self.lock)),
            ("directory", str(self.directory)),
            *(("argv", part) for part in self.argv),
            *(("env", f"{name}={value}") for name, value in self.environment.items()),
            *(("limit", f"{name}={value}") for name, value in self.limits.items()),
            *self.records,
            ("go", ""),
        ]
        return b"".join(_record(word, value) for word, value in records)


@dataclass(frozen=True, slots=True)
class Report:
    """How a supervisor says that its tree ended; see ``supervision.supervisor``.

    The reason ``supervisor_lost`` is ours: it died without a report.
    """

    reason: str = "supervisor_lost"
    code: int | None = None
    cpu: float = 0.0
    rss: int = 0
    stage: str = ""
    errno: int = 0


class Supervisor:
    """A running supervisor: its process and our ends of its pipes, which ``close`` closes."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        lifeline: int,
        status: int,
        out: int,
        err: int,
        inlet: int | None = None,
    ) -> None:
        self._process = process
        self._lifeline = lifeline
        self.status = status
        self.stdout = out
        self.stderr = err
        self.inlet = inlet
        self.paused: bool | None = None
        """What it was told last; None: nothing."""
        self._open = {each for each in (lifeline, status, out, err, inlet) if each is not None}

    def say(self, word: str, value: str) -> None:
        """Tell it something. One that is gone or does not listen is passed over."""
        if self._lifeline in self._open:
            try:
                os.write(self._lifeline, _record(word, value))
            except (BrokenPipeError, BlockingIOError):
                return

    def close_inlet(self) -> None:
        """Let the command find the end of its standard input."""
        inlet, self.inlet = self.inlet, None
        if inlet is not None and inlet in self._open:
            self._open.remove(inlet)
            os.close(inlet)

    def kill(self) -> None:
        """End it at once. What it supervised ends with it, save what had left its parents."""
        self._process.kill()

    def report(self) -> Report:
        """Wait for the report."""
        return decoded(_drained(self.status))

    def output(self) -> bytes:
        """Wait for the end of all output; both streams, one after the other."""
        return _drained(self.stdout) + _drained(self.stderr)

    def close(self) -> None:
        """Let go of it (which ends its tree if that still lives) and wait for its end."""
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def decoded(report: bytes) -> Report:
    """The report from its JSON; none at all means that the supervisor was killed."""
    return Report(**json.loads(report)) if report else Report()


def start(launch: Launch, deadline: float) -> Supervisor:
    """Start the supervisor and hand it the launch; the command starts a moment later.

    ``deadline`` is on ``kernel.clock.boottime``; ``Supervisor.say("lease", …)`` moves it.
    """
    message = launch.encoded(deadline)
    pipes = _Pipes()
    try:
        lifeline_read, lifeline = pipes.pair()
        status, status_write = pipes.pair()
        out, out_write = pipes.pair()
        err, err_write = pipes.pair()
        stdin, inlet = pipes.pair() if launch.inlet else (pipes.keep(_stdin(launch.stdin)), None)
        process = subprocess.Popen(
            [*SUPERVISOR, str(stdin), str(status_write)],
            stdin=lifeline_read,
            stdout=out_write,
            stderr=err_write,
            pass_fds=(stdin, status_write),
            env={},
            cwd="/",
            start_new_session=True,
        )
    except BaseException:
        pipes.close()
        raise
    pipes.close(besides=(lifeline, status, out, err, inlet))
    supervisor = Supervisor(process, lifeline, status, out, err, inlet)
    with contextlib.suppress(BrokenPipeError):  # if it died at once its missing report tells
        _write(lifeline, message)
    os.set_blocking(lifeline, False)
    if inlet is not None:
        os.set_blocking(inlet, False)
    return supervisor


class _Pipes:
    def __init__(self) -> None:
        self._open: list[int] = []

    def pair(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open += ends
        return ends

    def keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def close(self, besides: Iterable[int | None] = ()) -> None:
        for descriptor in set(self._open) - set(besides):
            os.close(descriptor)


def _stdin(content: bytes | None) -> int:
    """The agent's standard input. A file never blocks and breaks no pipe when it is not read."""
    if content is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return os.dup(file.fileno())


def _record(word: str, value: str) -> bytes:
    encoded = os.fsencode(f"{word} {value}")
    if b"\0" in encoded:
        raise ValueError(f"{word} holds a NUL character")
    return encoded + b"\0"


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _drained(descriptor: int) -> bytes:
    parts: list[bytes] = []
    while part := os.read(descriptor, 65536):
        parts.append(part)
    return b"".join(parts)
