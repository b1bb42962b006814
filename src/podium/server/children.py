"""A child process that is kept running."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import structlog

from podium.server.exits import ExitStatus
from podium.worker.fence import SIGNALS

log = structlog.stdlib.get_logger(__name__)

HURRY_SECONDS = 7.0
KILL_SECONDS = 5.0


def server_argv(*arguments: str) -> Sequence[str]:
    """How a process of this package is started, without modules of the working directory."""
    return (sys.executable, "-P", "-m", "podium.server", *arguments)


@dataclass(frozen=True)
class Pauses:
    """Seconds to wait before a child that died is started again.

    One that lived for ``steady`` seconds begins anew with ``first``; after as many quick deaths
    in a row as ``first`` has entries, each further start waits ``then``.
    """

    first: Sequence[float] = (0.1, 0.5, 1.0, 2.0, 4.0)
    then: float = 30.0
    steady: float = 10.0


@dataclass(frozen=True)
class Ended:
    """How one life of a child ended, and what it said in the end, if it did."""

    status: int
    said: Mapping[str, Any] | None

    @property
    def reason(self) -> Mapping[str, Any] | str | None:
        """Why it died, as far as that is known."""
        if -self.status in SIGNALS:
            return "its lease ended in the middle of a step of an agent's function"
        if self.status < 0:
            return f"ended by {signal.strsignal(-self.status)}"
        return self.said


class Child:
    """One process that has a lifeline, started again whenever it dies.

    ``on_ended`` is asked each time whether to start it again; without it the answer is yes.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        pass_fds: Sequence[int] = (),
        pauses: Pauses | None = None,
        on_ended: Callable[[Ended], bool] | None = None,
    ) -> None:
        self.name = name
        self.process: Process | None = None
        self.last_words: Mapping[str, Any] = {}
        """What it said before it ended last; complete once ``stop`` has returned."""
        self._argv = argv
        self._environment = environment
        self._pass_fds = pass_fds
        self._pauses = pauses or Pauses()
        self._on_ended = on_ended
        self._lifeline: socket.socket | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._deadline: float | None = None
        self._hurried = False

    def start(self) -> None:
        """Begin to keep it running. Returns at once."""
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self, seconds: float) -> None:
        """Ask it to end in order, wait up to ``seconds``, then kill it."""
        self._deadline = time.monotonic() + seconds
        self._ask(signal.SIGTERM)
        asked_twice = False
        while self.process is not None and self.process.returncode is None:
            if time.monotonic() >= self._deadline:
                await self._kill(self.process)
                break
            await asyncio.sleep(0.02)
            if self._hurried and not asked_twice:
                asked_twice = True
                self._deadline = min(self._deadline, time.monotonic() + HURRY_SECONDS)
                self._ask(signal.SIGINT)  # two of one kind that it finds together count as one
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper], timeout=KILL_SECONDS)
        self.last_words = self._said() or self.last_words
        self._drop_lifeline()

    def hurry(self) -> None:
        """Have ``stop``, now or when it comes, ask again and wait for a few seconds at most."""
        self._hurried = True

    def replace(self) -> None:
        """Kill it; it is started again as after any death."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()

    async def _kill(self, process: Process) -> None:
        log.warning("process does not stop and is killed", child=self.name)
        process.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), KILL_SECONDS)

    def _ask(self, sig: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(sig)

    async def _keep(self) -> None:
        deaths = 0
        while True:
            started = time.monotonic()
            ended = await self._live_or_fail()
            if self._deadline is not None:
                return
            if self._on_ended is not None and not self._on_ended(ended):
                return
            if time.monotonic() - started >= self._pauses.steady:
                deaths = 0
            pause = self._pause(deaths)
            deaths += 1
            log.error(
                "process died and is started again",
                child=self.name,
                exit_status=ended.status,
                reason=ended.reason,
                deaths_in_a_row=deaths,
                after_seconds=pause,
            )
            await asyncio.sleep(pause)

    def _pause(self, deaths: int) -> float:
        first = self._pauses.first
        return first[deaths] if deaths < len(first) else self._pauses.then

    async def _live_or_fail(self) -> Ended:
        """One life. What this machine has no means to start now has died at once."""
        try:
            return await self._live()
        except (OSError, RuntimeError) as error:  # asyncio starts a thread for each process
            self._drop_lifeline()
            told = f"It cannot be started: {error}"
            return Ended(ExitStatus.FAILED, {"code": "unavailable", "message": told, "hint": None})

    async def _live(self) -> Ended:
        """Start it and wait until it has ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._drop_lifeline()
            self._lifeline = ours
            ours.settimeout(0)
            self.process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=theirs.fileno(),
                env={**os.environ, **self._environment},
                start_new_session=True,
                pass_fds=self._pass_fds,
            )
        if self._deadline is not None:  # the order to stop came while it was being started
            self._ask(signal.SIGTERM)
        status = await self.process.wait()
        said = self._said()
        self.last_words = said or {}
        return Ended(status, said)

    def _said(self) -> Mapping[str, Any] | None:
        """What the child wrote into its lifeline before it ended."""
        if self._lifeline is None:
            return None
        try:
            return cast("Mapping[str, Any]", json.loads(self._lifeline.recv(65_536)))
        except (OSError, ValueError):
            return None

    def _drop_lifeline(self) -> None:
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None
