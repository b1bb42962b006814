"""DBOS Transact on PostgreSQL.

* **Work** is a workflow on a queue, the documented way to hand work to another process. A queue
  polls; the interval is a documented option and is 10 ms here, its default being 1 s. Shorter
  ones no longer raised the throughput and kept an idle worker busy. No concurrency limit is set:
  with one, DBOS claims in smaller portions and counts rows first. Connections are not pinged
  before each use (``pool_pre_ping``, through the documented ``db_engine_kwargs``).
* **Submission** is ``DBOSClient.enqueue_in_transaction``, 100 to a transaction, which was faster
  than one commit for each. A lone task uses ``DBOSClient.enqueue_async``.
* **No-op** is a sync workflow without steps: one durable start and one durable end. Async
  workflows were slower (some 700 instead of 900 a second), and so was starting workflows
  directly in the worker, without a queue.
* **Chain** is one workflow of steps. A step's output is durable before the next one runs.
* **Fan-out** is a workflow that enqueues its children and gets every result, as in the queue
  tutorial, looking every 50 ms instead of every second.
"""

import asyncio
import os
import sys
import threading

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions

from benchmarks.driver import serve
from benchmarks.stamps import stamp

QUEUE = "bench"
QUEUE_POLL_SECONDS = 0.01
RESULT_POLL_SECONDS = 0.05
BATCH = 100
VERSION = "bench"


def _url() -> str:
    return os.environ["BENCH_DATABASE_URL"]


@DBOS.workflow()
def noop(number: int) -> int:
    """Do nothing."""
    return number


@DBOS.workflow()
def stamped(key: str) -> None:
    """Stamp."""
    stamp(key)


@DBOS.step()
def step(number: int) -> int:
    """One step of a chain."""
    return number + 1


@DBOS.step()
def last_step(key: str) -> None:
    """The last step of a chain."""
    stamp(key)


@DBOS.workflow()
def chain(key: str, length: int) -> None:
    """Steps one after the other."""
    number = 0
    for _ in range(length - 1):
        number = step(number)
    last_step(key)


@DBOS.workflow()
def fan_out(key: str, width: int) -> None:
    """Enqueue children, get every result, stamp."""
    handles = [DBOS.enqueue_workflow(QUEUE, noop, number) for number in range(width)]
    for handle in handles:
        handle.get_result(polling_interval_sec=RESULT_POLL_SECONDS)
    stamp(key)


def _launch() -> None:
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": _url(),
        "application_version": VERSION,
        "log_level": "ERROR",
        "db_engine_kwargs": {"pool_pre_ping": False},
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=QUEUE_POLL_SECONDS)


def set_up() -> None:
    """Create the schema and the queue."""
    _launch()
    DBOS.destroy()


def work() -> None:
    """Be the worker process."""
    _launch()
    threading.Event().wait()


class DbosSubmitter:
    """Submits through ``DBOSClient``."""

    def __init__(self) -> None:
        self._engine = sa.create_engine(_url().replace("postgresql:", "postgresql+psycopg:"))
        self._client = DBOSClient(system_database_url=_url())

    @staticmethod
    def _options(workflow: str) -> EnqueueOptions:
        return {"workflow_name": workflow, "queue_name": QUEUE, "app_version": VERSION}

    async def open(self) -> None:
        """Nothing to do: the client connected when it was made."""

    def _submit_batch(self, number: int) -> None:
        options = self._options("noop")
        with self._engine.begin() as connection:
            for index in range(number):
                self._client.enqueue_in_transaction(connection, options, index)

    async def submit_noops(self, number: int) -> None:
        """One transaction for every ``BATCH`` tasks."""
        for done in range(0, number, BATCH):
            await asyncio.to_thread(self._submit_batch, min(BATCH, number - done))

    async def submit_stamp(self, key: str) -> None:
        """One task."""
        await self._client.enqueue_async(self._options("stamped"), key)

    async def submit_chain(self, key: str, length: int) -> None:
        """One workflow of steps."""
        await self._client.enqueue_async(self._options("chain"), key, length)

    async def submit_fan_out(self, key: str, width: int) -> None:
        """One workflow that enqueues the others."""
        await self._client.enqueue_async(self._options("fan_out"), key, width)

    def _scalar(self, query: str) -> int:
        with self._engine.connect() as connection:
            return connection.execute(sa.text(query)).scalar_one()

    async def unfinished(self) -> bool:
        """Whether a workflow is enqueued or running."""
        query = (
            "select exists (select from dbos.workflow_status "
            "where status in ('ENQUEUED', 'PENDING', 'DELAYED'))"
        )
        return bool(await asyncio.to_thread(self._scalar, query))

    async def finished(self) -> int:
        """Workflows that succeeded."""
        query = "select count(*) from dbos.workflow_status where status = 'SUCCESS'"
        return await asyncio.to_thread(self._scalar, query)


if __name__ == "__main__":
    match sys.argv[1]:
        case "set-up":
            set_up()
        case "worker":
            work()
        case _:
            serve(DbosSubmitter())
