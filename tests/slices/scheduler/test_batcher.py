"""Group commit: who comes while a commit is under way shares the next."""

import asyncio
from collections.abc import Sequence

import pytest

from podium.kernel.errors import InvalidInput, Unavailable
from podium.scheduler.batcher import Batcher
from podium.storage.database import Contended, call_in
from slices.scheduler.engine import Engine


class Recorder:
    """A flush that keeps what it was given, and fails where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.errors: list[BaseException] = []
        self.bad: dict[int, Exception] = {}

    async def flush(self, rows: Sequence[int]) -> list[int]:
        self.batches.append(list(rows))
        await asyncio.sleep(0.001)
        if self.errors:
            raise self.errors.pop(0)
        for row in rows:
            if row in self.bad:
                raise self.bad[row]
        return [row * 2 for row in rows]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_callers_share_a_commit(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, parallel=1)
    results = await asyncio.gather(*(batcher.put(n) for n in range(100)))
    assert results == [n * 2 for n in range(100)]
    assert len(recorder.batches) <= 2


async def test_a_lone_caller_does_not_wait_for_others(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush)
    async with asyncio.timeout(0.5):
        assert await batcher.put(1) == 2
    assert recorder.batches == [[1]]


async def test_who_comes_as_a_runner_ends_does_not_count_on_it(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, parallel=1)
    async with asyncio.timeout(1):
        assert [await batcher.put(n) for n in range(5)] == [0, 2, 4, 6, 8]


async def test_two_flushes_run_side_by_side_and_no_more(recorder: Recorder) -> None:
    running = most = 0

    async def flush(rows: Sequence[int]) -> Sequence[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return rows

    batcher = Batcher(flush, most=1, parallel=2)
    await asyncio.gather(*(batcher.put(n) for n in range(10)))
    assert most == 2


async def test_a_batch_is_bounded_by_size(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, size=lambda row: row, most=10, parallel=1)
    await asyncio.gather(*(batcher.put(n) for n in (4, 4, 4, 50, 1)))
    assert recorder.batches == [[4, 4], [4], [50], [1]]


async def test_a_bad_row_hurts_only_itself(recorder: Recorder) -> None:
    recorder.bad[3] = InvalidInput("three")
    recorder.bad[5] = ValueError("five")
    batcher = Batcher(recorder.flush, parallel=1)
    results = await asyncio.gather(*(batcher.put(n) for n in range(8)), return_exceptions=True)
    assert isinstance(results[3], InvalidInput)
    assert isinstance(results[5], ValueError)
    good = [result for result in results if isinstance(result, int)]
    assert good == [0, 2, 4, 8, 12, 14]


async def test_all_are_told_at_once_that_the_database_is_away(recorder: Recorder) -> None:
    recorder.errors.append(Unavailable("away"))
    batcher = Batcher(recorder.flush, parallel=1)
    results = await asyncio.gather(*(batcher.put(n) for n in range(8)), return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    assert len(recorder.batches) == 1
    assert await batcher.put(1) == 2


async def test_nobody_waits_for_a_database_that_went_away_among_retries(
    recorder: Recorder,
) -> None:
    recorder.errors += [ValueError("some row"), Unavailable("away")]
    batcher = Batcher(recorder.flush, parallel=1)
    results = await asyncio.gather(*(batcher.put(n) for n in range(8)), return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    assert len(recorder.batches) == 2


async def test_a_batch_that_stood_in_anothers_way_is_tried_again(recorder: Recorder) -> None:
    recorder.errors += [Contended("deadlock")] * 3
    batcher = Batcher(recorder.flush)
    assert await batcher.put(1) == 2
    assert len(recorder.batches) == 4


async def test_it_is_not_tried_for_ever(recorder: Recorder) -> None:
    recorder.errors += [Contended("deadlock")] * 100
    batcher = Batcher(recorder.flush)
    with pytest.raises(Contended):
        await batcher.put(1)
    assert len(recorder.batches) == 5


async def test_a_caller_that_gave_up_does_not_hurt_others(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, parallel=1)
    waiting = [batcher.put(n) for n in range(4)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    waiting[2].cancel()
    recorder.errors.append(ValueError("the batch"))
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results[0] == 0
    assert results[3] == 6


async def test_drain_waits_for_all(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, most=1, parallel=1)
    waiting = [batcher.put(n) for n in range(5)]
    await asyncio.sleep(0)
    await batcher.drain()
    assert all(one.done() for one in waiting)


async def test_a_real_deadlock_is_tried_again(engine: Engine) -> None:
    """Two batches lock two rows in opposite orders; PostgreSQL ends one, which then succeeds."""
    await engine.set_gates(a=1, b=1)
    locked = asyncio.Barrier(2)
    tries = 0

    async def flush(rows: Sequence[tuple[str, str]]) -> list[None]:
        nonlocal tries
        tries += 1
        first = tries <= 2
        async with engine.database.transaction() as conn:
            for number, key in enumerate(rows[0]):
                await call_in(conn, "update gate set capacity = 2 where key = $1", key)
                if first and number == 0:
                    await locked.wait()
        return [None]

    batchers = [Batcher(flush), Batcher(flush)]
    await asyncio.gather(batchers[0].put(("a", "b")), batchers[1].put(("b", "a")))
    assert tries == 3


async def test_who_gave_up_waiting_is_left_out(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, parallel=1)
    results = [batcher.put(n) for n in range(4)]
    results[0].cancel()
    results[2].cancel()
    assert [await results[1], await results[3]] == [2, 6]
    assert recorder.batches == [[1, 3]]


async def test_a_flush_that_gives_too_few_results_leaves_nobody_waiting() -> None:
    flushed: list[Sequence[int]] = []

    async def flush(rows: Sequence[int]) -> list[int]:
        flushed.append(rows)
        return [0]

    batcher = Batcher(flush)
    async with asyncio.timeout(5):
        results = await asyncio.gather(*(batcher.put(n) for n in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError] * 3
    assert flushed == [[0, 1, 2]]  # once: what it did is done


async def test_who_gave_up_while_the_batch_failed_is_left_out(recorder: Recorder) -> None:
    recorder.bad[0] = InvalidInput("no")
    batcher = Batcher(recorder.flush)
    results = [batcher.put(n) for n in range(3)]
    await asyncio.sleep(0)  # the batch is under way
    results[1].cancel()
    with pytest.raises(InvalidInput):
        await results[0]
    assert await results[2] == 4
    assert recorder.batches == [[0, 1, 2], [0], [2]]
