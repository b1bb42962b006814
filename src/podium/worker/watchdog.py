"""Names the attempt that keeps a worker from everything else, before the lease is over."""

import asyncio
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from uuid import UUID

import structlog

from podium.agents.runtime import AttemptContext
from podium.agents.runtimes import inline
from podium.scheduler import store as leases
from podium.storage.database import Database
from podium.worker import faults
from podium.worker.lease import LeaseClock

_log = structlog.get_logger(__name__)

_PARTS = 6
"""A step is too long when it takes this part of a lease. It is noticed within two of them, while
the last renewal may be two fifths of one ago."""


class Watchdog:
    """A thread that asks the event loop for a sign of life, and looks what it does instead.

    The loop is blocked by the step under way if no other began since it was asked. That is logged,
    and told the database: if the lease ends by it, no other attempt of this worker is to blame.
    A single call into C that keeps Python's lock keeps it from this thread, too.
    """

    def __init__(self, database: Database, worker_id: UUID, lease: LeaseClock) -> None:
        self._database = database
        self._worker_id = worker_id
        self._lease = lease
        self._seconds = lease.seconds / _PARTS
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._closed = threading.Event()

    def start(self) -> None:
        """Watch the event loop of the caller."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the machine has none to spare, and it works without
            faults.note("watchdog", error)

    def close(self) -> None:
        """Watch no longer. Returns at once."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(self._seconds):
            alive = threading.Event()
            with suppress(RuntimeError):  # the loop is closed by now
                self._loop.call_soon_threadsafe(alive.set)
            self._await(alive)

    def _await(self, alive: threading.Event) -> None:
        told, before, times = -1, self._lease.steps, _times()
        while not alive.wait(self._seconds) and not self._closed.is_set():
            attempt, now = self._lease.stepping, self._lease.steps
            if now == before and told != now and not self._stood_still(times):
                told = now
                self._tell(attempt)
            before, times = now, _times()

    def _stood_still(self, since: tuple[float, float]) -> bool:
        """Whether the whole process was stopped meanwhile, which is no attempt's doing."""
        passed, used = (now - then for now, then in zip(_times(), since, strict=True))
        return passed > 2 * self._seconds and used < passed / 2

    def _tell(self, attempt: AttemptContext | None) -> None:
        # There is no public way to another thread's frames.
        threads = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        frames = _frames(threads.get(self._watched))
        if attempt is None:
            _log.warning("worker.blocked", frames=frames)
            return
        _log.error(
            "worker.blocked",
            agent=attempt.agent.name,
            task_id=str(attempt.task_id),
            attempt=attempt.attempt,
            frames=frames,
            hint="Await what takes long, or give the agent the isolation 'process'.",
        )
        asyncio.run(self._accuse(attempt, " > ".join(_shortened(frames, 2))))

    async def _accuse(self, attempt: AttemptContext, at: str) -> None:
        database = self._database.apart()
        try:
            within = self._lease.seconds - self._seconds
            key = (attempt.task_id, attempt.attempt)
            await leases.accuse(database, self._worker_id, *key, at, within)
        except Exception as error:  # noqa: BLE001 - the worker does not depend on it
            faults.note("watchdog", error)
        finally:
            await database.close()


def _times() -> tuple[float, float]:
    """Seconds that have passed, and that this process used a processor for."""
    return time.monotonic(), time.process_time()


def _frames(frame: FrameType | None) -> list[str]:
    """What a thread is at, outermost first: of a step, what lies within the agent's function."""
    found: list[str] = []
    while frame is not None and not inline.is_step(frame.f_code):
        code = frame.f_code
        found.append(f"{code.co_name} ({Path(code.co_filename).name}:{frame.f_lineno})")
        frame = frame.f_back
    return _shortened(found[::-1], 20)


def _shortened(stack: list[str], ends: int) -> list[str]:
    return stack if len(stack) <= 2 * ends else [*stack[:ends], "…", *stack[-ends:]]
