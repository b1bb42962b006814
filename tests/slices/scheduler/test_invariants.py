"""Random stories by many actors at once; whatever happens, the books must balance."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from uuid import UUID

import pytest

from podium.limits.gate import LimitGate
from podium.scheduler import store, upkeep
from podium.scheduler.model import Claimed, SubmitCall
from podium.storage.database import Contended, LeaseLost
from slices.scheduler.books import assert_balanced, assert_lanes_follow
from slices.scheduler.engine import Engine
from slices.scheduler.rules import limit, turn

_GATES = {"one": 1, "few": 3, "many": 50}
_RULES: Sequence[dict[str, int]] = (
    {"concurrency": 2},
    {"count": 300, "burst": 2},
    {"concurrency": 3, "count": 200, "burst": 4},
)
_LIMITS = {"k:*": ("k:1", "k:2"), "r": ("r",), "s": ("s",)}
"""Rules, and the names that tasks give."""
_QUEUES = ("default", "other")
_FEWEST = 50
"""So many tasks make a story, however slow the machine is."""
_WATCH = """
do $do$ begin
    create table overdrawn (like gate);
    create function note_overdrawn() returns trigger language plpgsql as $$
        begin insert into overdrawn select new.*; return null; end $$;
    create trigger watched after update on gate for each row
        when (new.used > old.used and new.used > new.capacity) execute function note_overdrawn();
end $do$
"""
_UNWATCH = """
do $do$ begin
    drop function note_overdrawn() cascade;
    drop table overdrawn;
