"""Real servers that a test may stop and start at will."""

import asyncio
import time
from pathlib import Path

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
        while not self._socket.exists():
            assert time.monotonic() < deadline, "Valkey did not start"
            await asyncio.sleep(0.005)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None
