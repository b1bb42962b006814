"""A worker whose database, connections or own parts fail it: no task is lost, none runs twice."""

import asyncio
import errno
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import worker_agents
from podium.agents.runtime import AgentSpec
from podium.agents.runtimes.function import FunctionRuntime
from podium.kernel.errors import LeaseRanOut, Unavailable
from podium.scheduler import store as leases
from podium.scheduler.model import Claimed, Settlement
from podium.worker import backoff, claiming, late_usage, store, workspaces
from podium.worker.backoff import Backoff
from slices.worker.conftest import Shop


class Troubled:
    """Does what ``call`` does, but fails with ``error`` as often as it is told to."""

    def __init__(self, call: Callable[..., Awaitable[Any]], error: Exception, times: int) -> None:
        self._call = call
        self._error = error
        self.left = times

    async def __call__(self, *args: Any, **named: Any) -> Any:
        if self.left:
            self.left -= 1
            raise self._error
        return await self._call(*args, **named)


async def _outcomes(shop: Shop, task: UUID) -> list[str]:
    return [each.outcome for each in await shop.rows("attempt", task)]


@pytest.fixture
def held_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Answers of claims that bring something arrive when the event is set, and not before."""
    arrive = asyncio.Event()
    claim = shop.engine.scheduler.claim

    async def slow(*args: Any) -> tuple[list[Claimed], bool]:
        claimed, leaves = await claim(*args)
        if claimed:
            await arrive.wait()
        return claimed, leaves

    monkeypatch.setattr(shop.engine.scheduler, "claim", slow)
    return arrive


async def test_a_slow_claim_is_not_taken_for_a_lost_one(
    shop: Shop, held_back: asyncio.Event
) -> None:
    task = await shop.submit("sleep", 0.51)
    async with shop.worker(lease=3):
        await shop.until(lambda: shop.rows("running", task))
        await asyncio.sleep(4)  # many renewals
        held_back.set()
        assert (await shop.ended(task)).outcome == "succeeded"
    assert await _outcomes(shop, task) == ["succeeded"]
    assert worker_agents.calls.count(("started", 0.51)) == 1


async def test_a_claim_that_takes_too_long_is_given_up_and_handed_back(
    shop: Shop, held_back: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "_CLAIM_SECONDS", 0.3)
    task = await shop.submit("sleep", 0.52)
    async with shop.worker(lease=1):
        await shop.until(lambda: shop.rows("attempt", task))
        held_back.set()
        assert (await shop.ended(task)).outcome == "succeeded"
    outcomes = await _outcomes(shop, task)
    assert (set(outcomes[:-1]), outcomes[-1]) == ({"released"}, "succeeded")
    assert worker_agents.calls.count(("started", 0.52)) == 1


async def test_a_hurry_waits_for_no_claim(shop: Shop, held_back: asyncio.Event) -> None:
    held_back.set()
    hurry = asyncio.Event()
    async with shop.worker(drain=600, hurry=hurry) as stop:
        begun = await shop.submit("sleep", 38)
        await shop.until(lambda: _is(("started", 38) in worker_agents.calls))
        held_back.clear()
        claimed = await shop.submit("sleep", 39)
        await shop.until(lambda: shop.rows("running", claimed))
        stop.set()
        hurry.set()
        await shop.until(lambda: _outcomes(shop, begun))
        held_back.set()
    assert [await _outcomes(shop, each) for each in (begun, claimed)] == [["released"]] * 2


async def test_a_slot_is_free_while_the_end_before_it_is_settled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While more is open. And what waits to be settled is bounded: two ends a slot."""
    settle, let = shop.engine.scheduler.settle, asyncio.Event()

    async def later(worker_id: UUID, ends: Sequence[Settlement], readied: Any) -> Any:
        await let.wait()
        return await settle(worker_id, ends, readied)

    monkeypatch.setattr(shop.engine.scheduler, "settle", later)
    tasks = [await shop.submit("sleep", seconds) for seconds in (5, *(0.01 * n for n in range(6)))]
    async with shop.worker(concurrency=2):
        await shop.until(lambda: _count(shop, 5))
        await asyncio.sleep(1)
        assert await _count(shop, 5)
        let.set()
        assert [(await shop.ended(task)).outcome for task in tasks] == ["succeeded"] * 7


async def _count(shop: Shop, running: int) -> bool:
    return len(await shop.engine.run("select 1 from running")) == running


