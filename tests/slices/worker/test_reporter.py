"""When what attempts say is written, and what becomes of it when it cannot be."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from podium.worker import reporter
from slices.worker.conftest import Shop


@asynccontextmanager
async def _without_log(shop: Shop) -> AsyncGenerator[None]:
    await shop.engine.run("alter table log rename to elsewhere")
    try:
        yield
    finally:
        await shop.engine.run("alter table elsewhere rename to log")


async def test_logs_wait_for_their_table_and_make_no_haste(
    shop: Shop, noted_faults: Counter[str]
) -> None:
    async with shop.worker():
        async with _without_log(shop):
            task = await shop.submit("last_words", 3)
            await asyncio.sleep(2.5)
        assert noted_faults["report"]
        assert (await shop.ended(task)).outcome == "succeeded"
        assert noted_faults["report"] < 15  # two tasks that try twice a second
        assert [line.text for line in await shop.rows("log", task)] == [
            "line 0",
            "line 1",
            "line 2",
        ]


async def test_a_log_that_cannot_be_written_does_not_keep_a_task_from_ending(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "_PATIENCE_SECONDS", 1)
    async with shop.worker(), _without_log(shop):
        task = await shop.submit("last_words", 3)
        assert (await shop.ended(task, 10)).outcome == "succeeded"
        assert await _told(shop, task) == ["done"]


async def test_the_ends_of_others_do_not_hurry_progress(shop: Shop) -> None:
    async with shop.worker():
        task = await shop.submit("chatter", 2)
        for n in range(40):
            await shop.ended(await shop.submit("last_words", n % 3))
        await shop.ended(task)
    assert 2 <= len(await _told(shop, task)) <= 12  # four a second, and the last


async def _told(shop: Shop, task: UUID) -> list[str]:
    query = "select data from event where subject = :id and type = 'task.progress'"
    return [row.data["note"] for row in await shop.engine.run(query, id=task)]


async def test_the_last_progress_is_told(shop: Shop) -> None:
    async with shop.worker():
        task = await shop.submit("last_words", 0)
        await shop.ended(task)
    assert await _told(shop, task) == ["done"]
