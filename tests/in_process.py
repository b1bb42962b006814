"""Commands run to their end within this process, as if they were typed.

A process of its own takes most of its time to load modules that are the same each time. What
cannot be had here is tested with real processes: ``Installation.begin``, terminals, guides.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NoReturn

from podium.cli import main, output

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGWINCH)


class Replaced(BaseException):
    """The command would have become another program."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def possible() -> bool:
    """Whether the caller stands where a program begins: in the main thread, outside any loop."""
    here = threading.current_thread() is threading.main_thread()
    return here and asyncio._get_running_loop() is None


def run(
    arguments: Sequence[str], stdin: str, cwd: Path | None, environment: Mapping[str, str]
) -> Said:
    """Run it. Raises ``Replaced`` where it would become another program."""
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        with _streams(given, out, err), _surroundings(arguments, cwd, environment):
            status = _status()
        return Said(status, *(_text(file) for file in (out, err)))


def _status() -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def _streams(*files: IO[bytes]) -> Generator[None]:
    """Have these files as standard input, output and errors, also of programs that are started."""
    kept = [os.dup(number) for number in range(len(files))]
    before = sys.stdin, sys.stdout, sys.stderr
    for number, file in enumerate(files):
        os.dup2(file.fileno(), number)
    ours = [open(n, mode, encoding="utf-8", closefd=False) for n, mode in enumerate("rww")]  # noqa: SIM115
    sys.stdin, sys.stdout, sys.stderr = ours
    output.console.cache_clear()
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        for stream in ours:
            stream.close()
        for number, duplicate in enumerate(kept):
            os.dup2(duplicate, number)
            os.close(duplicate)
        output.console.cache_clear()


@contextmanager
def _surroundings(
    arguments: Sequence[str], cwd: Path | None, environment: Mapping[str, str]
) -> Generator[None]:
    """Have what else a process has of its own: arguments, directory, variables, signals."""
    argv, directory, variables, execv = sys.argv, Path.cwd(), dict(os.environ), os.execv
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    sys.argv, os.execv = ["podium", *arguments], _replaced
    os.chdir(cwd or directory)
    _set(environment)
    try:
        yield
    finally:
        sys.argv, os.execv = argv, execv
        os.chdir(directory)
        _set(variables)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _set(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()


def _replaced(*_: Any) -> NoReturn:
    raise Replaced


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
