"""Ending background tasks for certain."""

import asyncio

_AGAIN_SECONDS = 1.0


async def end(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel these tasks and wait until they have ended, whatever they end with.

    A cancellation can get lost: code that cleans up may raise another error in its place, which a
    loop that outlives its errors then takes for one of them. So it is repeated.
    """
    waiting = {task for task in tasks if task is not None}
    while waiting:
        for task in waiting:
            task.cancel()
        done, waiting = await asyncio.wait(waiting, timeout=_AGAIN_SECONDS)
        for task in done:
            if not task.cancelled():
                task.exception()  # it was told by whoever watched the task, if anybody did
