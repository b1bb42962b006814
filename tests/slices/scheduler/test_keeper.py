"""What happens by itself, on time and by one process: the clock, election and chores."""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from uuid import UUID

import pytest
from sqlalchemy import text

from podium.kernel.clock import boottime
from podium.limits.gate import LimitGate
from podium.scheduler import keeper as module
from podium.scheduler.election import Role
from podium.scheduler.keeper import Alarm, Chore, Keeper
from podium.scheduler.model import SubmitCall
from podium.storage.valkey import Valkey
from servers import ValkeyProcess
from slices.scheduler import keepers
from slices.scheduler.engine import Engine
from slices.scheduler.keepers import (
    Flaky,
    as_is,
    at_work,
    errors_of,
    is_in,
    keeping,
    make_keeper,
    until,
)
from slices.scheduler.rules import lay_down, limit

engine = keepers.engine
"""The one whose wake-ups reach keepers."""


async def came_at(engine: Engine, task: UUID, kind: str) -> datetime:
    """When the event came, on the database's clock."""
    query = "select at from event where subject = :id and type = :kind"
    return (await until(lambda: engine.run(query, id=task, kind=kind)))[0][0]


async def in_seconds(engine: Engine, seconds: float) -> datetime:
    return (await engine.run("select clock_timestamp()"))[0][0] + timedelta(seconds=seconds)


def identity(keeper: Keeper) -> UUID:
    return keeper._elections[Role.KEEPER]._identity


async def holder(engine: Engine, role: str) -> UUID | None:
    rows = await engine.run(
        "select holder from leader where role = :role and until > clock_timestamp()", role=role
    )
    return rows[0][0] if rows else None


# -- the clock ---------------------------------------------------------------------------------


async def test_delays_end_on_time(engine: Engine, valkey: Valkey) -> None:
    async with keeping(engine.database, valkey):
        first = await in_seconds(engine, 4)
        dues = [first + timedelta(seconds=number / 10) for number in range(5)]
        tasks = [await engine.submit(start_at=due) for due in dues]
        assert set(await engine.states(*tasks)) == {"timer"}
        late = [
            await came_at(engine, task, "task.queued") - due
            for task, due in zip(tasks, dues, strict=True)
        ]
    assert min(late) >= timedelta(0)
    assert sorted(late)[2] < timedelta(seconds=0.5)


async def test_starts_that_a_rate_allows_come_on_time(engine: Engine, valkey: Valkey) -> None:
    """Claims tell the clock that a start was used, which else would look once a second."""
    engine.scheduler.gates = (LimitGate(),)
    worker = await engine.worker()
    await limit(engine, "api", count=1, seconds=0.3, burst=1)
    await lay_down(engine, "q", rate_count=1, rate_seconds=0.3, rate_burst=1)
    for options in ({"limits": ["api"]}, {"queue": "q"}):
        tasks = await engine.submit_many(5, **options)
        async with keeping(engine.database, valkey):
            for _ in tasks:
                assert await until(lambda: engine.claim(worker, 1), 5)
        began = [await came_at(engine, task, "task.started") for task in tasks]
        gaps = [later - sooner for sooner, later in pairwise(began)]
        assert min(gaps) >= timedelta(seconds=0.28)
        if "limits" in options:  # who looks for tasks of a queue does so by himself here
            assert sorted(gaps)[2] < timedelta(seconds=0.8)


async def test_queue_timeouts_come_on_time(engine: Engine, valkey: Valkey) -> None:
    async with keeping(engine.database, valkey):
        late: list[timedelta] = []
        for _ in range(5):
            task = await engine.submit(queue_timeout=0.2)
            due = await came_at(engine, task, "task.created") + timedelta(seconds=0.2)
            late.append(await came_at(engine, task, "task.failed") - due)
    assert min(late) > timedelta(seconds=-0.05)
    assert sorted(late)[2] < timedelta(seconds=0.5)


async def test_without_valkey_it_looks_more_often(
    engine: Engine, valkey: Valkey, valkey_process: ValkeyProcess
) -> None:
    async with keeping(engine.database, valkey):
        await valkey_process.kill()
        await until(lambda: as_is(not valkey.available))
        await asyncio.sleep(1.2)  # it may have begun to rest before it knew
        due = await in_seconds(engine, 1)
        task = await engine.submit(start_at=due)
        assert await came_at(engine, task, "task.queued") - due < timedelta(seconds=0.5)


async def test_a_thousand_timers_fire_at_once(engine: Engine, valkey: Valkey) -> None:
    at = await in_seconds(engine, 0.3)
    tasks = [await engine.task(start_at=at) for _ in range(1200)]
    await engine.scheduler.submit(SubmitCall(tasks))
    async with keeping(engine.database, valkey):
        ready = "select count(*) from ready having count(*) = 1200"
        await until(lambda: engine.run(ready), 5)
    assert await engine.run("select 1 from timer") == []


async def test_a_timer_that_somebody_holds_fires_when_it_is_let_go(
    engine: Engine, valkey: Valkey
) -> None:
    held = await engine.submit(start_at=await in_seconds(engine, 1))
    free = await engine.submit(start_at=await in_seconds(engine, 1.1))
    async with AsyncExitStack() as holding:
        conn = await holding.enter_async_context(engine.database.transaction())
        lock = text("select 1 from timer where task_id = :id for update")
        await conn.execute(lock, {"id": held})
        async with keeping(engine.database, valkey):
            await until(lambda: is_in(engine, free, "ready"))
            assert await engine.state(held) == "timer"
            await holding.aclose()
            await until(lambda: is_in(engine, held, "ready"), 5)


