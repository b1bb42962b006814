"""Statements of the tests' own."""

from typing import Any

from sqlalchemy import text

from podium.storage.database import Database


async def run(database: Database, statement: str, **values: Any) -> Any:
    """The rows of one statement in a transaction of its own, or how many it changed."""
    async with database.transaction() as conn:
        result = await conn.execute(text(statement), values)
        return result.all() if result.returns_rows else result.rowcount
