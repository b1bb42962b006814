"""The embedded PostgreSQL: one cluster in ``postgres/``, on a Unix socket, with passwords."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, cast

import asyncpg
import psutil

from podium.kernel.errors import SettingsInvalid, Unavailable
from podium.storage.embedded.cluster import (
    MAJOR,
    cluster_major,
    init_cluster,
    required_programs,
    single_user,
    superuser_sql,
)
from podium.storage.embedded.credentials import DATABASE, MAINTENANCE_DATABASE, ROLE, SUPERUSER
from podium.storage.embedded.process import Program, end, read_pid, running_in, tail
from podium.storage.embedded.server import Server

START_SECONDS = 120
"""Longest start: after a crash up to ``max_wal_size`` of changes are replayed."""

_READY_LINE = 7  # of postmaster.pid

_CONFIGURATION = """\
# Written by Podium at every start. Put settings of your own into local.conf beside this file.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
port = 5432
max_connections = 300
password_encryption = 'scram-sha-256'

shared_buffers = '{shared_buffers}MB'
huge_pages = off
jit = off
max_parallel_workers_per_gather = 0
# Files instead of /dev/shm: containers make that small, and a logout may empty it.
dynamic_shared_memory_type = mmap

fsync = on
synchronous_commit = on
wal_compression = pglz
max_wal_size = '2GB'
min_wal_size = '256MB'
checkpoint_timeout = '10min'

autovacuum_naptime = '5s'
autovacuum_vacuum_cost_delay = 0
idle_in_transaction_session_timeout = '60s'

