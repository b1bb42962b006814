"""The FastAPI dependency through which routes make changes that events tell of."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events.live import Wakeups
from podium.kernel.web import provided
from podium.storage.database import Database

Changing = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


@asynccontextmanager
async def change(database: Database, wakeups: Wakeups) -> AsyncGenerator[AsyncConnection]:
    """A transaction; once it is committed, those who follow events are woken."""
    async with database.transaction() as conn:
        yield conn
    wakeups.feed()


async def _change(
    database: Annotated[Database, Depends(provided(Database))],
    wakeups: Annotated[Wakeups, Depends(provided(Wakeups))],
) -> Changing:
    return partial(change, database, wakeups)


Change = Annotated[Changing, Depends(_change)]
