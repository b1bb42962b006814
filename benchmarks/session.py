"""One run: the servers, a directory, and engines that come and go on them."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.database import connected
from benchmarks.processes import Child, ProcessFailed, run_to_end
from benchmarks.stamps import STAMPS_VARIABLE

START_SECONDS = 60.0
SET_UP_SECONDS = 60.0
LOG_CHARACTERS = 600


@dataclass(frozen=True)
class Urls:
    """Where the servers are."""

    database_url: str
    valkey_url: str
    peers_valkey_url: str

    def database(self, name: str) -> str:
        """The URL of one database."""
        return self.database_url.replace("/postgres?", f"/{name}?")


@dataclass
class Session:
    """What every benchmark is given."""

    urls: Urls
    directory: Path
    contenders: tuple[Contender, ...]
    quick: bool
    tell: Callable[[str], None]
    """Say what is going on, for the progress display."""
    _templates: set[str] = field(default_factory=set[str])

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self.directory / f"{name}.log"

    def last_words(self) -> str:
        """The ends of all logs."""
        texts = {path: path.read_text(errors="replace") for path in self.directory.glob("*.log")}
        ends = (f"{path.name}: {text[-LOG_CHARACTERS:]}" for path, text in texts.items() if text)
        return "\n".join(ends)

    async def execute(self, *statements: str) -> None:
        """Run statements as superuser, outside transactions."""
        async with connected(self.urls.database_url) as connection:
            for statement in statements:
                await connection.execute(statement)

    def environment(self, contender: Contender, database: str) -> dict[str, str]:
        """What the processes of a contender are told."""
        return {
            "BENCH_DATABASE_URL": self.urls.database(database),
            "BENCH_VALKEY_URL": self.urls.peers_valkey_url,
            "PODIUM_DATABASE_URL": self.urls.database(database),
            "PODIUM_VALKEY_URL": self.urls.valkey_url,
            "PODIUM_HOME": str(self.directory / f"home-{contender.name}"),
            "PODIUM_FUNCTION_MODULES": '["benchmarks"]',
            STAMPS_VARIABLE: str(self.directory / f"{contender.name}.sock"),
            **contender.environment,
        }

    @asynccontextmanager
    async def engine(self, contender: Contender) -> AsyncGenerator[Child]:
        """The client of a contender whose one worker runs, on a database as new.

        Databases are copies of one that the contender has set up: every round begins alike.
        """
        database = await self.fresh_database(contender)
        environment = self.environment(contender, database)
        log = self.log(contender.name)
        worker = await Child.guarded(contender.worker_command, environment, log)
        try:
            client = await Child.start(contender.client_command, environment, log)
            try:
                await _ready(client, worker)
                yield client
            finally:
                await client.stop()
        finally:
            await worker.stop()

    def database(self, contender: Contender) -> str:
        """The name of a contender's database."""
        return f"bench_{contender.name.replace('-', '_')}"

    async def fresh_database(self, contender: Contender) -> str:
        """Prepare a contender's database; ``template_…`` is set up once and copied each time."""
        database = self.database(contender)
        template = f"template_{database}"
        if not contender.uses_postgres:
            await self._set_up(contender, template)
        elif template not in self._templates:
            await self.execute(
                f"drop database if exists {template} with (force)", f"create database {template}"
            )
            await self._set_up(contender, template)
            self._templates.add(template)
        if contender.uses_postgres:
            await self.execute(
                f"drop database if exists {database} with (force)",
                f"create database {database} template {template}",
            )
        await self.execute("checkpoint")
        return database

    async def _set_up(self, contender: Contender, database: str) -> None:
        environment = self.environment(contender, database)
        log = self.log(contender.name)
        await run_to_end(contender.set_up_command, environment, log, SET_UP_SECONDS)


async def _ready(client: Child, worker: Child) -> None:
    """Return when the worker runs tasks; ``ProcessFailed`` at once when it ends instead."""
    asked = asyncio.create_task(client.ask("ready", START_SECONDS))
    ended = asyncio.create_task(worker.wait(START_SECONDS))
    await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
    if not asked.done():
        asked.cancel()
        raise ProcessFailed(f"the worker ended with status {await ended}; {worker.tail()}")
    ended.cancel()
    await asked


@asynccontextmanager
async def open_session(
    contenders: tuple[Contender, ...],
    tell: Callable[[str], None],
    *,
    quick: bool = False,
    settings: tuple[str, ...] = (),
) -> AsyncGenerator[Session]:
    """Servers with further PostgreSQL ``settings``, until the block ends."""
    directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="podium-bench-"))
    stack = await Child.start(
        (sys.executable, "-m", "benchmarks.stack", str(directory), *settings),
        {},
        directory / "stack.log",
    )
    try:
        urls = Urls(**await stack.answer(START_SECONDS))
        yield Session(urls, directory, contenders, quick, tell)
    finally:
        await stack.stop()
