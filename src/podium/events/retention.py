"""Forgets old events, and remembers up to where, so that no reader misses any unknowingly."""

from datetime import UTC, datetime, time, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store
from podium.storage import partitions


async def forget(conn: AsyncConnection, keep_days: int) -> None:
    """Drop events older than ``keep_days`` and make the partitions of the coming days."""
    today = datetime.now(UTC).date()
    oldest_kept = datetime.combine(today - timedelta(days=keep_days), time(), UTC)
    gone = await store.newest_before(conn, oldest_kept)
    if await partitions.maintain(conn, "event", keep_days, today) and gone is not None:
        await store.set_floor(conn, gone)
