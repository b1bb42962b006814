"""Embedded servers and those who hold them, for the tests of both."""

import asyncio
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import redis.asyncio

from podium.storage.embedded import EmbeddedServers, EmbeddedUrls
from podium.storage.embedded.paths import Layout
from podium.storage.embedded.process import running_in

HOLDER = """
import asyncio, sys
from pathlib import Path
from podium.storage.embedded import EmbeddedServers, process
if {untied}:
    process._libc = lambda: None
async def main():
    servers = EmbeddedServers(Path(sys.argv[1]))
    print("starting", flush=True)
    await servers.start()
    print("started", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
"""Another Podium that holds the servers until it is killed; untied: as on other platforms."""


@asynccontextmanager
async def running(home: Path) -> AsyncGenerator[tuple[EmbeddedServers, EmbeddedUrls]]:
    """The servers of ``home``, of which nothing is left afterwards."""
    servers = EmbeddedServers(home)
    urls = await servers.start()
    try:
        yield servers, urls
    finally:
        await servers.stop()
        assert all_processes(home) == []


def all_processes(home: Path) -> list[psutil.Process]:
    """Every server process of ``home``, whoever started it."""
    layout = Layout(home)
    return running_in(layout.postgres, "postgres") + running_in(layout.valkey, "valkey-server")


def hold(home: Path, *, untied: bool = False) -> subprocess.Popen[str]:
    script = textwrap.dedent(HOLDER.format(untied=untied))
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "starting\n"
    return holder


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        await asyncio.sleep(0.02)


async def query(urls: EmbeddedUrls, sql: str) -> Any:
    assert urls.database_url is not None
    connection = await asyncpg.connect(urls.database_url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def ping(url: str | None) -> bool:
    assert url is not None
    client = redis.asyncio.from_url(url)
    try:
        return await client.ping()
    finally:
        await client.aclose()
