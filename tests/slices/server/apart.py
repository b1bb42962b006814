"""The API and a worker apart, as their tests start and hear them."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

COMMAND = (sys.executable, "-P", "-m", "podium.server")


@asynccontextmanager
async def running(environment: dict[str, str], *arguments: str) -> AsyncGenerator[Process]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=environment, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(environment: dict[str, str], *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=environment, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def said(process: Process, event: str) -> dict[str, str]:
    """The first line of the process's console log that tells of ``event``."""
    assert process.stderr is not None
    heard: list[bytes] = []
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            heard.append(line)
            record = json.loads(line)
            if record["event"] == event:
                return record
    raise AssertionError(f"it ended without {event!r}: {heard}")
