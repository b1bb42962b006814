"""Loops that outlive their errors."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from prometheus_client import Counter

from podium.kernel.errors import PodiumError

_log = structlog.get_logger(__name__)
_faults = Counter("podium_worker_errors", "Rounds of the worker's loops that failed.", ["loop"])

RETRY_SECONDS = 0.5


def note(loop: str, error: BaseException) -> None:
    """Count an error that a loop outlives, and log it: with its trace when nobody expects it."""
    _faults.labels(loop).inc()
    if isinstance(error, PodiumError | TimeoutError):
        _log.warning("worker.round_failed", loop=loop, error=str(error) or type(error).__name__)
    else:
        _log.error("worker.round_failed", loop=loop, exc_info=error)


async def outlive(loop: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work``, and again a moment after it fails, until it ends by itself."""
    while True:
        try:
            return await work()
        except Exception as error:  # noqa: BLE001 - what a loop is for must go on
            note(loop, error)
            await asyncio.sleep(RETRY_SECONDS)


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, for at most so long; whether it was."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False
