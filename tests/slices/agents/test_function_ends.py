"""How attempts of function agents end: cancelled, out of time, with tasks left behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from contract.context import RecordingContext, TestLease, until
from podium.agents.runtimes.function import FunctionRuntime
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass
from slices.agents.failing import failure
from slices.agents.functions import Make


async def test_cancelling_lets_functions_clean_up(
    runtime: FunctionRuntime, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    mark = tmp_path / "shared" / "mark"
    running = asyncio.create_task(runtime.run(make("clean_up", str(mark))))
    await until(lambda: mark.exists() and mark.read_text())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert mark.read_text() == "cleaned"


async def test_wall_time_of_inline_functions(runtime: FunctionRuntime, make: Make) -> None:
    failed = await failure(runtime, make("long", limits={"wall_seconds": 0.05}))
    assert (failed.error_class, failed.code) == (ErrorClass.TIMEOUT, "wall_limit")
    failed = await failure(runtime, make("own_time_out", limits={"wall_seconds": 10}))
    assert (failed.error_class, failed.code) == (ErrorClass.TIMEOUT, "exception")


async def test_left_tasks_are_cancelled(
    runtime: FunctionRuntime, make: Make, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    context = make("start_and_leave", str(mark))
    assert await runtime.run(context) is None
    assert mark.read_text() == "ended"
    assert ("usage", {"tokens": 1}) in context.reports


@pytest.mark.parametrize("ends", [True, False])
async def test_a_lease_ends_even_who_holds_on(
    runtime: FunctionRuntime, make: Make, tmp_path: Path, *, ends: bool
) -> None:
    mark = tmp_path / "mark"
    if ends:
        (tmp_path / "mark.end").touch()
    context = make("swallow", str(mark))
    context.lease = TestLease(0.2)
    failed = await failure(runtime, context)
    assert failed.code == "lease_expired"
    assert mark.read_text() == "caught"
    assert boottime() - context.lease.until < 2


async def test_who_ignores_a_cancellation_is_ended_after_the_grace(
    runtime: FunctionRuntime, make: Make, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    context = make("swallow", str(mark), grace_seconds=0.3)
    running = asyncio.create_task(runtime.run(context))
    await asyncio.sleep(0.1)
    began = boottime()
    running.cancel()
    with pytest.raises(AttemptFailed) as caught:
        await running
    assert (caught.value.error_class, caught.value.code) == (ErrorClass.AGENT, "cancel_ignored")
    assert 0.25 < boottime() - began < 2


async def test_a_time_out_of_the_functions_own_does_not_count_as_cancelled(
    runtime: FunctionRuntime, make: Make
) -> None:
    assert await runtime.run(make("goes_on_after_time_out", grace_seconds=0.05)) == "went on"


async def test_left_tasks_that_ignore_it_never_take_a_step_again(
    runtime: FunctionRuntime, make: Make, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    assert await runtime.run(make("leave_stubborn", str(mark), grace_seconds=0.2)) is None
    await asyncio.sleep(0.1)
    steps = len(mark.read_text())
    assert steps >= 1
    await asyncio.sleep(0.2)
    assert len(mark.read_text()) == steps


async def test_cancelling_while_left_tasks_end(
    runtime: FunctionRuntime, make: Make, tmp_path: Path
) -> None:
    context = make("leave_stubborn", str(tmp_path / "mark"), grace_seconds=0.3)
    running = asyncio.create_task(runtime.run(context))
    await asyncio.sleep(0.15)
    began = boottime()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert boottime() - began > 0.1


async def test_what_the_worker_does_for_a_function_is_not_the_functions(
    runtime: FunctionRuntime, make: Make
) -> None:
    """A connection that the worker opens while it keeps an artifact must outlive the attempt."""
    context = make("keep_in_process")
    started: list[asyncio.Task[None]] = []

    class Working(RecordingContext):
        async def artifact(self, name: str, content: Any, content_type: str = "") -> None:
            started.append(asyncio.create_task(asyncio.sleep(0.05)))

    context.__class__ = Working
    await runtime.run(context)
    await started[0]
    assert not started[0].cancelled()


async def test_the_worker_gets_its_turns_beside_busy_functions(
    runtime: FunctionRuntime, make: Make
) -> None:
    """What each of them computes at once takes as long as half a turn may last."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    await runtime.run(make("compute", 0.0))
    counting = asyncio.create_task(count_turns())
    await asyncio.gather(*(runtime.run(make("compute", 0.03)) for _ in range(20)))
    counting.cancel()
    assert turns >= 10


async def test_who_waits_for_a_turn_can_be_cancelled(runtime: FunctionRuntime, make: Make) -> None:
    await runtime.run(make("compute", 0.0))
    busy = asyncio.create_task(runtime.run(make("compute", 0.1)))
    waiting = asyncio.create_task(runtime.run(make("compute", 30.0)))
    await asyncio.sleep(0)
    waiting.cancel()
    await busy
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_other_tasks_of_the_worker_are_left_alone(
    runtime: FunctionRuntime, make: Make
) -> None:
    before = asyncio.get_running_loop().get_task_factory()
    await runtime.run(make("async_double", 1))
    installed = asyncio.get_running_loop().get_task_factory()
    assert installed is not None
    other = asyncio.create_task(asyncio.sleep(0.01, "mine"))
    await runtime.run(make("async_double", 1))
    assert asyncio.get_running_loop().get_task_factory() is installed
    assert await other == "mine"
    asyncio.get_running_loop().set_task_factory(before)


async def test_an_older_task_factory_is_kept(runtime: FunctionRuntime, make: Make) -> None:
    loop = asyncio.get_running_loop()
    before, seen = loop.get_task_factory(), []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        seen.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)
    try:
        assert await runtime.run(make("gather")) == [0, 1, 2]
        assert len(seen) >= 3
    finally:
        loop.set_task_factory(before)
