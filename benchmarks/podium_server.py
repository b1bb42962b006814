"""Podium as a server and workers, started the way an administrator starts them."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.contenders import PODIUM
from benchmarks.http_client import Http, HttpError
from benchmarks.processes import Child, ProcessFailed
from benchmarks.session import Session
from benchmarks.stamps import STAMPS_VARIABLE, Stamps

SERVER = (sys.executable, "-m", "podium.server", "server")
READY_SECONDS = 30.0


class Server:
    """A server that answers, with its workers."""

    def __init__(
        self,
        url: str,
        environment: Mapping[str, str],
        log: Path,
        stamps: Stamps,
        stack: AsyncExitStack,
    ) -> None:
        self.url = url
        self.token = (Path(environment["PODIUM_HOME"]) / "admin-token").read_text().strip()
        self.database_url = environment["PODIUM_DATABASE_URL"]
        self.workers: list[Child] = []
        self.stamps = stamps
        self._environment = environment
        self._log = log
        self._stack = stack

    async def connect(self) -> Http:
        """A connection to it."""
        return await Http.connect(self.url, self.token)

    async def start_worker(self) -> None:
        """Start one more worker; returns when the server knows it."""
        child = await Child.guarded(PODIUM.worker_command, self._environment, self._log)
        self._stack.push_async_callback(child.stop)
        self.workers.append(child)
        connection = await self.connect()
        deadline = time.monotonic() + READY_SECONDS
        while len((await connection.get("workers"))["items"]) < len(self.workers):
            if time.monotonic() > deadline:
                raise ProcessFailed(f"the worker does not register; {child.tail()}")
            await asyncio.sleep(0.05)
        await connection.close()


@asynccontextmanager
async def podium(session: Session, *, workers: int = 1) -> AsyncGenerator[Server]:
    """A server and its workers on a database as new."""
    database = await session.fresh_database(PODIUM)
    port = free_port()
    environment = session.environment(PODIUM, database) | {"PODIUM_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        api = await Child.guarded(SERVER, environment, session.log("server"))
        stack.push_async_callback(api.stop)
        await wait_until_ready(url, READY_SECONDS)
        stamps = await Stamps.listen(environment[STAMPS_VARIABLE])
        server = Server(url, environment, session.log("worker"), stamps, stack)
        for _ in range(workers):
            await server.start_worker()
        yield server


async def wait_until_ready(url: str, seconds: float) -> None:
    """Return as soon as the server says that it is ready."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection = await Http.connect(url, "")
            try:
                await connection.send("GET", "/health/ready")
            finally:
                await connection.close()
        except (OSError, HttpError, asyncio.IncompleteReadError) as error:
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{url} is not ready: {error}") from None
            await asyncio.sleep(0.02)
        else:
            return


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
