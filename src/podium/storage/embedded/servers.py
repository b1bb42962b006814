"""Both embedded servers as one thing that starts, is watched, and stops."""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

from podium.kernel.errors import Conflict, PodiumError, Unavailable
from podium.storage.embedded.account import server_account
from podium.storage.embedded.credentials import Credentials
from podium.storage.embedded.paths import Layout
from podium.storage.embedded.postgres import Postgres
from podium.storage.embedded.server import Server
from podium.storage.embedded.valkey import Valkey

_STEADY_SECONDS = 30
_LONGEST_PAUSE = 10.0

log = structlog.stdlib.get_logger(__name__)


class ServerState(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"


@dataclass(frozen=True)
class EmbeddedUrls:
    """Where the servers are, with passwords; None for one that was not asked for."""

    database_url: str | None
    valkey_url: str | None


class EmbeddedServers:
    """The embedded PostgreSQL and Valkey of one data directory.

    ``start`` returns when both have let Podium log in; ``watch`` then restarts whichever dies
    and runs until it is cancelled; ``stop`` ends Valkey, then PostgreSQL, and may be called at
    any time and repeatedly. URLs stay the same over restarts. On Linux the servers end by
    themselves when the thread that called ``start`` dies; elsewhere the next start ends them.

    ``postgres`` and ``valkey`` leave one of them out. ``on_change(name, state)`` is called at
    every change of state, on the event loop.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        postgres: bool = True,
        valkey: bool = True,
        on_change: Callable[[str, ServerState], None] | None = None,
    ) -> None:
        self.layout = Layout(data_dir.absolute())
        self.states: dict[str, ServerState] = {}
        self._wanted = (postgres, valkey)
        self._servers: list[Server] = []
        self._on_change = on_change
        self._lock: int | None = None

    async def start(self) -> EmbeddedUrls:
        """Start the servers, whatever the last run left behind.

        Raises ``Conflict`` when another process runs them, ``SettingsInvalid`` when the data
        directory cannot be used, ``Unavailable`` when a server does not come up.
        """
        self.layout.create()
        self._lock = hold_servers(self.layout)
        try:
            urls = await asyncio.to_thread(self._prepare)
            await self._start_all()
        except BaseException:
            await self.stop()
            raise
        return urls

    async def watch(self) -> None:
        """Restart what dies, soon at first, then with growing pauses.

        Runs until cancelled; returns at once when no server was started.
        """
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(self._keep(server))

    async def stop(self) -> None:
        """End the servers, in order, within 40 seconds. Cancel ``watch`` first."""
        for server in reversed(self._servers):
            await server.stop()
            self._set_state(server, ServerState.STOPPED)
        self._servers = []
        if self._lock is not None:
            self.layout.remove_sockets()
            os.close(self._lock)
            self._lock = None

    def _prepare(self) -> EmbeddedUrls:
        layout = self.layout
        account = server_account(layout.postgres)
        known = Credentials.load(layout.servers_file)
        credentials = known or Credentials.new()
        credentials.save(layout)
        postgres, valkey = self._wanted
        if postgres:
            self._servers.append(Postgres(layout, credentials, account))
        if valkey:
            self._servers.append(Valkey(layout, credentials, account))
        return EmbeddedUrls(
            credentials.database_url(layout) if postgres else None,
            credentials.valkey_url(layout) if valkey else None,
        )

    async def _start_all(self) -> None:
        """Start all at once; raise what went wrong first when none is under way any more."""
        starts = (self._start(server) for server in self._servers)
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        for error in filter(None, outcomes):
            raise error

    async def _start(self, server: Server) -> None:
        self._set_state(server, ServerState.STARTING)
        try:
            await server.start()
        except PodiumError:
            self._set_state(server, ServerState.FAILED)
            raise
        except OSError as error:
            self._set_state(server, ServerState.FAILED)
            raise Unavailable(
                f"The embedded {server.name} cannot be started: {error}.",
                hint="See that the disk has room and that its files can be written.",
            ) from error
        self._set_state(server, ServerState.RUNNING)

    async def _keep(self, server: Server) -> None:
        pause = 0.0
        while True:
            started = time.monotonic()
            status = await server.exited()
            if time.monotonic() - started > _STEADY_SECONDS:
                pause = 0.0
            log.error("embedded server died", server=server.name, exit_status=status)
            while True:
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2 or 0.1)
                try:
                    await self._start(server)
                    break
                except Exception:  # whatever it is, it may be gone the next time
                    log.exception("embedded server cannot be restarted", server=server.name)
            log.warning("embedded server restarted", server=server.name)

    def _set_state(self, server: Server, state: ServerState) -> None:
        self.states[server.name] = state
        if self._on_change is not None:
            self._on_change(server.name, state)


def hold_servers(layout: Layout) -> int:
    """The right to run the servers of a data directory, until the descriptor is closed.

    It ends with this process. Raises ``Conflict`` when another process has it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(layout.run / "servers.lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Conflict(
            f"Another process runs the embedded servers of {layout.data_dir}.",
            hint="Stop it, or choose another data directory by PODIUM_HOME.",
        ) from None
    return descriptor
