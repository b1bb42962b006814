"""The child's end of the socket pair that ties it to its supervisor (see the package)."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from podium.kernel.errors import PodiumError
from podium.server.exits import ExitStatus

GRACE_SECONDS = 10.0
"""How long a child may take to stop in order once its supervisor is gone."""

HURRY_SECONDS = 3.0
"""After so long it is hurried: there is nobody left to serve."""


class StopOrder:
    """What this process was asked: to stop, and then perhaps to hurry."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    def ask(self) -> None:
        """The first time means stop, every further time hurry."""
        (self.hurry if self.stop.is_set() else self.stop).set()

    def listen(self) -> None:
        """Take SIGTERM and SIGINT as orders. For the main thread's event loop."""
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self.ask)


class Lifeline:
    """The tie to the supervisor. It takes the socket from standard input, which becomes empty."""

    def __init__(self) -> None:
        self._socket = socket.socket(fileno=os.dup(0))
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)

    def watch(self, order: StopOrder) -> None:
        """Stop when the supervisor goes away, in order if that can be done in time.

        A thread does it, so that even a stuck event loop ends.
        """
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._wait, args=(loop, order), daemon=True).start()

    def report(self, error: Exception) -> None:
        """Tell the supervisor why this process cannot start."""
        told = {"code": "internal", "message": f"{type(error).__name__}: {error}", "hint": None}
        if isinstance(error, PodiumError):
            told = {"code": error.code, "message": error.message, "hint": error.hint}
        self.say(told)

    def say(self, last_words: Mapping[str, object]) -> None:
        """Tell the supervisor something before this process ends; only once."""
        with suppress(OSError):
            self._socket.send(json.dumps(last_words).encode()[:65_000])

    def _wait(self, loop: asyncio.AbstractEventLoop, order: StopOrder) -> None:
        with suppress(OSError):
            self._socket.recv(1)
        with suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(order.ask)
            loop.call_soon_threadsafe(loop.call_later, HURRY_SECONDS, order.ask)
        time.sleep(GRACE_SECONDS)
        os._exit(ExitStatus.ORPHANED)
