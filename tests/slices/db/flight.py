"""Work in every state that a task may be in, and what must come of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from podium.events.live import Wakeups
from podium.scheduler.service import Scheduler
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from slices.scheduler.books import assert_balanced
from slices.scheduler.engine import Engine


def engine_on(database: Database) -> Engine:
    """An engine on a database that has projects and agents already."""
    valkey = Valkey("unix:///nowhere.sock")
    valkey.available = False
    return Engine(database, Scheduler(database, Wakeups(valkey)))


@dataclass
class Flight:
    """Tasks by where they are. Those that have ended stay so; all others are to succeed."""

    ended: UUID
    tasks: dict[str, UUID]

    async def states(self, engine: Engine) -> dict[str, str]:
        return {name: await engine.state(task) for name, task in self.tasks.items()}


STATES = {
    "queued": "ready",
    "running": "running",
    "lost": "running",
    "scheduled": "timer",
    "retried": "timer",
    "blocked": "blocked",
    "held": "wait",
    "parked": "wait",
}


async def take_off(engine: Engine) -> Flight:
    """Have work under way in a database."""
    await engine.set_gates(room=1)
    worker, other = await engine.worker(), await engine.worker()
    ended = await engine.submit()
    await engine.run_one(worker)
    retried = await engine.submit()
    await engine.run_one(worker, "retry", delay=3600.0, error='{"code": "again"}')
    parked = await engine.submit()
    await engine.run_one(worker, "parked", park_key="answer")
    running = await engine.submit(needs={"room": 1})
    await engine.claim(worker, 1)
    lost = await engine.submit()
    await engine.claim(other, 1)
    tasks = {
        "running": running,
        "lost": lost,
        "retried": retried,
        "parked": parked,
        "held": await engine.submit(needs={"room": 1}),
        "blocked": await engine.submit(after=[running]),
        "scheduled": await engine.submit(start_at=datetime.now(UTC) + timedelta(hours=1)),
        "queued": await engine.submit(),
    }
    flight = Flight(ended, tasks)
    assert await flight.states(engine) == STATES
    return flight


async def land(engine: Engine, flight: Flight) -> None:
    """See all of it end, each task once, with workers that did not begin it."""
    assert sum((await engine.reap()).values()) == 2
    assert await engine.fire() == 2
    await engine.signal("answer")
    worker = await engine.worker()
    assert await engine.run_all(worker) == len(flight.tasks)
    for name, task in {**flight.tasks, "ended": flight.ended}.items():
        assert await engine.state(task) == "succeeded", name
        outcomes = [outcome for _, outcome in await engine.attempts(task)]
        assert outcomes.count("succeeded") == 1, (name, outcomes)
        assert (await engine.events(task)).count("task.completed") == 1, name
    await assert_balanced(engine.database)
