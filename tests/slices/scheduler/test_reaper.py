"""The reaper buries the dead, and never who is alive, whatever stood still meanwhile."""

import asyncio
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import psutil
import pytest

from podium.kernel.clock import boottime
from podium.kernel.errors import Unavailable
from podium.scheduler import keeper as module
from podium.scheduler import store, upkeep
from podium.scheduler.upkeep import Standing
from podium.storage.database import Contended, Database
from podium.storage.valkey import Valkey
from slices.scheduler import keepers
from slices.scheduler.engine import Engine
from slices.scheduler.keepers import (
    Flaky,
    as_is,
    errors_of,
    is_in,
    keeping,
    make_keeper,
    until,
)

engine = keepers.engine
"""The one whose wake-ups reach keepers."""


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
        await until(lambda: is_in(engine, task, "ready"), 5)
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
        [own] = await engine.run("select pg_backend_pid()")
        server = psutil.Process(own[0]).parent()
        assert server
        server.suspend()  # first: it begins no more processes
        try:
            sessions = server.children()
            for session in sessions:
                session.suspend()
            await asyncio.sleep(3)
            for session in sessions:
                session.resume()
        finally:
            server.resume()
        await asyncio.sleep(3)
        assert await alive.state() == "active"


async def test_a_standstill_right_after_an_outage_is_noticed(
    engine: Engine, valkey: Valkey, flaky: Flaky, quick: None
) -> None:
    async with keeping(flaky, valkey, lease=1.5) as keeper:
        corpse = await engine.worker(lease=0.1)
        await until(lambda: _dead(engine, corpse), 10)
        before = errors_of("reaper")
        flaky.down = True
        await until(lambda: as_is(errors_of("reaper") > before))
        flaky.down, flaky.answers_after = False, 2.5
        outage = keeper._fit_since
        await until(lambda: as_is(keeper._fit_since > outage + 2), 5)


@pytest.mark.parametrize(("looked", "spared"), [(1.0, False), (7.5, True)])
async def test_one_elected_anew_that_did_not_look_for_long_watches_first(
    engine: Engine,
    valkey: Valkey,
    monkeypatch: pytest.MonkeyPatch,
    looked: float,
    spared: bool,  # noqa: FBT001
) -> None:
    """An outage that cost workers their leases may lie between two looks of a candidate."""
    moment = 1000.0
    monkeypatch.setattr(module, "boottime", lambda: moment)
    keeper = make_keeper(engine.database, valkey, lease=12)
    worker = await engine.worker(lease=0.01)
    await asyncio.sleep(0.05)
    keeper._begin_to_watch()
    moment += 4
    for leads, again, pause in ((False, 7.0, 7.0), (False, looked, looked), (True, 1.0, 0.0)):
        now = (await engine.run("select clock_timestamp()"))[0][0]
        await keeper._look_for_dead(Standing(leads, now), again)
        moment += pause
    assert await _dead(engine, worker) != spared


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
    seen = (await engine.run("select clock_timestamp()"))[0][0]
    assert await upkeep.reap(engine.database, 3, seen - timedelta(seconds=5), 3) == []
    assert await upkeep.reap(engine.database, 3, seen, 3) == [(worker, 0)]


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
        since, before = keeper._fit_since, errors_of("reaper")

        async def fails(*_: object) -> list[Any]:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(upkeep, "reap", fails)
            await until(lambda: as_is(errors_of("reaper") > before))
        assert (keeper._fit_since > since) == anew
