"""Questions to the database of a run, past Podium."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Any]:
    """A connection of asyncpg, whose types are not known well enough to be checked."""
    connection = cast("Any", await asyncpg.connect(url))
    try:
        yield connection
    finally:
        await connection.close()


async def rows(url: str, query: str, *values: Any) -> list[Any]:
    """What one query finds, on a connection of its own."""
    async with connected(url) as connection:
        return await connection.fetch(query, *values)
