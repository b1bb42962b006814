"""Loops that outlive their errors."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from podium.kernel.errors import PodiumError

_log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5


def note(loop: str, error: BaseException) -> None:
    """Log an error that a loop outlives: with its trace when nobody expects it."""
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
