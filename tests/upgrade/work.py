"""Work in flight, made by the program that the path of modules leads to, of whatever version.

Prints as JSON the tasks by where they are, the workers, the schedule, and a cursor of the feed.
Uses nothing that was not there in the first version that it is recorded with.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from podium import app as composition
from podium.events import store as events
from podium.storage.database import Database
from podium.storage.migrate import migrate
from slices.scheduler.engine import Engine


async def main(url: str) -> None:
    database = Database(url)
    await migrate(database, composition.SQL_SLICES)
    engine = await Engine.create(database)
    print(json.dumps(await take_off(engine)))  # noqa: T201 - it is the answer
    await database.close()


async def take_off(engine: Engine) -> dict[str, Any]:
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
        "keyed": await engine.submit_keyed("key", b"hash"),
    }
    schedules = await _one(engine, "select to_regclass('schedule') is not null")
    if schedules:
        await _add_schedule(engine)
    return {
        "revision": await _one(engine, "select version_num from alembic_version"),
        "project": str(engine.project),
        "agents": {name: str(agent) for name, agent in engine.agents.items()},
        "ended": str(ended),
        "tasks": {name: str(task) for name, task in tasks.items()},
        "workers": [str(worker), str(other)],
        "schedules": schedules,
        "edge": await _edge(engine),
    }


async def _add_schedule(engine: Engine) -> None:
    await engine.run(
        "insert into schedule (id, project_id, name, every, timezone, anchor, jitter, catch_up,"
        " overlap, paused, task, may_run_code, next_at, fires_at, created_by)"
        " values (gen_random_uuid(), :project, 'pulse', 3600, 'UTC', now(), 0, 'latest', 'skip',"
        """ false, '{"agent": "echo"}', true, now() + interval '1 hour',"""
        " now() + interval '1 hour', 'test')",
        project=engine.project,
    )


async def _one(engine: Engine, query: str) -> Any:
    return (await engine.run(query))[0][0]


async def _edge(engine: Engine) -> str:
    async with engine.database.connect() as conn:
        return str((await events.edge(conn)).cursor)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
