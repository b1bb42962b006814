"""What the embedded PostgreSQL and Valkey have in common: one process and its end."""

import signal
from abc import ABC, abstractmethod
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from podium.storage.embedded.account import Account
from podium.storage.embedded.credentials import Credentials
from podium.storage.embedded.paths import Layout
from podium.storage.embedded.process import stop


class Server(ABC):
    """One embedded server. Its methods are called one after another by one owner."""

    name: ClassVar[str]
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]]
    """Signals that end it, from soft to hard, each with the seconds to wait for its effect."""

    def __init__(
        self, layout: Layout, credentials: Credentials, account: Account | None = None
    ) -> None:
        self.layout = layout
        self.credentials = credentials
        self.account = account
        self.process: Process | None = None

    @abstractmethod
    async def start(self) -> None:
        """Start the server, whatever the last run left, until it lets Podium log in.

        Raises ``SettingsInvalid`` when it cannot run here, ``Unavailable`` with the end of its
        log when it does not come up.
        """

    async def exited(self) -> int | None:
        """Wait for the process to end; its exit status, None when there was none."""
        return None if self.process is None else await self.process.wait()

    async def stop(self) -> None:
        """End the process, softly first. Does nothing when it does not run."""
        if self.process is not None:
            await stop(self.process, self.name, self.stop_steps)
            self.process = None

    @property
    def log(self) -> Path:
        """Where the server writes what it has to say."""
        return self.layout.logs / f"{self.name}.log"
