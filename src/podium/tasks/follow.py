"""Output of a task as it comes."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from podium.events.live import Wakeups
from podium.scheduler.model import ENDED
from podium.storage.database import Database
from podium.tasks.model import LogItem
from podium.tasks.service import TaskService

_PAGE = 500
_LOOK_SECONDS = {True: 2.0, False: 0.25}
"""How often it looks by itself while wake-ups arrive, and while they do not."""
_STILL_HERE_SECONDS = 15.0


def log_channel(task_id: UUID) -> str:
    """Where workers tell that a task has new output or has ended."""
    return f"podium:log:{task_id}"


async def follow(
    tasks: TaskService, database: Database, wakeups: Wakeups, task_id: UUID, after: int
) -> AsyncGenerator[LogItem | None]:
    """Pieces of output after the id ``after``; None now and then while there is nothing new.

    Ends when the task has ended and all its output was given.
    """
    silent_since = asyncio.get_running_loop().time()
    async with wakeups.valkey.listen(log_channel(task_id)) as listener:
        while True:
            async with database.connect() as conn:
                ended = (await tasks.state(conn, task_id)) in ENDED
                items = await tasks.logs(conn, task_id, after, None, _PAGE)
            for item in items:
                after = item.id
                yield item
            now = asyncio.get_running_loop().time()
            if items:
                silent_since = now
            elif ended:
                return
            elif now - silent_since > _STILL_HERE_SECONDS:
                silent_since = now
                yield None
            if len(items) < _PAGE:
                await listener.message(_LOOK_SECONDS[wakeups.valkey.available])
