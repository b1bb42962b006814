"""How much of a core PostgreSQL takes while 50 workers have nothing to do.

50 worker processes and one server, all with their default settings, are left alone until workers
look for tasks as seldom as they ever do. Then for 30 seconds the time that all processes of
PostgreSQL spend on a processor is taken, user and system: that of the sessions, of those that came
and went meanwhile, of the server's own processes and of vacuum. The figure is its share of one
core. ``details`` have that of the workers together.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from benchmarks.database import connected, rows
from benchmarks.figures import Figure, Target
from benchmarks.podium_server import Server, podium
from benchmarks.session import Session
from benchmarks.suite.memory import resident

WORKERS = 50
QUICK_WORKERS = 2
SETTLE_SECONDS = 30.0
QUICK_SETTLE_SECONDS = 1.0
SECONDS = 30.0
QUICK_SECONDS = 2.0
ROUNDS = 3
_SESSIONS = "select count(*) as n from pg_stat_activity where backend_type = 'client backend'"


async def run(session: Session) -> list[Figure]:
    """Percent of a core."""
    figure = Figure("idle_workers", "% of a core", "lower", Target(2))
    number = QUICK_WORKERS if session.quick else WORKERS
    async with podium(session, workers=0) as server:
        for place in range(number):
            session.tell(f"idle_workers: starting {place + 1} of {number}")
            await server.start_worker()
        session.tell("idle_workers: settling")
        await asyncio.sleep(QUICK_SETTLE_SECONDS if session.quick else SETTLE_SECONDS)
        [sessions] = await rows(server.database_url, _SESSIONS)
        figure.details = {"workers": number, "sessions": sessions["n"] - 1}
        figure.details["worker_mb"] = round(sum(map(resident, server.workers)) / number, 1)
        seconds = QUICK_SECONDS if session.quick else SECONDS
        for place in range(1 if session.quick else ROUNDS):
            session.tell(f"idle_workers: round {place + 1}")
            database, workers = await _measure(server, seconds)
            figure.rounds.append({"podium": database})
            figure.details.setdefault("workers_percent", []).append(round(workers, 1))
    return [figure]


async def _measure(server: Server, seconds: float) -> tuple[float, float]:
    """The shares of a core in percent of PostgreSQL and of the workers."""
    postmaster = await _postmaster(server)
    start, database, workers = time.monotonic(), _postgres(postmaster), _workers(server)
    await asyncio.sleep(seconds)
    elapsed = time.monotonic() - start
    database, workers = _postgres(postmaster) - database, _workers(server) - workers
    return 100 * database / elapsed, 100 * workers / elapsed


async def _postmaster(server: Server) -> psutil.Process:
    """The process whose children are all others of PostgreSQL."""
    async with connected(server.database_url) as connection:
        backend = psutil.Process(await connection.fetchval("select pg_backend_pid()"))
        postmaster = backend.parent()
    assert postmaster is not None
    return postmaster


def _postgres(postmaster: psutil.Process) -> float:
    """Seconds so far; those of a process that ended are in the postmaster's account of children."""
    own = postmaster.cpu_times()
    ended = own.children_user + own.children_system
    return own.user + own.system + ended + _seconds(postmaster.children(recursive=True))


def _workers(server: Server) -> float:
    return sum(_seconds(worker.tree()) for worker in server.workers)


def _seconds(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total
