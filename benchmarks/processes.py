"""Processes of a run. Each one ends when the harness does, however that ends."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.guard import GRACE_SECONDS

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
STOP_SECONDS = 3 * GRACE_SECONDS
TAIL_CHARACTERS = 1000
LINE_BYTES = 2**22


class ProcessFailed(Exception):
    """A process ended, answered with an error, or did not answer in time."""


class Child:
    """A process whose standard input is a lifeline and whose output is JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Self:
        """Start a process that ends by itself when its standard input closes."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": IMPORTS, **environment},
                start_new_session=True,
                limit=LINE_BYTES,
            )
        return cls(process, log)

    @classmethod
    async def guarded(
        cls, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> Self:
        """Start any process, under a guard that ends it when the harness closes its input."""
        guard = (sys.executable, "-m", "benchmarks.guard", str(log))
        return await cls.start((*guard, *command), environment, log)

    async def answer(self, seconds: float) -> dict[str, Any]:
        """The next line of its output."""
        output = self._process.stdout
        assert output is not None
        try:
            line = await asyncio.wait_for(output.readline(), seconds)
        except TimeoutError:
            raise ProcessFailed(f"no answer within {seconds:g} s; {self.tail()}") from None
        if not line:
            raise ProcessFailed(f"the process ended; {self.tail()}")
        answer: dict[str, Any] = json.loads(line)
        if error := answer.get("error"):
            raise ProcessFailed(f"{error}; {self.tail()}")
        return answer

    async def ask(self, operation: str, within: float, **arguments: Any) -> dict[str, Any]:
        """Send a request of ``driver`` and wait for its answer."""
        request = json.dumps({"op": operation, **arguments})
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(request.encode() + b"\n")
        return await self.answer(within)

    def tree(self) -> list[psutil.Process]:
        """What it started, without itself: for a guarded process, the process and its children."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []

    async def wait(self, seconds: float) -> int:
        """Its exit status once it has ended by itself."""
        try:
            return await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            raise ProcessFailed(f"not done within {seconds:g} s; {self.tail()}") from None

    async def stop(self) -> None:
        """End it, orderly if it can be."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def tail(self) -> str:
        text = self._log.read_text(errors="replace").strip()
        return f"its log ends with: {text[-TAIL_CHARACTERS:]}" if text else "its log is empty"


async def run_to_end(
    command: Sequence[str], environment: Mapping[str, str], log: Path, seconds: float
) -> None:
    """Run a command; ``ProcessFailed`` when it fails or takes longer than ``seconds``."""
    child = await Child.guarded(command, environment, log)
    try:
        status = await child.wait(seconds)
        if status:
            raise ProcessFailed(f"exit status {status}; {child.tail()}")
    finally:
        await child.stop()
