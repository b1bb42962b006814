"""``python -m podium.server up`` with its processes, as its tests start and look at it."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from podium.client.connection import local_server
from podium.server.exits import ExitStatus
from podium.server.runfiles import RunFiles

UP = (sys.executable, "-P", "-m", "podium.server", "up")
REPLACE_APP = """
import importlib.util, os, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "podium.app":
            return importlib.util.spec_from_file_location(name, os.environ["STAND_IN"])
sys.meta_path.insert(0, Finder)
"""


class Stack:
    """A data directory and what runs on it."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.notes_file = folder / "notes"
        self.environment = {
            **{name: value for name, value in os.environ.items() if "PODIUM" not in name},
            "PODIUM_HOME": str(home),
            "PODIUM_PORT": "0",
            "PODIUM_DRAIN_SECONDS": "5",
            "NOTES": str(self.notes_file),
        }

    def stand_in(self, behaviour: str = "") -> "Stack":
        """Replace what the processes do; see stand_in.py."""
        modules = self.notes_file.parent / "modules"
        modules.mkdir()
        (modules / "sitecustomize.py").write_text(REPLACE_APP)
        paths = [str(modules), os.environ.get("PYTHONPATH", "")]
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self.environment["STAND_IN"] = str(Path(__file__).parent / "stand_in.py")
        self.environment["BEHAVIOUR"] = behaviour
        return self

    async def run(self, *options: str) -> tuple[int, str, str]:
        """Run ``up`` to the end of the command; its status, output and errors."""
        process = await self.start(*options)
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def start(self, *options: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *UP, *options, env=self.environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )

    async def detach(self, *options: str) -> dict[str, Any]:
        status, out, err = await self.run("--detached", *options)
        assert status == ExitStatus.DONE, err + self.log()
        return json.loads(out)

    def notes(self) -> list[str]:
        if not self.notes_file.exists():
            return []
        return [line.split()[0] for line in self.notes_file.read_text().splitlines()]

    def log(self) -> str:
        path = self.home / "logs" / "podium.log"
        return path.read_text() if path.exists() else ""

    def children(self) -> dict[str, psutil.Process]:
        """The processes under the supervisor by name: api, worker-1, postgres, valkey-server."""
        holder = RunFiles(self.home).holder()
        assert holder is not None
        found: dict[str, psutil.Process] = {}
        for process in psutil.Process(holder).children():
            words = process.cmdline()
            own = "podium.server" in words
            name = words[words.index("podium.server") + 1] if own else process.name()
            found[words[words.index("--name") + 1] if name == "worker" else name] = process
        return found

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to this stack, whoever its parent is."""
        return [
            process
            for process in psutil.process_iter()
            if process.pid != os.getpid() and self._belongs(process)
        ]

    def _belongs(self, process: psutil.Process) -> bool:
        try:
            words = process.cmdline()
            if "podium.server" in words:
                return process.environ().get("PODIUM_HOME") == str(self.home)
            return bool(words) and process.cwd().startswith(str(self.home))
        except (psutil.Error, OSError):
            return False

    async def stop(self) -> None:
        """Ask the supervisor to stop, and wait until nothing is left."""
        holder = RunFiles(self.home).holder()
        assert holder is not None
        os.kill(holder, signal.SIGTERM)
        await eventually(lambda: not psutil.pid_exists(holder), 30)
        assert local_server(self.home) is None
        assert self.processes() == []


async def eventually(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def clean(stack: Stack) -> AsyncGenerator[Stack]:
    """Ends whatever a failed test left; a passed one has left nothing."""
    try:
        yield stack
        assert stack.processes() == []
    finally:
        for process in stack.processes():
            process.kill()