end $do$
"""
_ENDS = ["succeeded"] * 4 + ["failed", "dead", "retry", "released", "parked"]


@pytest.fixture
async def engine(engine: Engine) -> AsyncIterator[Engine]:
    """One that notes gates that hand out more than they have.

    Looking at the gates from time to time could not tell: one whose limit was just lowered rightly
    has more in use than it may, until attempts end.
    """
    await engine.run(_WATCH)
    yield engine
    await engine.run(_UNWATCH)


class Story:
    """What goes on for a while, and the tasks that were ever submitted."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        self.engine = engine
        self.ids: list[UUID] = []
        self._until = asyncio.get_running_loop().time() + seconds

    def goes_on(self) -> bool:
        """For its time, and until it has something to tell of."""
        return asyncio.get_running_loop().time() < self._until or len(self.ids) <= _FEWEST

    async def work(self, dice: random.Random) -> None:
        """Claim, end attempts in every way, and sometimes die with what is held."""
        engine = self.engine
        worker, held = await engine.worker(), list[Claimed]()
        while self.goes_on():
            try:
                held += await engine.claim(worker, dice.randint(1, 5))
            except LeaseLost:
                worker, held = await engine.worker(), []
                continue
            dice.shuffle(held)
            for _ in range(dice.randint(0, len(held))):
                await self._end(worker, held.pop(), dice)
            if dice.random() < 0.05:
                await engine.let_lease_run_out(worker)
                worker, held = await engine.worker(), []
            await asyncio.sleep(dice.random() / 200)

    async def _end(self, worker: UUID, one: Claimed, dice: random.Random) -> None:
        engine, how = self.engine, dice.choice(_ENDS)
        key = f"signal:{one.task_id}:{one.attempt}"
        await engine.settle(worker, one, how, delay=dice.random() / 50, park_key=key)
        if how == "parked":
            await engine.signal(key)
        if dice.random() < 0.1:  # a stale report changes nothing
            assert not await engine.settle(worker, one, "failed")

    async def meddle(self, dice: random.Random) -> None:
        """Submit, cancel, retry, put first, and let the clock tick."""
        engine = self.engine
        while self.goes_on():
            await self._submit(dice)
            some = dice.sample(self.ids, min(len(self.ids), 3))
            if dice.random() < 0.3:
                await engine.cancel(*some)
            if dice.random() < 0.3:
                await engine.retry(*some)
            if dice.random() < 0.3:
                async with engine.database.transaction() as conn:
                    await store.reprioritise(conn, [some[0]], dice.randint(-3, 3))
            if dice.random() < 0.2:
                with suppress(Contended):
                    await limit(engine, dice.choice([*_LIMITS]), **dice.choice(_RULES))
            if dice.random() < 0.3:
                with suppress(Contended):
                    await self._open_or_close(dice)
            with suppress(Contended):  # a documented one: whoever ticks does so again
                await upkeep.fire_timers(engine.database, 100)
                await upkeep.expire_tasks(engine.database, 100)
                await engine.reap(max_losses=3)
                await upkeep.serve_refilled(engine.database, 100)
                if dice.random() < 0.1:
                    await upkeep.forget_limits(engine.database)
            await asyncio.sleep(dice.random() / 100)

    async def _open_or_close(self, dice: random.Random) -> None:
        """Pause a queue or let it go on, or have an agent fall ill or recover."""
        if dice.random() < 0.5:
            state = dice.choice(["paused", "open", "open"])
            await turn(self.engine, dice.choice(_QUEUES), state)
        else:
            agent = dice.choice([*self.engine.agents])
            await self.engine.switch(agent, f"healthy = {dice.random() < 0.7}")

    async def _submit(self, dice: random.Random) -> None:
        after = dice.sample(self.ids, min(len(self.ids), dice.choice([0, 0, 1, 3])))
        batch = [
            await self.engine.task(
                after=after,
                queue=dice.choice(_QUEUES),
                capabilities=dice.choice([(), ("odd",)]),
                needs={gate: 1 for gate in _GATES if dice.random() < 0.2},
                priority=dice.randint(-2, 2),
                on_failure=dice.choice(["cancel", "run", "hold"]),
                queue_timeout=dice.choice([None, None, 0.05]),
                limits=[
                    name for names in _LIMITS.values() for name in names if dice.random() < 0.15
                ],
            )
            for _ in range(dice.randint(1, 5))
        ]
        await self.engine.scheduler.submit(SubmitCall(batch))
        self.ids.extend(task.id for task in batch)

    async def audit(self) -> None:
        """No gate counts below nothing, and no task is in two places."""
        while self.goes_on():
            below = await self.engine.run("select * from gate where used < 0 or waiting < 0")
            assert not below, below
            twice = await self.engine.run(
                "select task_id from (select task_id from ready union all"
                " select task_id from running union all select task_id from timer union all"
                " select task_id from blocked union all select task_id from wait) x"
                " group by 1 having count(*) > 1"
            )
            assert not twice, twice
            await asyncio.sleep(0.05)

    async def finish(self) -> None:
        """Run all that is left to its end; parked and held tasks are cancelled."""
        engine = self.engine
        for queue in _QUEUES:
            await turn(engine, queue, "open")
        for agent in engine.agents:
            await engine.switch(agent, "healthy = true")
        await engine.run("update worker set lease_until = now()")
        await engine.reap(max_losses=100)
        worker = await engine.worker()
        while (
            await engine.run_all(worker)
            or await engine.fire()
            or await engine.run(
                "select 1 from gate where burst is not null and waiting > 0 or wakes_at is not null"
            )
        ):
            await upkeep.serve_refilled(engine.database, 100)
        left = await engine.run("select id from task where outcome is null")
        await engine.cancel(*(row.id for row in left))


@pytest.mark.parametrize("seed", range(3))
async def test_the_books_balance_after_any_story(engine: Engine, seed: int) -> None:
    engine.scheduler.gates = (LimitGate(),)
    for name in ("odd1", "odd2"):
        await engine.add_agent(name, capabilities=["odd"])
    await engine.set_gates(**_GATES)
    for name in _LIMITS:
        await limit(engine, name, **_RULES[0])
    story = Story(engine, seconds=1.5)
    actors = [story.work(random.Random(seed * 100 + n)) for n in range(4)]
    actors += [story.meddle(random.Random(seed * 100 + n)) for n in range(50, 52)]
    async with asyncio.TaskGroup() as group:
        for actor in (*actors, story.audit()):
            group.create_task(actor)
    overdrawn = await engine.run("select * from overdrawn")
    assert not overdrawn, overdrawn
    await assert_balanced(engine.database)
    await assert_lanes_follow(engine.database)
    await story.finish()
    open_tasks = await engine.run("select id from task where outcome is null")
    assert not open_tasks
    for gate, capacity in _GATES.items():
        assert await engine.gate(gate) == (capacity, 0, 0)
    assert len(await engine.run("select id from task")) == len(story.ids) > _FEWEST
