"""A whole installation, as a user starts it, whose processes can be found and killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from podium.client import AsyncPodium
from podium.storage.embedded.process import read_pid, running_in

TESTS = Path(__file__).parents[1]
START_SECONDS = 60


class Installation:
    """``podium up`` on a data directory of its own."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.home = home
        modules = (str(TESTS), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH"))
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")
        } | {
            "PODIUM_HOME": str(home),
            "PODIUM_PORT": "0",
            "PODIUM_FUNCTION_MODULES": '["chaos"]',
            "PYTHONPATH": os.pathsep.join(filter(None, modules)),
            **{f"PODIUM_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the supervisor; returns at once."""
        with (self.home.parent / "up.out").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "podium.server", "up"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    async def ready(self) -> None:
        """Wait until the API answers."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                assert self._process is not None
                assert self._process.poll() is None, (self.home.parent / "up.out").read_text()
                with suppress(Exception):
                    async with self.client(retries=0) as client:
                        await client.status()
                        return
                await asyncio.sleep(0.1)

    async def stop(self) -> int:
        """Ask everything to end, in order; the supervisor's exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, 90)

    def client(self, retries: int = 40) -> AsyncPodium:
        return AsyncPodium(home=self.home, retries=retries)

    @property
    def supervisor(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pids(self, kind: str) -> list[int]:
        """Processes of this installation: supervisor, api, worker, postgres or valkey."""
        if kind == "supervisor":
            return [self.supervisor]
        if kind == "postgres":
            postmaster = read_pid(self.home / "postgres" / "postmaster.pid")
            return [] if postmaster is None else [postmaster]
        if kind == "valkey":  # it has nothing of our environment
            found = running_in(self.home / "valkey", "valkey-server")
            return [process.pid for process in found]
        return [process.pid for process in self._ours() if kind in self._kind(process)]

    def _ours(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("PODIUM_HOME") == str(self.home):
                    yield process

    def _kind(self, process: psutil.Process) -> str:
        words = process.cmdline()
        if "podium.server" not in words:
            return "agent"
        return {"server": "api", "worker": "worker", "up": "supervisor"}[
            words[words.index("podium.server") + 1]
        ]

    def kill(self, kind: str, number: int = signal.SIGKILL) -> int | None:
        """Send a signal to one process of this kind; its pid, None when there is none now."""
        for pid in self.pids(kind):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                return pid
        return None

    def leftovers(self) -> list[str]:
        """Command lines of processes that still belong to this installation."""
        return [" ".join(process.cmdline()) for process in self._ours()]


@asynccontextmanager
async def installed(home: Path, **settings: object) -> AsyncGenerator[Installation]:
    """A running installation; nothing of it is left afterwards."""
    installation = Installation(home, **settings)
    installation.start()
    try:
        await installation.ready()
        yield installation
    finally:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            await installation.stop()
        for kind in ("supervisor", "api", "worker", "agent", "valkey", "postgres"):
            for pid in installation.pids(kind):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
