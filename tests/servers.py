"""Real servers that a test may stop and start at will."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI

from podium.api.serving import ApiServer
from podium.storage.embedded.valkey import required_program


class ValkeyProcess:
    """A Valkey on a Unix socket in ``folder``, without any data of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "valkey.sock"
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"unix://{self._socket}"

    async def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *(str(required_program(None)), "--port", "0", "--unixsocket", str(self._socket)),
            *("--save", "", "--appendonly", "no", "--dir", str(self._socket.parent)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not self._answers():  # the file is there a moment before it listens
            assert time.monotonic() < deadline, "Valkey did not start"
            await asyncio.sleep(0.005)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self._socket)) == 0

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    def stand_still(self) -> None:
        """Its connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class LiveApi:
    """The API on a real socket of the loopback interface, on the same port after a restart."""

    def __init__(self, make: Callable[[], FastAPI]) -> None:
        self._make = make
        self._port = 0
        self._serving: asyncio.Task[None] | None = None
        self.app: FastAPI
        self._server: ApiServer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        self.app = self._make()
        self._server = ApiServer(self.app, host="127.0.0.1", port=self._port)
        self._port = self._server.port
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._serving = None
