"""When a task ran, told by the task itself.

A worker, whatever engine it belongs to, sends one datagram with the key of the task and the
reading of the system-wide monotonic clock. The reading is taken in the task, so how long the
datagram takes does not count. Costs the task some 10 microseconds.
"""

import asyncio
import os
import socket
import time
from pathlib import Path

STAMPS_VARIABLE = "BENCH_STAMPS"

_sender: socket.socket | None = None


def stamp(key: str) -> None:
    """Tell the client that listens on ``BENCH_STAMPS`` that the task ``key`` runs now."""
    global _sender  # noqa: PLW0603 - one socket for a worker's life; it may be used by any thread
    if _sender is None:
        _sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    _sender.sendto(f"{time.monotonic()!r} {key}".encode(), os.environ[STAMPS_VARIABLE])


def _receiver(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    receiver.settimeout(0.0)
    return receiver


class Stamps(asyncio.DatagramProtocol):
    """Collects stamps and wakes whoever waits for one."""

    def __init__(self) -> None:
        self.received = 0
        """How many came, those of a task that ran again included."""
        self._seen: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Future[float]] = {}

    @classmethod
    async def listen(cls, path: str) -> "Stamps":
        """Receive stamps on a socket, which the workers know as ``BENCH_STAMPS``."""
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(cls, sock=_receiver(Path(path)))
        return protocol

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        self.received += 1
        moment, key = data.decode().split(" ", 1)
        self._seen.setdefault(key, float(moment))
        waiter = self._waiting.pop(key, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(self._seen[key])

    async def wait(self, key: str, seconds: float) -> float:
        """The moment (``time.monotonic``) at which the task ``key`` first ran.

        ``TimeoutError`` when it does not run within so many seconds.
        """
        if key in self._seen:
            return self._seen[key]
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[key] = waiter
        try:
            return await asyncio.wait_for(waiter, seconds)
        except TimeoutError:
            raise TimeoutError(f"the task {key} did not run within {seconds:g} s") from None

    def moment(self, key: str) -> float | None:
        """The moment at which ``key`` ran, if it has."""
        return self._seen.get(key)
