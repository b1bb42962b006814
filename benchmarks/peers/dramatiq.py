"""Dramatiq on Valkey.

* **Worker** is the ``dramatiq`` command with one process and its default of 8 threads. Two
  documented environment variables are set: ``dramatiq_queue_prefetch`` to 200, without which it
  fetches 16 messages at a time and reaches about half (more threads or a larger prefetch gained
  nothing), and ``dramatiq_worker_timeout`` to 10 ms, the longest that an idle worker sleeps
  between looks at its queue, the default being 1 s.
* **Broker** is ``RedisBroker`` on Valkey's Unix socket. It runs twice: ``dramatiq`` with the
  append-only file synced every second, as most users have it, where a crash of the machine loses
  up to the last second of accepted tasks; and ``dramatiq-fsync`` with ``appendfsync always``,
  where an accepted task is on disk, as with PostgreSQL. Neither keeps a record of finished tasks.
* **Submission** is ``actor.send`` from several threads; there is no bulk call. Waiting for the
  disk needs more threads in flight: 32 with fsync, 8 without.
* **Chain** is a ``pipeline``, **fan-out** a ``group`` with a completion callback. A group has no
  first task that the others depend on, so it does one task less.
"""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend

from benchmarks.driver import serve
from benchmarks.stamps import stamp

URL = os.environ["BENCH_VALKEY_URL"]
APPENDFSYNC = os.environ["BENCH_APPENDFSYNC"]
SUBMITTERS = 32 if APPENDFSYNC == "always" else 8

broker = RedisBroker(url=URL)
broker.add_middleware(GroupCallbacks(RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(number: int) -> None:
    """Do nothing with ``number``."""
    del number


@dramatiq.actor
def stamped(key: str) -> None:
    """Stamp."""
    stamp(key)


def set_up() -> None:
    """Empty the logical database and set when Valkey syncs."""
    broker.client.flushdb()
    broker.client.config_set("appendfsync", APPENDFSYNC)


class DramatiqSubmitter:
    """Submits through ``actor.send`` from threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(SUBMITTERS)

    async def open(self) -> None:
        """Nothing to do: the broker connects when it is used."""

    @staticmethod
    def _send(number: int) -> None:
        for index in range(number):
            noop.send(index)

    async def submit_noops(self, number: int) -> None:
        """One call for each task, shared out among threads."""
        loop = asyncio.get_running_loop()
        share, rest = divmod(number, SUBMITTERS)
        shares = [share + (index < rest) for index in range(SUBMITTERS)]
        await asyncio.gather(*(loop.run_in_executor(self._threads, self._send, n) for n in shares))

    async def submit_stamp(self, key: str) -> None:
        """One task."""
        await asyncio.to_thread(stamped.send, key)

    async def submit_chain(self, key: str, length: int) -> None:
        """A pipeline."""
        steps = [noop.message_with_options(args=(0,), pipe_ignore=True) for _ in range(length - 1)]
        last = stamped.message_with_options(args=(key,), pipe_ignore=True)
        await asyncio.to_thread(dramatiq.pipeline([*steps, last]).run)

    async def submit_fan_out(self, key: str, width: int) -> None:
        """A group with a callback."""
        group = dramatiq.group([noop.message(number) for number in range(width)])
        group.add_completion_callback(stamped.message(key))
        await asyncio.to_thread(group.run)

    async def unfinished(self) -> bool:
        """Whether a message is queued or not yet acknowledged."""
        return bool(await asyncio.to_thread(broker.do_qsize, "default"))

    async def finished(self) -> None:
        """Unknown: an acknowledged message leaves no trace."""


if __name__ == "__main__":
    if sys.argv[1] == "set-up":
        set_up()
    else:
        serve(DramatiqSubmitter())