async def test_the_clock_outlives_an_outage(
    engine: Engine, valkey: Valkey, flaky: Flaky, quick: None
) -> None:
    before = errors_of("clock")
    async with keeping(flaky, valkey):
        await until(lambda: holder(engine, "keeper"))
        flaky.down = True
        task = await engine.submit(start_at=await in_seconds(engine, 1))
        await until(lambda: as_is(errors_of("clock") >= before + 2))
        assert await engine.state(task) == "timer"
        flaky.down = False
        await until(lambda: is_in(engine, task, "ready"), 10)


# -- election ----------------------------------------------------------------------------------


async def test_one_of_two_keepers_acts_and_hands_over_at_its_end(
    engine: Engine, valkey: Valkey
) -> None:
    async with keeping(engine.database, valkey) as second:
        async with keeping(engine.database, valkey) as first:
            elected = await until(lambda: holder(engine, "keeper"))
            assert elected in (identity(first), identity(second))
            for _ in range(5):
                await asyncio.sleep(0.3)
                assert await holder(engine, "keeper") == elected
        assert await until(lambda: holder(engine, "keeper"), 1.5) == identity(second)
        task = await engine.submit(start_at=await in_seconds(engine, 1))
        await until(lambda: is_in(engine, task, "ready"), 5)
    assert await holder(engine, "keeper") is None


async def test_one_that_cannot_ask_any_more_takes_itself_for_replaced(
    engine: Engine, valkey: Valkey, flaky: Flaky, quick: None
) -> None:
    async with keeping(flaky, valkey) as keeper:
        won = keeper._elections[Role.KEEPER].won
        await until(lambda: as_is(won.is_set()))
        flaky.down = True
        await until(lambda: as_is(not won.is_set()), 3)
        flaky.down = False
        await until(lambda: as_is(won.is_set()), 3)


async def test_a_keeper_that_dies_is_replaced(engine: Engine, valkey: Valkey, quick: None) -> None:
    async with keeping(engine.database, valkey) as dies:
        await until(lambda: _is_held_by(engine, dies))
        async with keeping(engine.database, valkey) as heir:
            for loop in dies._loops:
                loop.cancel()
            dies._elections[Role.KEEPER].won.clear()  # it gives nothing up
            await until(lambda: _is_held_by(engine, heir), 3)
            task = await engine.submit(start_at=await in_seconds(engine, 1))
            await until(lambda: is_in(engine, task, "ready"), 5)


async def test_what_only_servers_can_do_is_done_by_one_while_a_worker_is_elected_for_the_rest(
    engine: Engine, valkey: Valkey, quick: None
) -> None:
    rang = asyncio.Event()

    async def ring() -> None:
        rang.set()

    async with keeping(engine.database, valkey) as worker:
        await until(lambda: _is_held_by(engine, worker))
        server = make_keeper(engine.database, valkey)
        server.alarms.append(Alarm("schedules", "podium:schedules", ring, Role.SERVER))
        async with at_work(server):
            async with asyncio.timeout(5):
                await rang.wait()
            assert await holder(engine, "server") == identity(server)
            assert await _is_held_by(engine, worker)
        assert await holder(engine, "server") is None
        assert await _is_held_by(engine, worker)


async def _is_held_by(engine: Engine, keeper: Keeper) -> bool:
    return await holder(engine, "keeper") == identity(keeper)


# -- chores ------------------------------------------------------------------------------------


async def test_a_chore_is_done_by_one_and_keeps_its_times(
    engine: Engine, valkey: Valkey, quick: None
) -> None:
    done: list[float] = []

    async def note() -> None:
        done.append(boottime())

    count = 0

    async def once() -> None:
        nonlocal count
        count += 1

    often, seldom = Chore("often", 0.3, note), Chore("seldom", 3600, once)
    async with (
        keeping(engine.database, valkey, often, seldom),
        keeping(engine.database, valkey, often, seldom),
    ):
        await asyncio.sleep(2)
    gaps = [later - earlier for earlier, later in pairwise(done)]
    assert 3 <= len(done) <= 7
    assert min(gaps) > 0.25
    async with keeping(engine.database, valkey, seldom):  # started anew, it is not due
        await asyncio.sleep(0.3)
    assert count == 1


async def test_a_chore_of_each_machine_is_done_by_one_there_whoever_is_elected(
    engine: Engine, valkey: Valkey, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    async def probe(host: str) -> None:
        done.append(host)

    async with AsyncExitStack() as running:
        for host in ("here", "here", "there"):
            monkeypatch.setattr(module, "gethostname", lambda host=host: host)
            chore = Chore("health", 3600, partial(probe, host), None)
            await running.enter_async_context(keeping(engine.database, valkey, chore))
            await asyncio.sleep(0.3)
    assert done == ["here", "there"]


async def test_a_chore_that_fails_is_counted_and_done_again(engine: Engine, valkey: Valkey) -> None:
    before = errors_of("fails once")
    calls = 0

    async def fails_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("not now")

    async with keeping(engine.database, valkey, Chore("fails once", 0.1, fails_once)):
        await until(lambda: as_is(calls >= 2))
    assert errors_of("fails once") == before + 1


async def test_workers_of_long_ago_are_forgotten_by_itself(engine: Engine, valkey: Valkey) -> None:
    old = await engine.worker()
    await engine.run("update worker set state = 'dead', lease_until = now() - interval '8 days'")
    async with keeping(engine.database, valkey):
        await until(lambda: _gone(engine, old))


async def _gone(engine: Engine, worker: UUID) -> bool:
    return not await engine.run("select 1 from worker where id = :id", id=worker)
