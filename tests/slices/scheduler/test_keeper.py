"""What happens by itself, on time, by one process, and never to what is alive."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Self
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from podium.events.live import Wakeups
from podium.kernel.clock import boottime
from podium.kernel.errors import Unavailable
from podium.kernel.ids import uuid7
from podium.scheduler import keeper as module
from podium.scheduler import store
from podium.scheduler.keeper import Chore, Keeper
from podium.scheduler.model import SubmitCall
from podium.scheduler.service import Scheduler
from podium.storage.database import Contended, Database
from podium.storage.valkey import Valkey
from servers import ValkeyProcess
from slices.scheduler.engine import Engine


class Flaky(Database):
    """A database that cannot be reached while ``down``."""

    down = False

    async def call(self, statement: str, *args: Any) -> list[Any]:
        if self.down:
            raise Unavailable("It is away.")
        return await super().call(statement, *args)


@pytest.fixture
async def engine(database: Database, valkey: Valkey) -> Engine:
    engine = await Engine.create(database)
    engine.scheduler = Scheduler(database, Wakeups(valkey))
    return engine


@pytest.fixture
async def flaky(database: Database) -> AsyncIterator[Flaky]:
    other = Flaky(database.engine.url.render_as_string(hide_password=False))
    yield other
    await other.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks of a tenth of a second, and leads and patience to match."""
    monkeypatch.setattr(module, "_TICK_SECONDS", 0.1)
    monkeypatch.setattr(module, "_LEAD_SECONDS", 0.6)
    monkeypatch.setattr(module, "_ASLEEP_SECONDS", 0.4)


@asynccontextmanager
async def keeping(
    database: Database, valkey: Valkey, *chores: Chore, lease: float = 60
) -> AsyncGenerator[Keeper]:
    wakeups = Wakeups(valkey)
    keeper = Keeper(database, wakeups, uuid7(), lease_seconds=lease, max_losses=3, chores=chores)
    keeper.start()
    try:
        yield keeper
    finally:
        await keeper.close()
        await wakeups.close()


async def until(look: Callable[[], Awaitable[Any]], seconds: float = 10) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(0.01)
        return found


async def came_at(engine: Engine, task: UUID, kind: str) -> datetime:
    """When the event came, on the database's clock."""
    query = "select at from event where subject = :id and type = :kind"
    return (await until(lambda: engine.run(query, id=task, kind=kind)))[0][0]


async def in_seconds(engine: Engine, seconds: float) -> datetime:
    return (await engine.run("select clock_timestamp()"))[0][0] + timedelta(seconds=seconds)


async def holder(engine: Engine, role: str) -> UUID | None:
    rows = await engine.run(
        "select holder from leader where role = :role and until > clock_timestamp()", role=role
    )
    return rows[0][0] if rows else None


# -- the clock ---------------------------------------------------------------------------------


async def test_delays_end_on_time(engine: Engine, valkey: Valkey) -> None:
    async with keeping(engine.database, valkey):
        late: list[timedelta] = []
        for _ in range(5):
            due = await in_seconds(engine, 0.2)
            task = await engine.submit(start_at=due)
            late.append(await came_at(engine, task, "task.queued") - due)
    assert min(late) >= timedelta(0)
    assert sorted(late)[2] < timedelta(seconds=0.1)


async def test_queue_timeouts_come_on_time(engine: Engine, valkey: Valkey) -> None:
    async with keeping(engine.database, valkey):
        late: list[timedelta] = []
        for _ in range(5):
            task = await engine.submit(queue_timeout=0.2)
            due = await came_at(engine, task, "task.created") + timedelta(seconds=0.2)
            late.append(await came_at(engine, task, "task.failed") - due)
    assert min(late) > timedelta(seconds=-0.05)
    assert sorted(late)[2] < timedelta(seconds=0.1)


async def test_without_valkey_it_looks_more_often(
    engine: Engine, valkey: Valkey, valkey_process: ValkeyProcess
) -> None:
    async with keeping(engine.database, valkey):
        await valkey_process.kill()
        await until(lambda: _is(not valkey.available))
        await asyncio.sleep(1.2)  # it may have begun to rest before it knew
        due = await in_seconds(engine, 0.2)
        task = await engine.submit(start_at=due)
        assert await came_at(engine, task, "task.queued") - due < timedelta(seconds=0.5)


