"""Processes of the embedded servers: started with a tie to this one; old ones found and ended."""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil
import structlog

from podium.storage.embedded.account import Account

log = structlog.stdlib.get_logger(__name__)

_PR_SET_PDEATHSIG = 1
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that a server sees of our environment, which may hold secrets."""


@dataclass(frozen=True)
class Program:
    """How to start one server program. ``on_orphaned`` is sent to it when this process dies.

    That signal is Linux's; elsewhere a server outlives a killed Podium and the next start ends
    it. The tie is to the thread that starts the program, so that thread must stay.
    """

    argv: Sequence[str | Path]
    cwd: Path
    account: Account | None = None
    on_orphaned: signal.Signals = signal.SIGTERM
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    async def start(self, log: Path) -> Process:
        """Run it in a session of its own, its output appended to ``log``."""
        with log.open("ab") as output:
            return await self._spawn(stdin=asyncio.subprocess.DEVNULL, output=output.fileno())

    async def run(self, stdin: str = "", *, seconds: float = 120) -> tuple[int, str]:
        """Run it to its end; its exit status and what it printed. Ended after ``seconds``."""
        process = await self._spawn(stdin=asyncio.subprocess.PIPE, output=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(seconds):
                printed, _ = await process.communicate(stdin.encode())
        except BaseException:
            process.kill()
            await process.wait()
            raise
        return process.returncode or 0, printed.decode("utf-8", "replace")

    async def _spawn(self, *, stdin: int, output: int) -> Process:
        return await asyncio.create_subprocess_exec(
            *self.argv,
            stdin=stdin,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.cwd,
            env={**_ENVIRONMENT, **self.environment},
            start_new_session=True,
            preexec_fn=_child_setup(self.account, self.on_orphaned),
        )


def _child_setup(account: Account | None, on_orphaned: signal.Signals) -> Callable[[], None] | None:
    """What the new process does to itself before it becomes the program.

    The order matters: giving up root clears the signal that is sent when the parent dies.
    """
    libc = _libc()
    if account is None and libc is None:
        return None
    parent = os.getpid()

    def prepare() -> None:  # pragma: no cover - runs between fork and exec, unseen by tools
        if account is not None:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, int(on_orphaned))
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

    return prepare


@cache
def _libc() -> ctypes.CDLL | None:
    """The C library, loaded before any fork; None where there is no ``prctl``."""
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def running_in(directory: Path, program: str) -> list[psutil.Process]:
    """Processes of ``program`` whose working directory is ``directory``, as servers have it."""
    wanted = str(directory.resolve())
    return [
        process
        for process in psutil.process_iter(["name"])
        if process.info["name"] == program and _cwd(process) == wanted
    ]


def _cwd(process: psutil.Process) -> str | None:
    try:
        return process.cwd()
    except (psutil.Error, OSError):
        return None


def read_pid(path: Path) -> int | None:
    """The process id on the first line of ``path``; None if there is no such file or number."""
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def end(processes: Sequence[psutil.Process], sig: signal.Signals, seconds: float) -> bool:
    """Send ``sig`` and wait up to ``seconds``; True when all are gone."""
    for process in processes:
        try:
            process.send_signal(sig)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(list(processes), timeout=seconds)
    return not alive


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


async def stop(process: Process, name: str, steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn and wait its seconds, until the process has ended. ``name`` is what
    the log calls it when it takes longer."""
    for sig, seconds in steps:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(sig)
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
                return
        except TimeoutError:
            log.warning(
                "embedded server does not end in time", server=name, sent=sig.name, seconds=seconds
            )
