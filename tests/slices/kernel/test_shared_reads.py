"""One reading serves all who ask while it is under way."""

import asyncio

import pytest

from podium.kernel.shared_reads import SharedReads


class Source:
    """What is read: one value more with each reading, once it may go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = asyncio.Event()

    async def read(self, key: str) -> int:
        self.begun.append(key)
        number = len(self.begun)
        await self.may_end.wait()
        if key == "broken":
            raise LookupError(key)
        return number


async def test_all_who_ask_meanwhile_get_one_reading_and_who_asks_later_another() -> None:
    source = Source()
    reads = SharedReads(source.read)
    asked = asyncio.gather(reads.get("a"), reads.get("a"), reads.get("b"), reads.get("a"))
    await asyncio.sleep(0)
    source.may_end.set()
    assert await asked == [1, 1, 2, 1]
    assert await reads.get("a") == 3
    assert source.begun == ["a", "b", "a"]


async def test_everybody_gets_the_error_and_the_next_reading_is_a_new_one() -> None:
    source = Source()
    reads = SharedReads(source.read)
    source.may_end.set()
    got = await asyncio.gather(reads.get("broken"), reads.get("broken"), return_exceptions=True)
    assert [type(each) for each in got] == [LookupError, LookupError]
    with pytest.raises(LookupError):
        await reads.get("broken")
    assert source.begun == ["broken", "broken"]


async def test_who_goes_away_takes_the_reading_from_nobody() -> None:
    source = Source()
    reads = SharedReads(source.read)

    async def ask() -> int:
        return await reads.get("a")

    gone, stays = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    source.may_end.set()
    assert await stays == 1
    assert gone.cancelled()