async def _is(value: object) -> object:
    return value


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
    held = await engine.submit(start_at=await in_seconds(engine, 0.1))
    free = await engine.submit(start_at=await in_seconds(engine, 0.2))
    async with keeping(engine.database, valkey):
        async with engine.database.transaction() as conn:
            lock = text("select 1 from timer where task_id = :id for update")
            await conn.execute(lock, {"id": held})
            await until(lambda: _in(engine, free, "ready"))
            assert await engine.state(held) == "timer"
        await until(lambda: _in(engine, held, "ready"), 1)


async def _in(engine: Engine, task: UUID, place: str) -> bool:
    return bool(await engine.run(f"select 1 from {place} where task_id = :id", id=task))


async def test_the_clock_outlives_an_outage(
    engine: Engine, valkey: Valkey, flaky: Flaky, quick: None
) -> None:
    before = _errors("clock")
    async with keeping(flaky, valkey):
        await until(lambda: holder(engine, "clock"))
        flaky.down = True
        task = await engine.submit(start_at=await in_seconds(engine, 0.1))
        await until(lambda: _is(_errors("clock") >= before + 2))
        assert await engine.state(task) == "timer"
        flaky.down = False
        await until(lambda: _in(engine, task, "ready"), 2)


def _errors(loop: str) -> float:
    return REGISTRY.get_sample_value("podium_keeper_errors_total", {"loop": loop}) or 0.0


# -- election ----------------------------------------------------------------------------------


async def test_one_of_two_keepers_acts_and_hands_over_at_its_end(
    engine: Engine, valkey: Valkey
) -> None:
    async with keeping(engine.database, valkey) as second:
        async with keeping(engine.database, valkey) as first:
            elected = await until(lambda: holder(engine, "clock"))
            assert elected in (first._identity, second._identity)
            for _ in range(5):
                await asyncio.sleep(0.3)
                assert await holder(engine, "clock") == elected
        assert await until(lambda: holder(engine, "clock"), 1.5) == second._identity
        task = await engine.submit(start_at=await in_seconds(engine, 0.1))
        await until(lambda: _in(engine, task, "ready"), 1)
    assert await holder(engine, "clock") is None


async def test_a_keeper_that_dies_is_replaced(engine: Engine, valkey: Valkey, quick: None) -> None:
    async with keeping(engine.database, valkey) as dies:
        await until(lambda: _is_held_by(engine, dies))
        async with keeping(engine.database, valkey) as heir:
            for loop in dies._loops:
                loop.cancel()
            dies._lead.clear()  # it gives nothing up
            await until(lambda: _is_held_by(engine, heir), 3)
            task = await engine.submit(start_at=await in_seconds(engine, 0.05))
            await until(lambda: _in(engine, task, "ready"), 1)


async def _is_held_by(engine: Engine, keeper: Keeper) -> bool:
    return await holder(engine, "clock") == keeper._identity


# -- the reaper --------------------------------------------------------------------------------


class Renewing:
    """A worker that is alive: it renews its lease as long as it can."""

    def __init__(self, engine: Engine, database: Database, lease: float) -> None:
        self._engine = engine
        self._database = database
        self._lease = lease

    async def __aenter__(self) -> Self:
        self.id = await self._engine.worker(lease=self._lease)
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 4)
            try:
                await store.renew(self._database, self.id, self._lease)
            except Unavailable:
                continue

    async def state(self) -> str:
        rows = await self._engine.run("select state from worker where id = :id", id=self.id)
        return rows[0][0]


async def test_dead_workers_are_reaped_and_their_tasks_run_again(
    engine: Engine, valkey: Valkey, quick: None
) -> None:
    worker = await engine.worker(lease=0.5)
    task = await engine.submit()
    await engine.claim(worker)
    async with keeping(engine.database, valkey, lease=0.5):
        await until(lambda: _in(engine, task, "ready"), 5)
    assert (await engine.events(task))[-1] == "task.lost"


async def test_nobody_is_judged_before_a_whole_lease(
    engine: Engine, valkey: Valkey, quick: None
) -> None:
    worker = await engine.worker(lease=0.01)
    task = await engine.submit()
    await engine.claim(await engine.worker())
    await asyncio.sleep(0.05)
    async with keeping(engine.database, valkey, lease=1.5):
        await asyncio.sleep(1)
        assert (await engine.run("select state from worker where id = :id", id=worker))[0][0] == (
            "active"
        )
        await until(lambda: _dead(engine, worker), 3)
    assert await engine.state(task) == "running"


