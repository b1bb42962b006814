"""Measures which lines and branches of Podium run in processes that tests start.

With the variable ``SWITCH``, which ``make test`` sets, ``tests/conftest.py`` lets processes find
``sitecustomize`` and ``SUPERVISOR`` here. Of a process that is killed nothing is known.
"""

import atexit
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import slipcover
from slipcover import slipcover as names

ROOT = Path(__file__).parents[2]
SWITCH = "MEASURE_PROCESSES"
FOLDER = ROOT / ".coverage.processes"
SUPERVISOR: Sequence[str] = (sys.executable, "-I", str(Path(__file__).with_name("supervisor.py")))
"""Starts a supervisor of commands that is measured."""


def python_path() -> str:
    """``PYTHONPATH`` with this folder, whose ``sitecustomize`` Python then loads at its start."""
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys(filter(None, (str(Path(__file__).parent), *before))))


def measure() -> None:
    """Measure this process, and those that it forks, from now on."""
    _Measured()


class _Absolute:
    """Names files by their whole paths: processes run in all kinds of folders."""

    def simplify(self, path: str) -> str:
        return path


class _Measured:
    """Writes down what ran when the process ends or becomes another program."""

    def __init__(self) -> None:
        names.PathSimplifier = _Absolute
        self._coverage = slipcover.Slipcover(branch=True)
        self._file: int | None = None
        ours = slipcover.FileMatcher(sources=[ROOT / "src" / "podium"])
        slipcover.ImportManager(self._coverage, ours).__enter__()
        atexit.register(self._write)
        os.register_at_fork(after_in_child=self._open)
        os._exit = self._written_before(os._exit)
        os.execv = self._written_before(os.execv)
        os.execve = self._written_before(os.execve)

    def _open(self) -> int:
        """At once in a forked process: later it may have no right to."""
        place = FOLDER / f"{uuid4().hex}.json"
        self._file = os.open(place, os.O_WRONLY | os.O_CREAT)
        return self._file

    def _written_before(self, leave: Callable[..., Any]) -> Callable[..., Any]:
        def left(*arguments: Any) -> Any:
            with suppress(OSError, MemoryError):  # it is to leave, whatever becomes of this
                self._write()
            return leave(*arguments)

        return left

    def _write(self) -> None:
        found = self._coverage.get_coverage()
        if found["files"]:
            file = self._open() if self._file is None else self._file
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(found).encode(), 0)
