"""Replaces a process that runs and does not answer: deadlocked, stopped, out of descriptors."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from podium.server.children import Child

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Pace:
    """Seconds between two questions and for each answer, and how many in a row may be missed."""

    pause: float = 10.0
    patience: float = 10.0
    misses: int = 3


async def keep_answering(child: Child, ask: Callable[[], Awaitable[bool]], pace: Pace) -> None:
    """Ask again and again, beginning with a process that has just answered.

    One that was started anew is not judged before its first answer: it may have much to do.
    """
    answered, missed = child.process, 0
    while True:
        await asyncio.sleep(pace.pause)
        asked = child.process
        if await ask():
            answered, missed = asked, 0
        elif asked is not answered or child.process is not asked:
            missed = 0
        else:
            missed += 1
            log.warning("process does not answer", child=child.name, times=missed)
            if missed == pace.misses:
                log.error("process does not answer and is replaced", child=child.name)
                child.replace()
