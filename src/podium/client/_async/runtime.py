"""What the two forms of the SDK do differently; ``_sync`` has its own, written by hand."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def sleep(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)


async def in_thread(function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call something that blocks."""
    return await asyncio.to_thread(function, *args, **options)
