"""Idempotency keys: the same call gives the same tasks, another one is refused."""

import asyncio
from typing import Any

import pytest

from podium.kernel.errors import IdempotencyMismatch, NotFound
from podium.kernel.ids import uuid7
from podium.scheduler import upkeep
from podium.scheduler.model import CallKey, SubmitCall
from slices.scheduler.engine import Engine


async def _count(engine: Engine) -> int:
    return (await engine.run("select count(*) from task"))[0][0]


async def _call(engine: Engine, key: str, request: bytes = b"1", count: int = 1) -> SubmitCall:
    tasks = [await engine.task() for _ in range(count)]
    return SubmitCall(tasks, CallKey(engine.project, key, request))


async def test_the_same_request_gives_the_same_task(engine: Engine) -> None:
    first = await engine.submit_keyed("k", b"1")
    assert await engine.submit_keyed("k", b"1") == first
    assert await _count(engine) == 1
    assert await engine.events(first) == ["task.created"]


async def test_another_request_is_refused(engine: Engine) -> None:
    await engine.submit_keyed("k", b"1")
    with pytest.raises(IdempotencyMismatch, match="'k'"):
        await engine.submit_keyed("k", b"2")
    assert await _count(engine) == 1


async def test_keys_belong_to_projects(engine: Engine) -> None:
    other = await engine.add_project(uuid7(), "other")
    await engine.add_agent("theirs", project=other)
    first = await engine.submit_keyed("k", b"1")
    second = await engine.submit_keyed("k", b"2", agent="theirs", project=other)
    assert first != second


async def test_the_same_call_many_times_at_once_is_made_once(engine: Engine) -> None:
    made = await asyncio.gather(*(engine.submit_keyed("k", b"1") for _ in range(20)))
    assert len(set(made)) == 1
    assert await _count(engine) == 1


async def test_two_processes_with_one_key_make_one_task(engine: Engine) -> None:
    other = await Engine.join(engine)
    for n in range(10):
        made = await asyncio.gather(
            *(each.submit_keyed(f"k{n}", b"1") for each in (engine, other) for _ in range(3))
        )
        assert len(set(made)) == 1
    assert await _count(engine) == 10


async def test_a_mismatch_does_not_hurt_others_of_its_batch(engine: Engine) -> None:
    first = await engine.submit_keyed("k", b"1")
    results = await asyncio.gather(
        engine.submit_keyed("k", b"2"),
        engine.submit_keyed("k", b"1"),
        engine.submit_keyed("new", b"3"),
        engine.submit(),
        return_exceptions=True,
    )
    assert isinstance(results[0], IdempotencyMismatch)
    assert results[1] == first
    assert await _count(engine) == 3


async def test_two_requests_under_one_new_key_in_one_batch(engine: Engine) -> None:
    calls = [await _call(engine, "k", request) for request in (b"1", b"2", b"1")]
    results = await asyncio.gather(
        *(engine.scheduler.submit(call) for call in calls), return_exceptions=True
    )
    assert sum(isinstance(result, IdempotencyMismatch) for result in results) in (1, 2)
    assert await _count(engine) == 1


async def test_a_refused_call_leaves_its_key_unused(engine: Engine) -> None:
    with pytest.raises(NotFound):
        await engine.submit_keyed("k", b"1", after=[uuid7()])
    assert not await engine.run("select * from idempotency")
    await engine.submit_keyed("k", b"2")


async def test_a_key_may_be_used_anew_when_its_time_is_over(engine: Engine) -> None:
    first = await engine.submit_keyed("k", b"1")
    await engine.run("update idempotency set expires_at = now() - interval '1 second'")
    second = await engine.submit_keyed("k", b"2")
    assert second != first
    assert await engine.submit_keyed("k", b"2") == second


async def test_old_keys_are_forgotten(engine: Engine) -> None:
    await engine.submit_keyed("old", b"1")
    await engine.run("update idempotency set expires_at = now() - interval '1 second'")
    await engine.submit_keyed("new", b"1")
    await upkeep.forget_calls(engine.database)
    assert [row.key for row in await engine.run("select key from idempotency")] == ["new"]


async def test_a_call_that_broke_off_goes_on_by_the_keys_of_its_chunks(engine: Engine) -> None:
    """How a large call is made again after a crash between two chunks."""
    chunk = await _call(engine, "k#0", b"a", count=500)
    ids = (await engine.scheduler.submit(chunk)).ids
    again = [await _call(engine, f"k#{n}", request, 500) for n, request in enumerate((b"a", b"b"))]
    first, second = [(await engine.scheduler.submit(call)).ids for call in again]
    assert first == ids
    assert second == [task.id for task in again[1].tasks]
    assert await _count(engine) == 1000


async def test_keys_are_forgotten_a_few_at_a_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(8):
        await engine.submit_keyed(f"k{n}", b"1")
    await engine.run("update idempotency set expires_at = now() - interval '1 s' where key <> 'k3'")
    calls = 0
    call = engine.database.call

    async def counted(statement: str, *args: Any) -> list[Any]:
        nonlocal calls
        calls += 1
        return await call(statement, *args)

    monkeypatch.setattr(engine.database, "call", counted)
    monkeypatch.setattr(upkeep, "_FORGET_AT_ONCE", 3)
    await upkeep.forget_calls(engine.database)
    assert [row.key for row in await engine.run("select key from idempotency")] == ["k3"]
    assert calls == 3
