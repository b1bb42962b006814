"""Background tasks end, whatever becomes of their cancellation."""

import asyncio

from podium.kernel import background


async def test_a_task_that_loses_its_cancellation_ends_all_the_same() -> None:
    rounds = 0

    async def stubborn() -> None:
        nonlocal rounds
        while True:
            try:
                try:
                    await asyncio.sleep(60)
                finally:
                    if rounds < 1:
                        rounds += 1
                        raise ZeroDivisionError  # as failing clean-up does
            except ZeroDivisionError:
                continue

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await background.end(task, None)
    assert task.cancelled()
    assert rounds == 1


async def test_a_task_that_failed_before_is_no_trouble() -> None:
    async def failing() -> None:
        raise ZeroDivisionError

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await background.end(task)
    assert isinstance(task.exception(), ZeroDivisionError)
    await background.end()
