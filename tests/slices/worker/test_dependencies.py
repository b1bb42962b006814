"""What the tasks that an attempt waited for came to, read for many attempts at once."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from podium.kernel.errors import AttemptFailed, Unavailable
from podium.kernel.ids import uuid7
from podium.storage.database import Database
from podium.worker import dependencies, store
from podium.worker.dependencies import Dependencies
from slices.worker.conftest import Shop

_HALF = "to_jsonb(repeat('x', 16 * 1024 * 1024 - 2))"  # and two quotes


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how many tasks each query was."""
    asked: list[int] = []
    read = store.dependencies

    async def counted(database: Database, tasks: Sequence[UUID]) -> Any:
        asked.append(len(tasks))
        return await read(database, tasks)

    monkeypatch.setattr(store, "dependencies", counted)
    return asked


async def _ended(shop: Shop, count: int) -> list[UUID]:
    """Tasks whose outputs are their numbers."""
    tasks = [await shop.submit("echo", number) for number in range(count)]
    for task in tasks:
        await shop.ended(task)
    return tasks


async def test_attempts_that_begin_together_share_one_query(shop: Shop, queries: list[int]) -> None:
    async with shop.worker():
        first, second = await _ended(shop, 2)
    fan = [await shop.submit("echo", after=[first]) for _ in range(50)]
    both, none = await shop.submit("echo", after=[first, second]), await shop.submit("echo")
    reader = Dependencies(shop.around.database)
    found = await asyncio.gather(*(reader.of(task) for task in [*fan, both, none]))
    assert queries == [52]
    assert all(
        [(name, each.state, each.output) for name, each in one.items()]
        == [(str(first), "succeeded", 0)]
        for one in found[:50]
    )
    assert {name: each.output for name, each in found[50].items()} == {
        str(first): 0,
        str(second): 1,
    }
    assert found[51] == {}


async def test_each_attempt_has_its_own_copy_of_an_output(shop: Shop) -> None:
    async with shop.worker():
        first = await shop.submit("echo", {"list": []})
        await shop.ended(first)
    fan = [await shop.submit("echo", after=[first]) for _ in range(2)]
    reader = Dependencies(shop.around.database)
    one, other = await asyncio.gather(*(reader.of(task) for task in fan))
    output: Any = one[str(first)].output
    output["list"].append("mine")
    assert other[str(first)].output == {"list": []}


async def test_what_is_too_much_together_is_read_one_by_one(shop: Shop, queries: list[int]) -> None:
    async with shop.worker():
        first = await _ended(shop, 3)
    await shop.engine.run(f"update task set output = {_HALF}")
    fan = [await shop.submit("echo", after=[task]) for task in first]
    reader = Dependencies(shop.around.database)
    found = await asyncio.gather(*(reader.of(task) for task in fan))
    assert queries == [3, 1, 1, 1]
    assert [list(one) for one in found] == [[str(task)] for task in first]
    assert all(len(str(each.output)) > 10**7 for one in found for each in one.values())


async def test_an_output_counts_once_for_each_that_is_handed_it(
    shop: Shop, queries: list[int]
) -> None:
    async with shop.worker():
        [first] = await _ended(shop, 1)
    await shop.engine.run("update task set output = to_jsonb(repeat('x', 3 * 1024 * 1024))")
    fan = [await shop.submit("echo", after=[first]) for _ in range(16)]
    reader = Dependencies(shop.around.database)
    await asyncio.gather(*(reader.of(task) for task in fan))
    assert queries == [16, *[1] * 16]


async def test_only_the_attempt_that_is_handed_too_much_fails(
    shop: Shop, queries: list[int]
) -> None:
    async with shop.worker():
        first = await _ended(shop, 3)
    await shop.engine.run(f"update task set output = {_HALF}")
    greedy = await shop.submit("echo", after=first)
    modest = await shop.submit("echo", after=first[:1])
    reader = Dependencies(shop.around.database)
    found = await asyncio.gather(reader.of(greedy), reader.of(modest), return_exceptions=True)
    assert isinstance(found[0], AttemptFailed)
    assert isinstance(found[1], dict)
    assert queries == [2, 1, 1]


async def test_a_task_that_is_read_for_twice_confuses_nobody(shop: Shop) -> None:
    """It was cancelled and got another life while its first attempt waited for this."""
    async with shop.worker():
        first = await _ended(shop, 3)
    fan = [await shop.submit("echo", after=[task]) for task in first]
    reader = Dependencies(shop.around.database)
    asked = [fan[0], fan[1], fan[0], fan[2]]
    found = await asyncio.gather(*(reader.of(task) for task in asked))
    assert [one for each in found for one in each] == [str(first[n]) for n in (0, 1, 0, 2)]


async def test_one_that_gives_up_disturbs_no_other(shop: Shop, queries: list[int]) -> None:
    async with shop.worker():
        [first] = await _ended(shop, 1)
    fan = [await shop.submit("echo", after=[first]) for _ in range(3)]
    reader = Dependencies(shop.around.database)
    asked = [asyncio.create_task(reader.of(task)) for task in fan]
    await asyncio.sleep(0)  # all wait
    asked[1].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[1], asyncio.CancelledError)
    assert [list(one) for one in (found[0], found[2]) if isinstance(one, dict)] == [
        [str(first)]
    ] * 2
    assert queries == [2]


async def test_dependencies_that_were_deleted_are_left_out(shop: Shop) -> None:
    async with shop.worker():
        first, second = await _ended(shop, 2)
    fan = [await shop.submit("echo", after=[task]) for task in (first, second)]
    await shop.engine.run("delete from task where id = :id", id=first)
    reader = Dependencies(shop.around.database)
    found = await asyncio.gather(*(reader.of(task) for task in fan))
    assert [list(one) for one in found] == [[], [str(second)]]


async def test_all_are_told_when_the_database_is_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("It is away.")

    monkeypatch.setattr(store, "dependencies", away)
    reader = Dependencies(shop.around.database)
    found = await asyncio.gather(*(reader.of(uuid7()) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [Unavailable] * 3


@pytest.mark.parametrize("column", ["output", "error"])
async def test_refuses_dependencies_that_hand_on_too_much(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    """It is the size as text that counts; in the database such outputs are small."""
    async with shop.worker():
        first = await _ended(shop, 3)
        await shop.engine.run("update task set output = null")
        await shop.engine.run(f"update task set {column} = {_HALF} where input in ('1', '2')")
        fits = await shop.submit("echo", 7, after=first[1:])
        assert (await shop.ended(fits)).output == 7
        await shop.engine.run(f"update task set {column} = '0' where input = '0'")
        read: list[Any] = []
        monkeypatch.setattr(dependencies, "_dependency", read.append)
        done = await shop.ended(await shop.submit("echo", 7, after=first))
    assert (done.outcome, read) == ("failed", [])
    assert (done.error["class"], done.error["code"]) == ("invalid_input", "dependencies_too_large")
    assert "33,554,432 bytes" in done.error["message"]
    assert "artifacts" in done.error["hint"]