# Rows, parameters and statements may hold secrets: they stay out of the log.
log_min_messages = warning
log_min_error_statement = panic
log_error_verbosity = terse
log_checkpoints = off
log_line_prefix = '%m [%p] %q%u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
lc_messages = 'C'
include 'local.conf'
"""


class _Connection(Protocol):
    """The part of an asyncpg connection that is used here."""

    async def fetchval(self, query: str, *args: str) -> object: ...
    async def execute(self, query: str) -> str: ...
    async def close(self) -> None: ...


class Postgres(Server):
    """The embedded PostgreSQL of one data directory."""

    name = "postgres"
    stop_steps = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

    async def start(self) -> None:
        major = await asyncio.to_thread(cluster_major, self.layout.postgres)
        if major not in (None, str(MAJOR)):
            raise SettingsInvalid(
                f"{self.layout.postgres} was made by PostgreSQL {major}; this version of Podium "
                f"runs PostgreSQL {MAJOR}.",
                hint="Upgrade it in place with: python -m podium.server upgrade",
            )
        binaries = await asyncio.to_thread(required_programs, self.account)
        if major is None:
            await self._create(binaries)
        await asyncio.to_thread(self._clear_leftovers)
        await asyncio.to_thread(self._configure, self.layout.postgres)
        await self._launch(binaries)
        try:
            await self._open_door(binaries)
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            await self.stop()
            raise Unavailable(
                f"The embedded PostgreSQL started but cannot be used: {error}. "
                f"The end of {self.log}:\n{tail(self.log)}"
            ) from error

    async def _create(self, binaries: Path) -> None:
        """Make the cluster beside its place and rename it: a crash leaves no half of one."""
        draft, place = self.layout.postgres_draft, self.layout.postgres
        await init_cluster(binaries, draft, self.credentials, self.account)
        await asyncio.to_thread(self._configure, draft)
        await asyncio.to_thread(move_cluster, draft, place)

    def _configure(self, cluster: Path) -> None:
        """Put the configuration of this version in place of that of the last start."""
        memory = psutil.virtual_memory().total // 2**20
        text = _CONFIGURATION.format(
            sockets=self.layout.sockets, shared_buffers=max(32, min(256, memory // 8))
        )
        draft, local = cluster / "postgresql.conf.new", cluster / "local.conf"
        draft.write_text(text)
        if not local.exists():
            local.write_text("# Settings of your own; they win over those of postgresql.conf.\n")
        if self.account is not None:
            self.account.own(draft)
            self.account.own(local)
            self.account.open_way(cluster)
            self.account.take(self.layout.sockets)
        draft.replace(cluster / "postgresql.conf")

    def _clear_leftovers(self) -> None:
        """End what a killed Podium left running in the cluster, and remove its traces.

        Nobody else may run this cluster: the caller holds the lock of the data directory. An
        old server is ended rather than adopted, so that the new one is our child and has our
        configuration. A recycled process id in ``postmaster.pid`` is not taken for a server,
        and processes that outlived their postmaster are ended too: they hold its memory.
        """
        lock_file = self.layout.postgres / "postmaster.pid"
        self._end_old_server(read_pid(lock_file))
        lock_file.unlink(missing_ok=True)
        for trace in self.layout.sockets.glob(".s.PGSQL.*"):
            trace.unlink()

    def _end_old_server(self, postmaster: int | None) -> None:
        for sig, seconds in self.stop_steps:
            found = running_in(self.layout.postgres, "postgres")
            if not found:
                return
            if sig is signal.SIGINT:  # the postmaster passes it on in order
                found = [process for process in found if process.pid == postmaster]
            end(found, sig, seconds)
        if left := running_in(self.layout.postgres, "postgres"):
            raise Unavailable(
                f"An old PostgreSQL of {self.layout.postgres} does not end.",
                hint=f"Its process ids: {', '.join(str(process.pid) for process in left)}.",
            )

    async def _launch(self, binaries: Path) -> None:
        argv = (binaries / "postgres", "-D", self.layout.postgres)
        program = Program(argv, self.layout.postgres, self.account, signal.SIGINT)
        self.process = await program.start(self.log)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process.returncode is not None or time.monotonic() > deadline:
                status = self.process.returncode
                await self.stop()
                outcome = "is not ready" if status is None else f"ended with status {status}"
                raise Unavailable(
                    f"The embedded PostgreSQL {outcome}. The end of {self.log}:\n{tail(self.log)}"
                )
            await asyncio.sleep(0.01)

    def _is_ready(self) -> bool:
        try:
            lines = (self.layout.postgres / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > _READY_LINE and lines[_READY_LINE].strip() == "ready"

    async def _open_door(self, binaries: Path) -> None:
        """Log in as Podium will; where that fails, make role and database, or set passwords.

        Whoever owns the cluster's files may set passwords, so a lost file of them is no loss.
        """
        words = self.credentials
        try:
            await (await self._connect(ROLE, words.postgres, DATABASE)).close()
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError):
            try:
                admin = await self._connect(SUPERUSER, words.superuser, MAINTENANCE_DATABASE)
            except asyncpg.InvalidPasswordError:
                await self.stop()
                cluster = self.layout.postgres
                await single_user(binaries, cluster, self.account, superuser_sql(words))
                await self._launch(binaries)
                admin = await self._connect(SUPERUSER, words.superuser, MAINTENANCE_DATABASE)
            try:
                await _ensure_database(admin, words.postgres)
            finally:
                await admin.close()
            await (await self._connect(ROLE, words.postgres, DATABASE)).close()

    async def _connect(self, user: str, password: str, database: str) -> _Connection:
        connect = cast(
            "Callable[..., Awaitable[_Connection]]",
            asyncpg.connect,  # pyright: ignore[reportUnknownMemberType]
        )
        host = str(self.layout.sockets)
        return await connect(user=user, password=password, database=database, host=host, timeout=30)


async def _ensure_database(admin: _Connection, password: str) -> None:
    """Podium's own role, which is no superuser, and its database."""
    known = await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", ROLE)
    verb = "ALTER" if known else "CREATE"
    await admin.execute(f"{verb} ROLE {ROLE} LOGIN PASSWORD '{password}'")
    await admin.execute(f"ALTER ROLE {ROLE} SET transaction_timeout = '120s'")
    if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
        await admin.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    await admin.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")


def move_cluster(source: Path, target: Path) -> None:
    """Rename a whole cluster into its place, which is free or an empty directory, for good."""
    if target.exists():
        target.rmdir()
    source.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
