"""Podium as a server and workers, started the way an administrator starts them."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import PODIUM
from benchmarks.http_client import Http, HttpError
from benchmarks.processes import Child, ProcessFailed
from benchmarks.session import Session
from benchmarks.stamps import STAMPS_VARIABLE, Stamps

READY_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A server that answers, with its workers."""

    url: str
    token: str
    workers: list[Child]
    stamps: Stamps
    database_url: str
    start_worker: "StartWorker"

    async def connect(self) -> Http:
        """A connection to it."""
        return await Http.connect(self.url, self.token)


class StartWorker:
    """Starts one more worker of a server."""

    def __init__(self, stack: AsyncExitStack, environment: Mapping[str, str], log: Path) -> None:
        self._stack = stack
        self._environment = environment
        self._log = log

    async def __call__(self) -> Child:
        child = await Child.guarded(PODIUM.worker_command, self._environment, self._log)
        self._stack.push_async_callback(child.stop)
        return child


@asynccontextmanager
async def podium(session: Session, *, workers: int = 1) -> AsyncGenerator[Server]:
    """A server and its workers on a database as new."""
    database = await session.fresh_database(PODIUM)
    port = free_port()
    environment = session.environment(PODIUM, database) | {"PODIUM_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        command = (sys.executable, "-m", "podium.server", "server")
        api = await Child.guarded(command, environment, session.log("server"))
        stack.push_async_callback(api.stop)
        await wait_until_ready(url, READY_SECONDS)
        start_worker = StartWorker(stack, environment, session.log("worker"))
        running = [await start_worker() for _ in range(workers)]
        home = Path(environment["PODIUM_HOME"])
        token = await asyncio.to_thread((home / "admin-token").read_text)
        stamps = await Stamps.listen(environment[STAMPS_VARIABLE])
        yield Server(
            url,
            token.strip(),
            running,
            stamps,
            session.urls.database(database),
            start_worker,
        )


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
