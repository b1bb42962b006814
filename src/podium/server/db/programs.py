"""PostgreSQL's own programs, from the wheel: started without a word of theirs on a command line."""

import asyncio
import os
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from podium.kernel.errors import Unavailable
from podium.storage.address import Address
from podium.storage.embedded.cluster import required_programs

_TABLE = re.compile(r'(?:dumping contents of|processing data for) table "(?:[^".]+\.)?([^"]+)"')
_TROUBLE = re.compile(r"(?:pg_\w+|psql\S*): (?:error|fatal|ERROR|FATAL)\b")
"""What a program complains of. The lines below it may show rows, and so are not told."""
_KEPT_LINES = 20
_PASSED_ON = re.compile(r"HOME|PGPASSWORD|PGPASSFILE|PGTARGETSESSIONATTRS|PGSSL\w+")
"""Where a password, or how to speak TLS, may stand that is not in the URL; the driver looks there,
too."""
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "PGAPPNAME": "podium db"}


class Tool:
    """A program that runs. ``on_table`` is called with each table that it says it has come to."""

    def __init__(self, name: str, process: Process, on_table: Callable[[str], None]) -> None:
        self.name = name
        self.process = process
        self._on_table = on_table
        self._said: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None, "it was started with a pipe"  # noqa: S101
        async for raw in self.process.stderr:
            line = raw.decode("utf-8", "replace").rstrip()
            if found := _TABLE.search(line):
                self._on_table(found[1])
            elif _TROUBLE.match(line):
                self._said = [*self._said, line][-_KEPT_LINES:]

    async def end(self) -> None:
        """Wait for its end; ``Unavailable`` with what it said when it failed."""
        await self._reader
        if status := await self.process.wait():
            said = "\n".join(self._said) or f"it ended with status {status}"
            raise Unavailable(
                f"{self.name} failed: {said}",
                hint="See that the disk has room and that the database can be reached.",
            )


@asynccontextmanager
async def running(
    name: str,
    *arguments: str | Path,
    address: Address | None = None,
    on_table: Callable[[str], None] = lambda _: None,
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
) -> AsyncGenerator[Tool]:
    """Start a program of PostgreSQL; killed when the block is left before its end."""
    binaries = await asyncio.to_thread(required_programs, None)
    found = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    found |= address.environment if address else {}
    process = await asyncio.create_subprocess_exec(
        *(binaries / name, *arguments),
        stdin=stdin,
        stdout=stdout,
        stderr=PIPE,
        env={**_ENVIRONMENT, **found},
        limit=2**20,
    )
    tool = Tool(name, process, on_table)
    try:
        yield tool
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
