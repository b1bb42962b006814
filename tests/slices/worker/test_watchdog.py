"""A function that keeps its worker from everything else is told of, and it alone is to blame."""

import threading
import time
from collections import Counter
from typing import cast
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from podium.agents.runtime import AttemptContext
from podium.worker.lease import LeaseClock
from podium.worker.watchdog import Watchdog
from slices.worker.conftest import Shop


async def test_the_loss_is_counted_for_the_task_that_blocked_the_worker(shop: Shop) -> None:
    async with shop.worker(lease=3):
        others = [await shop.submit("sleep", 5), await shop.submit("sleep", 6)]
        for task in others:
            await shop.until(lambda task=task: shop.rows("running", task))
        culprit = await shop.submit("hog", 4)
        ended = await shop.ended(culprit)
        again = [await shop.until(lambda task=task: shop.rows("running", task)) for task in others]
    [lost, _] = await shop.rows("attempt", culprit)
    assert (ended.outcome, lost.outcome) == ("succeeded", "lost")
    assert lost.error["code"] == "worker_blocked"
    assert "hog (worker_agents.py:" in lost.error["message"]
    assert "_block (worker_agents.py:" in lost.error["message"]
    for task, [now] in zip(others, again, strict=True):
        first = (await shop.rows("attempt", task))[0]
        assert (first.outcome, first.error["code"]) == ("lost", "worker_lost")
        assert "not counted" in first.error["message"]
        assert now.losses == 0


async def test_who_gives_way_in_time_is_told_of_and_loses_nothing(shop: Shop) -> None:
    async with shop.worker(lease=6):
        culprit = await shop.submit("hog", 3)
        with capture_logs() as logs:
            assert (await shop.ended(culprit)).output == 1
    [told] = [each for each in logs if each["event"] == "worker.blocked"]
    assert (told["agent"], told["task_id"]) == ("hog", str(culprit))


@pytest.mark.parametrize("agent", ["beat", "search"])
async def test_the_agents_own_lines_are_told_also_from_within_our_calls(
    shop: Shop, agent: str
) -> None:
    async with shop.worker(lease=1.5):
        with capture_logs() as logs:
            await shop.ended(await shop.submit(agent, 3))
    told = [each for each in logs if each["event"] == "worker.blocked"]
    assert told[0]["agent"] == agent
    assert told[0]["frames"][0].startswith(f"{agent} (worker_agents.py:")


async def test_a_clean_up_that_blocks_is_a_step_too(shop: Shop) -> None:
    async with shop.worker(lease=3):
        task = await shop.submit("cling", 2, spec={"timeouts": {"run": 0.2}})
        with capture_logs() as logs:
            await shop.ended(task)
    [told] = [each for each in logs if each["event"] == "worker.blocked"]
    assert told["agent"] == "cling"


async def test_a_worker_goes_on_where_there_is_no_thread_to_spare(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, noted_faults: Counter[str]
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "watchdog":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    async with shop.worker():
        assert (await shop.ended(await shop.submit("echo", 1))).outcome == "succeeded"
    assert noted_faults == {"watchdog": 1}


async def test_many_short_steps_in_a_row_are_no_ones_fault(shop: Shop) -> None:
    """Nor is what the worker does on its own behalf."""
    lease = LeaseClock(3)
    watchdog = Watchdog(shop.around.database, uuid4(), lease)
    watchdog.start()
    with capture_logs() as logs:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            lease.steps += 1
            lease.stepping = cast("AttemptContext", "one of many")
            time.sleep(0.01)  # noqa: ASYNC251 - it blocks the event loop
        assert not logs
        lease.stepping = None
        time.sleep(2)  # noqa: ASYNC251
        watchdog.close()
    assert [(each["event"], "task_id" in each) for each in logs] == [("worker.blocked", False)]
    assert logs[0]["frames"][-1].startswith("test_many_short_steps")


async def test_a_process_that_stood_still_blames_nobody(shop: Shop) -> None:
    class Late(threading.Event):
        """Comes back too late at first, as where the whole process was stopped meanwhile."""

        def wait(self, timeout: float | None = None) -> bool:
            first, self.waited = not hasattr(self, "waited"), True
            time.sleep(3 * (timeout or 0) if first else 0)
            return not first

    with capture_logs() as logs:
        Watchdog(shop.around.database, uuid4(), LeaseClock(1))._await(Late())
    assert not logs
