"""The attempts that a worker has begun: they run, and then they are settled."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass
from podium.scheduler.model import Claimed, Settlement
from podium.worker import measures, outcome, workspaces
from podium.worker.attempt import Attempt, StopReason
from podium.worker.backoff import Backoff
from podium.worker.executor import Executor
from podium.worker.settling import Settler
from podium.worker.store import Key

_log = structlog.get_logger(__name__)

_UNSETTLED = 2
"""Ends that wait to be settled, by slot, beyond which nothing more may begin."""

_REST_SECONDS = 0.2
"""How often a draining worker looks which sessions have come to rest."""


class Attempts:
    """Those of one incarnation, from their claim to their settlement.

    An attempt takes a slot until its run has ended. While it waits to be settled the next may run,
    but there are not more such ends than memory and the database can bear. ``changed`` is called
    when there is room again.
    """

    def __init__(
        self,
        executor: Executor,
        settler: Settler,
        slots: int,
        processes: int,
        changed: Callable[[], None],
    ) -> None:
        self._executor = executor
        self._settler = settler
        self._slots = slots
        measures.slots.set(slots)
        measures.running.set_function(lambda: len(self._running))
        self._processes = processes
        self._changed = changed
        self._backoff = Backoff()
        self._running: dict[Key, Attempt] = {}
        self._open: set[Key] = set()
        """All that are not settled, with those that are handed back."""
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._given_up = False
        self._removals: set[asyncio.Task[None]] = set()

    def __contains__(self, key: Key) -> bool:
        return key in self._open

    def __len__(self) -> int:
        return len(self._open)

    def room(self) -> int:
        """How many may begin now."""
        if self._backoff.pausing():
            return 0
        unsettled = len(self._open) - len(self._running)
        return self._slots - len(self._running) if unsettled < _UNSETTLED * self._slots else 0

    def process_room(self) -> int:
        """How many of them may be processes of their own."""
        isolated = sum(attempt.claimed.isolated for attempt in self._running.values())
        return max(0, self._processes - isolated)

    def begin(self, claimed: Claimed) -> None:
        """Run a task that was claimed, and settle it.

        It runs in an asyncio task of its own, which others may cancel: requests to stop, and the
        agent. What follows is none of that task's business.
        """
        key = (claimed.task_id, claimed.attempt)
        attempt = self._running[key] = self._executor.begin(claimed)
        measures.began(attempt)
        self._opened(key)
        run = asyncio.create_task(self._executor.running(attempt))
        attempt.run_in(run)
        run.add_done_callback(partial(self._ran, key, attempt))

    def hand_back(self, key: Key) -> None:
        """Release a task that was claimed and never begun."""
        self._opened(key)
        self._settler.settle(Settlement(*key, "released"), partial(self._gone, key))

    def stop(self, key: Key, reason: StopReason) -> None:
        """Ask an attempt to end, if it runs."""
        if attempt := self._running.get(key):
            attempt.stop(reason)

    def stop_all(self, reason: StopReason) -> None:
        """Ask all that run to end."""
        for attempt in self._running.values():
            attempt.stop(reason)

    async def ended(self, seconds: float | None = None) -> None:
        """Wait until all are settled or given up, for at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none_open.wait()

    async def drain(self, seconds: float) -> None:
        """Let all end, for at most so long. Sessions that wait for somebody, now or later, are
        handed back at once: by themselves they would not end."""
        until = boottime() + seconds
        self._release_resting()
        if self._running:
            sessions = sum(attempt.session is not None for attempt in self._running.values())
            _log.info("worker.drains", tasks=len(self._running) - sessions, sessions=sessions)
        while self._open and (left := until - boottime()) > 0:
            await self.ended(min(left, _REST_SECONDS))
            self._release_resting()

    def _release_resting(self) -> None:
        for attempt in self._running.values():
            if attempt.at_rest:
                attempt.stop("released")

    def give_up(self) -> None:
        """This process ends: attempts that are cancelled from now on did not fail."""
        self._given_up = True

    def _opened(self, key: Key) -> None:
        self._open.add(key)
        self._none_open.clear()

    def _gone(self, key: Key) -> None:
        was_full = self.room() <= 0
        self._open.discard(key)
        if not self._open:
            self._none_open.set()
        if was_full:
            self._changed()

    def _ran(self, key: Key, attempt: Attempt, run: asyncio.Task[Settlement | None]) -> None:
        was_full = self.room() <= 0 or (attempt.claimed.isolated and self.process_room() <= 0)
        del self._running[key]
        if was_full and len(self._open) > 1:  # the settlement of a lone one claims, too
            self._changed()
        if run.cancelled() and self._given_up:
            measures.ended(attempt, None)
            self._gone(key)
            return
        try:
            end = _end_of(attempt, run)
            measures.ended(attempt, end)
            self._settle(key, attempt, end)
        except BaseException as error:  # noqa: BLE001 - it must not stay open for ever
            _log.error("attempt.abandoned", task_id=str(key[0]), attempt=key[1], exc_info=error)
            self._left(key, attempt)  # a renewal of the lease will find it, and hand it back

    def _settle(self, key: Key, attempt: Attempt, end: Settlement | None) -> None:
        if end is None:
            self._settler.keep_usage(key, outcome.usage(attempt))
            self._left(key, attempt)
            return
        if end.how == "released" and attempt.stop_reason is None:
            self._backoff.handed_back()
        else:
            self._backoff.got_through()
        self._settler.settle(end, partial(self._left, key, attempt))

    def _left(self, key: Key, attempt: Attempt) -> None:
        self._gone(key)
        if attempt.made_workspace:
            self._remove(attempt.made_workspace)

    def _remove(self, workspace: Path) -> None:
        """Nobody waits for it: an agent may leave a million files. What is still there when this
        process ends, the next sweep removes."""
        removal = asyncio.create_task(asyncio.to_thread(workspaces.remove, workspace))
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)


def _end_of(attempt: Attempt, run: asyncio.Task[Settlement | None]) -> Settlement | None:
    try:
        return _cancelled(attempt) if run.cancelled() else run.result()
    except BaseException as error:  # noqa: BLE001 - the task must not be run for ever
        _log.error("attempt.ended_oddly", task_id=str(attempt.task_id), exc_info=error)
        return outcome.unexpected(attempt.task_id, attempt.attempt, error)


def _cancelled(attempt: Attempt) -> Settlement | None:
    if attempt.stop_reason is not None:
        return outcome.stopped(attempt)
    failure = AttemptFailed(
        ErrorClass.AGENT,
        "exception",
        "The agent cancelled the task that runs it.",
        hint="Let its function return or raise; it may cancel only asyncio tasks that it began.",
    )
    return outcome.failed(attempt, failure)