async def _dead(engine: Engine, worker: UUID) -> bool:
    rows = await engine.run("select state from worker where id = :id", id=worker)
    return rows[0][0] == "dead"


async def test_the_living_survive_an_outage(
    engine: Engine, valkey: Valkey, flaky: Flaky, quick: None
) -> None:
    """Nobody can renew for longer than a lease; then everybody can again."""
    async with keeping(flaky, valkey, lease=2), Renewing(engine, flaky, 2) as alive:
        corpse = await engine.worker(lease=0.1)
        await until(lambda: _dead(engine, corpse), 10)  # the keeper judges
        flaky.down = True
        await asyncio.sleep(3)
        flaky.down = False
        await asyncio.sleep(3)
        assert await alive.state() == "active"
        corpse = await engine.worker(lease=0.1)
        await until(lambda: _dead(engine, corpse), 10)  # and judges again


async def test_the_living_survive_a_database_that_stands_still(
    engine: Engine, valkey: Valkey, flaky: Flaky, quick: None
) -> None:
    """The server's processes are stopped for longer than a lease and continued."""
    async with keeping(flaky, valkey, lease=2), Renewing(engine, flaky, 2) as alive:
        corpse = await engine.worker(lease=0.1)
        await until(lambda: _dead(engine, corpse), 10)
        rows = await engine.run(
            "select pid from pg_stat_activity where datname = current_database()"
        )
        for row in rows:
            os.kill(row[0], signal.SIGSTOP)
        await asyncio.sleep(3)
        for row in rows:
            os.kill(row[0], signal.SIGCONT)
        await asyncio.sleep(3)
        assert await alive.state() == "active"


async def test_the_living_survive_a_sleep_of_the_machine(
    engine: Engine, valkey: Valkey, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock leaps; leases have run out; their workers renew them a moment later."""
    async with keeping(engine.database, valkey, lease=2):
        corpse = await engine.worker(lease=0.1)
        await until(lambda: _dead(engine, corpse), 10)
        slept = 0.0
        monkeypatch.setattr(module, "boottime", lambda: boottime() + slept)
        worker = await engine.worker(lease=0.01)
        slept = 100.0
        await asyncio.sleep(0.5)
        await store.renew(engine.database, worker, 60)
        await asyncio.sleep(2.5)
    assert not await _dead(engine, worker)


async def test_a_reap_that_was_delayed_does_nothing(engine: Engine) -> None:
    worker = await engine.worker(lease=0.01)
    await asyncio.sleep(0.05)
    seen = await store.now(engine.database)
    assert await store.reap(engine.database, 3, seen - timedelta(seconds=5), 3) == []
    assert await store.reap(engine.database, 3, seen, 3) == [(worker, 0)]


@pytest.mark.parametrize(
    ("error", "anew"),
    [(Contended("deadlock"), False), (ValueError("a bug"), False), (Unavailable("away"), True)],
)
async def test_only_trouble_that_workers_may_have_too_makes_the_reaper_wait_anew(
    engine: Engine,
    valkey: Valkey,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    anew: bool,  # noqa: FBT001
) -> None:
    async with keeping(engine.database, valkey, lease=0.8) as keeper:
        corpse = await engine.worker(lease=0.1)
        await until(lambda: _dead(engine, corpse), 5)
        since, before = keeper._fit_since, _errors("reaper")

        async def fails(*_: object) -> list[Any]:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(store, "reap", fails)
            await until(lambda: _is(_errors("reaper") > before))
        assert (keeper._fit_since > since) == anew


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


async def test_a_chore_that_fails_is_counted_and_done_again(engine: Engine, valkey: Valkey) -> None:
    before = _errors("fails once")
    calls = 0

    async def fails_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("not now")

    async with keeping(engine.database, valkey, Chore("fails once", 0.1, fails_once)):
        await until(lambda: _is(calls >= 2))
    assert _errors("fails once") == before + 1


async def test_workers_of_long_ago_are_forgotten_by_itself(engine: Engine, valkey: Valkey) -> None:
    old = await engine.worker()
    await engine.run("update worker set state = 'dead', lease_until = now() - interval '8 days'")
    async with keeping(engine.database, valkey):
        await until(lambda: _gone(engine, old))


async def _gone(engine: Engine, worker: UUID) -> bool:
    return not await engine.run("select 1 from worker where id = :id", id=worker)
