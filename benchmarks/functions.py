"""Functions that Podium's function agents run in the benchmarks."""

import asyncio
import time

from benchmarks.stamps import stamp
from podium.agents.runtimes.functions import FunctionContext
from podium.agents.runtimes.inline import InlineContext

HOURS = 3600.0
BUSY_SECONDS = 0.005


async def noop(_value: object) -> None:
    """Do nothing."""


async def stamped(key: str) -> None:
    """Stamp."""
    stamp(key)


async def parked(key: str, ctx: InlineContext) -> None:
    """Give up the slot until somebody signals, which nobody does."""
    await ctx.park(key)


async def held(key: str, ctx: FunctionContext) -> None:
    """Stamp with the number of the attempt, then run on."""
    stamp(f"{key}/{ctx.attempt}")
    await asyncio.sleep(HOURS)


async def busy(key: str) -> None:
    """Stamp, then take 5 ms of a processor, however many others want it."""
    stamp(key)
    until = time.thread_time() + BUSY_SECONDS
    while time.thread_time() < until:
        pass


async def talking(_value: object, ctx: InlineContext) -> None:
    """Say again what is said to it, until the session is closed."""
    while ctx.session is not None and (said := await ctx.session.receive()) is not None:
        ctx.session.say(said.text)