async def test_trouble_of_the_database_before_an_attempt_is_no_fault_of_its_task(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def isolated(_self: FunctionRuntime, _config: object) -> bool:
        return True

    monkeypatch.setattr(FunctionRuntime, "isolated", isolated)
    troubled = Troubled(store.mark_isolated, Unavailable("It is away."), 1)
    monkeypatch.setattr(store, "mark_isolated", troubled)
    async with shop.worker():
        task = await shop.submit("echo", 1)
        assert (await shop.ended(task)).outcome == "succeeded"
    assert await _outcomes(shop, task) == ["released", "succeeded"]


async def test_a_full_disk_is_no_fault_of_the_task(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, full = workspaces.make, [OSError(errno.ENOSPC, "No space left on device")]

    def make_when_there_is_room(workspace: Path) -> None:
        if full:
            raise full.pop()
        make(workspace)

    monkeypatch.setattr(workspaces, "make", make_when_there_is_room)
    async with shop.worker():
        task = await shop.submit("settle_in", 0)
        assert (await shop.ended(task)).outcome == "succeeded"
    assert await _outcomes(shop, task) == ["released", "succeeded"]


async def test_an_end_is_settled_though_its_function_is_away_for_a_while(
    shop: Shop, noted_faults: Counter[str]
) -> None:
    """As it is under workers of the last release while the functions of the next are installed."""
    [function] = await shop.engine.run(
        "select oid::regprocedure::text as name from pg_proc where proname = 'settle_attempts'"
    )
    types = function.name.removeprefix("settle_attempts")
    async with shop.worker():
        await shop.engine.run(f"alter function settle_attempts{types} rename to elsewhere")
        try:
            task = await shop.submit("echo", 1)
            await shop.until(lambda: _is(noted_faults["settle"] >= 2))
        finally:
            await shop.engine.run(f"alter function elsewhere{types} rename to settle_attempts")
        assert (await shop.ended(task)).output == 1
    assert await _outcomes(shop, task) == ["succeeded"]


async def test_a_disk_that_stays_full_is_tried_ever_more_seldom(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, full = workspaces.make, asyncio.Event()

    def make_when_there_is_room(workspace: Path) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        make(workspace)

    monkeypatch.setattr(workspaces, "make", make_when_there_is_room)
    full.set()
    tasks = [await shop.submit("settle_in", 0) for _ in range(5)]
    async with shop.worker():
        await asyncio.sleep(5)
        attempts = [len(await shop.rows("attempt", task)) for task in tasks]
        assert 2 <= min(attempts) <= max(attempts) <= 4
        full.clear()
        assert [(await shop.ended(task)).outcome for task in tasks] == ["succeeded"] * 5


def test_pauses_grow_until_an_attempt_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = 100.0, Backoff()
    monkeypatch.setattr(backoff, "boottime", lambda: now)

    def pause() -> float:
        nonlocal now
        assert not pauses.pausing()
        began = now
        for _ in range(3):
            pauses.handed_back()
        while pauses.pausing():
            now += 0.5
        return now - began

    assert [pause() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    pauses.got_through()
    assert [pause(), pause()] == [1, 2]


async def test_a_file_is_kept_though_the_database_is_away_for_a_moment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled = Troubled(store.record_artifact, Unavailable("It is away."), 2)
    monkeypatch.setattr(store, "record_artifact", troubled)
    async with shop.worker():
        limits = {"timeouts": {"heartbeat": 0.9}}
        task = await shop.submit("hoard", [["a", 10]], spec=limits)
        assert (await shop.ended(task)).outcome == "succeeded"
    assert troubled.left == 0
    assert [row.name for row in await shop.rows("artifact", task)] == ["a"]


async def test_an_end_for_want_of_a_lease_is_no_fault_of_the_task(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor ended the agent, and then the worker could renew its lease after all."""
    troubled = Troubled(FunctionRuntime.run, LeaseRanOut(), 1)

    async def run(self: FunctionRuntime, ctx: object) -> Any:
        return await troubled(self, ctx)

    monkeypatch.setattr(FunctionRuntime, "run", run)
    async with shop.worker():
        task = await shop.submit("echo", 1)
        assert (await shop.ended(task)).outcome == "succeeded"
    assert await _outcomes(shop, task) == ["released", "succeeded"]


async def test_all_that_was_said_is_kept_before_the_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled = Troubled(store.append_logs, Unavailable("It is away."), 3)
    monkeypatch.setattr(store, "append_logs", troubled)
    async with shop.worker():
        task = await shop.submit("last_words", 3)
        await shop.ended(task)
        lines = [line.text for line in await shop.rows("log", task)]
    assert troubled.left == 0
    assert lines == ["line 0", "line 1", "line 2"]


async def test_a_drain_stops_attempts_that_are_being_prepared(shop: Shop) -> None:
    async def never(_agent: UUID, _version: int) -> AgentSpec:
        await asyncio.sleep(60)
        raise AssertionError

    shop.around = replace(shop.around, agent_spec=never)
    task = await shop.submit("echo", 1)
    async with asyncio.timeout(5):
        async with shop.worker(drain=0.2) as stop:
            await shop.until(lambda: shop.rows("running", task))
            stop.set()
    assert await _outcomes(shop, task) == ["released"]


async def test_a_renewal_that_fails_oddly_is_noted_and_tried_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, noted_faults: Counter[str]
) -> None:
    troubled = Troubled(leases.renew, RuntimeError("a bug"), 2)
    monkeypatch.setattr(leases, "renew", troubled)
    async with shop.worker(lease=4):
        await shop.until(lambda: _is(noted_faults["renew"] >= 2))
        task = await shop.submit("sleep", 1.5)
        assert (await shop.ended(task)).outcome == "succeeded"
    assert await _outcomes(shop, task) == ["succeeded"]


async def test_a_worker_that_cannot_renew_ends_all_it_runs(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled = Troubled(leases.renew, RuntimeError("a bug"), -1)  # always
    monkeypatch.setattr(leases, "renew", troubled)
    async with shop.worker(lease=2):
        task = await shop.submit("sleep", 34)
        await shop.until(lambda: _is(("ended", 34) in worker_agents.calls), 5)
        troubled.left = 0
        await shop.until(lambda: _outcomes(shop, task))
    assert (await _outcomes(shop, task))[0] == "lost"


async def test_what_an_attempt_spent_is_on_record_though_its_worker_lost_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker ends the attempt before the reaper takes it, and so before there is a record."""
    monkeypatch.setattr(late_usage, "_LOOK_SECONDS", 0.1)
    troubled = Troubled(leases.renew, Unavailable("It is away."), -1)
    monkeypatch.setattr(leases, "renew", troubled)
    async with shop.worker(lease=4):
        task = await shop.submit("spend_and_sleep", 36)
        await shop.until(lambda: _is(("ended", 36) in worker_agents.calls))
        assert await _outcomes(shop, task) == []
        troubled.left = 0
        await shop.until(lambda: _usage(shop, task))
        await shop.engine.cancel(task)
    first = (await shop.rows("attempt", task))[0]
    assert (first.outcome, first.usage) == ("lost", {"tokens": 7})


async def test_a_worker_that_was_declared_dead_keeps_what_its_attempts_spent(shop: Shop) -> None:
    async with shop.worker():
        task = await shop.submit("spend_and_sleep", 37)
        await shop.until(lambda: _is(("started", 37) in worker_agents.calls))
        await shop.engine.run("update worker set lease_until = now() - interval '1 s'")
        await shop.until(lambda: _usage(shop, task))
        await shop.engine.cancel(task)
    first = (await shop.rows("attempt", task))[0]
    assert (first.outcome, first.usage) == ("lost", {"tokens": 7})


async def _usage(shop: Shop, task: UUID) -> object:
    return [each.usage for each in await shop.rows("attempt", task) if each.usage]


async def test_messages_are_listened_to_after_an_odd_failure(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, noted_faults: Counter[str]
) -> None:
    listen = shop.wakeups.valkey.listen

    def fails(*channels: str) -> Any:
        if not channels[0].startswith("podium:worker"):  # another's
            return listen(*channels)
        monkeypatch.setattr(shop.wakeups.valkey, "listen", listen)
        raise RuntimeError("a bug")

    monkeypatch.setattr(shop.wakeups.valkey, "listen", fails)
    async with shop.worker(lease=60):
        task = await shop.submit("sleep", 35)
        await shop.until(lambda: _is(noted_faults["obey"]))
        await asyncio.sleep(0.7)
        await shop.until(lambda: shop.rows("running", task))
        await shop.engine.cancel(task)
        assert (await shop.ended(task, 3)).outcome == "cancelled"


async def _is(value: object) -> object:
    return value


async def test_an_attempt_that_does_not_count_any_more_ends_when_it_keeps_a_file(
    shop: Shop,
) -> None:
    async with shop.worker():
        task = await shop.submit("keep_and_wait", 0.6)
        await shop.until(lambda: _is(("keeps", 0.6) in worker_agents.calls))
        await shop.engine.run("delete from running where task_id = :id", id=task)
        await shop.until(lambda: _is(("ends", 0.6) in worker_agents.calls), 3)
    assert await shop.rows("artifact", task) == []
