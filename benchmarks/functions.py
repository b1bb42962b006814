"""Functions that Podium's function agents run in the benchmarks."""

import asyncio

from benchmarks.stamps import stamp
from podium.agents.runtimes.functions import FunctionContext
from podium.agents.runtimes.inline import InlineContext

HOURS = 3600.0


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
