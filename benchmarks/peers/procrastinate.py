"""Procrastinate on PostgreSQL.

* **Worker** is ``App.run_worker_async`` with a concurrency of 100 and ``LISTEN``/``NOTIFY`` on.
  It fetches jobs one by one, so more concurrency does not help; less (20) was slower.
* **Connections** are an own psycopg pool of 20, handed to ``App.open_async`` as documented, in
  autocommit mode and without the check that the built-in pool makes before each use. This was
  half as fast again as the built-in pool (some 900 instead of 600 a second).
* **Submission** is ``batch_defer_async``, 500 jobs to a statement; ``defer_async`` for one.
* **No-op** is an async task. Finished jobs are kept, the default; deleting them gained nothing.
* **Chain** and **fan-out** do not exist: jobs cannot depend on jobs.
"""

import asyncio
import os
import sys

import psycopg
import psycopg_pool
from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONDict

from benchmarks.driver import serve
from benchmarks.stamps import stamp

CONCURRENCY = 100
CONNECTIONS = 20
BATCH = 500

app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_DATABASE_URL"]))


@app.task(name="noop")
async def noop(number: int) -> None:
    """Do nothing with ``number``."""
    del number


@app.task(name="stamped")
async def stamped(key: str) -> None:
    """Stamp."""
    stamp(key)


async def _autocommit(connection: psycopg.AsyncConnection) -> None:
    await connection.set_autocommit(True)


async def _open() -> psycopg_pool.AsyncConnectionPool:
    pool: psycopg_pool.AsyncConnectionPool = psycopg_pool.AsyncConnectionPool(
        os.environ["BENCH_DATABASE_URL"],
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        open=False,
        configure=_autocommit,
    )
    await pool.open(wait=True)
    await app.open_async(pool)
    return pool


async def set_up() -> None:
    """Create the schema."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def work() -> None:
    """Be the worker process."""
    async with await _open():
        await app.run_worker_async(concurrency=CONCURRENCY)


class ProcrastinateSubmitter:
    """Submits through ``batch_defer_async``."""

    _pool: psycopg_pool.AsyncConnectionPool

    async def open(self) -> None:
        """Connect."""
        self._pool = await _open()

    async def submit_noops(self, number: int) -> None:
        """One statement for every ``BATCH`` tasks."""
        for done in range(0, number, BATCH):
            jobs: list[JSONDict] = [{"number": index} for index in range(min(BATCH, number - done))]
            await noop.batch_defer_async(*jobs)

    async def submit_stamp(self, key: str) -> None:
        """One task."""
        await stamped.defer_async(key=key)

    async def submit_chain(self, key: str, length: int) -> None:
        """Never called: the table of contenders says that there are no chains."""
        raise NotImplementedError(key, length)

    async def submit_fan_out(self, key: str, width: int) -> None:
        """Never called: the table of contenders says that there are no joins."""
        raise NotImplementedError(key, width)

    async def _scalar(self, query: str) -> int:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query.encode())
            row = await cursor.fetchone()
        return row[0] if row else 0

    async def unfinished(self) -> bool:
        """Whether a job waits or runs."""
        query = (
            "select exists (select from procrastinate_jobs where status = 'todo') "
            "or exists (select from procrastinate_jobs where status = 'doing')"
        )
        return bool(await self._scalar(query))

    async def finished(self) -> int:
        """Jobs that succeeded."""
        query = "select count(*) from procrastinate_jobs where status = 'succeeded'"
        return await self._scalar(query)


if __name__ == "__main__":
    match sys.argv[1]:
        case "set-up":
            asyncio.run(set_up())
        case "worker":
            asyncio.run(work())
        case _:
            serve(ProcrastinateSubmitter())
