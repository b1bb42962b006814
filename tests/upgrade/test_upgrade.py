"""Databases of former versions, brought up to date with work in flight.

``data/`` holds what those versions left; ``record.py`` tells how it was made.
"""

import asyncio
import gzip
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from podium import app as composition
from podium.events import store as events
from podium.events.model import Cursor
from podium.kernel.settings import Settings
from podium.schedules.clock import ScheduleClock
from podium.storage.address import Address
from podium.storage.database import Database
from podium.storage.embedded.cluster import required_programs
from podium.storage.migrate import migrate, require_migrated
from podium.tasks.service import TaskService
from servers import ValkeyProcess
from slices.db.flight import Flight, engine_on, land
from slices.scheduler.engine import Engine

DATA = Path(__file__).parent / "data"
FORMER = sorted(path.name.removesuffix(".sql.gz") for path in DATA.glob("*.sql.gz"))


class Former:
    """A database as a former version left it."""

    def __init__(self, database: Database, told: dict[str, Any]) -> None:
        self.database = database
        self.told = told
        self.flight = Flight(
            UUID(told["ended"]), {name: UUID(task) for name, task in told["tasks"].items()}
        )
        self.workers = [UUID(worker) for worker in told["workers"]]

    @property
    def engine(self) -> Engine:
        engine = engine_on(self.database)
        engine.project = UUID(self.told["project"])
        engine.agents = {name: UUID(agent) for name, agent in self.told["agents"].items()}
        return engine


@pytest.fixture(params=FORMER)
async def former(
    request: pytest.FixtureRequest, server_url: str, direct_url: str
) -> AsyncIterator[Former]:
    name = f"former_{uuid4().hex}"
    admin = await asyncpg.connect(direct_url.format("postgres"))
    await admin.execute(f"create database {name}")
    told = json.loads((DATA / f"{request.param}.json").read_text())
    _load(direct_url.format(name), gzip.decompress((DATA / f"{request.param}.sql.gz").read_bytes()))
    # Its events have the transaction ids of the server that they are from.
    while (await admin.fetchval("select pg_current_xact_id()::text::bigint")) <= _xid(told):
        pass
    database = Database(server_url.format(name))
    yield Former(database, told)
    await database.close()
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


def _load(url: str, script: bytes) -> None:
    known = b"\n".join(
        line for line in script.splitlines() if not line.startswith(b"SET transaction_timeout")
    )
    done = subprocess.run(
        [required_programs(None) / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", os.devnull],
        input=known + b"\n",
        env={**os.environ, **Address.parse(url).environment},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _xid(told: dict[str, Any]) -> int:
    return Cursor.parse(told["edge"]).xid


def test_there_are_former_versions() -> None:
    assert len(FORMER) >= 4


async def test_work_in_flight_ends_exactly_once(former: Former) -> None:
    await migrate(former.database, composition.SQL_SLICES)
    await require_migrated(former.database, composition.SQL_SLICES)
    await land(former.engine, former.flight)


async def test_a_schedule_fires_once_for_the_times_that_passed(
    former: Former, settings: Settings, tmp_path: Path
) -> None:
    if not former.told.get("schedules"):
        return  # it had none yet, or one that starts nothing
    await migrate(former.database, composition.SQL_SLICES)
    url = SecretStr(former.database.address.url.render_as_string(hide_password=False))
    core = composition.build_core(settings.model_copy(update={"database_url": url}))
    tasks = TaskService(
        core.database, core.scheduler, core.agents, core.artifacts, max_payload_bytes=100_000
    )
    clock = ScheduleClock(core.database, core.scheduler, tasks)
    past = "now() - interval '3 hours'"
    await former.engine.run(f"update schedule set next_at = {past}, fires_at = {past}")
    while await clock.ring() == 0.0:
        pass
    await core.close()
    [fired] = await former.engine.run("select task_id from firing where outcome = 'started'")
    assert await former.engine.state(fired.task_id) == "ready"


async def test_readers_of_events_go_on_where_they_were(former: Former) -> None:
    async with former.database.connect() as conn:
        _, before = await events.page(conn, Cursor(0, 0, 0), 1000)
    await migrate(former.database, composition.SQL_SLICES)
    later = await former.engine.submit()
    async with former.database.connect() as conn:
        _, after = await events.page(conn, Cursor(0, 0, 0), 1000)
        _, new = await events.page(conn, before[-1].cursor, 1000)
    assert after[: len(before)] == before
    assert {event.subject for event in new} == {later}


async def test_a_worker_of_before_lives_through_it(former: Former) -> None:
    """It renews its lease all the while, and ends what it has begun."""
    worker = former.workers[0]
    await former.database.call(
        "update worker set lease_until = now() + interval '60 s' where id = any ($1)",
        former.workers,
    )
    over = asyncio.Event()
    renewed: list[set[UUID]] = []

    async def renew() -> None:
        own = former.database.apart()
        while not over.is_set():
            rows = await own.call("select * from renew_lease($1, $2)", worker, 60.0)
            renewed.append({row["task_id"] for row in rows})
        await own.close()

    renewing = asyncio.create_task(renew())
    while not renewed:
        await asyncio.sleep(0.01)
    await asyncio.gather(*(migrate(former.database, composition.SQL_SLICES) for _ in range(3)))
    before = len(renewed)
    while len(renewed) < before + 3:
        await asyncio.sleep(0.01)
    over.set()
    await renewing
    running = former.flight.tasks["running"]
    assert all(tasks == {running} for tasks in renewed)
    engine = former.engine
    [row] = await engine.run("select attempt from running where task_id = :id", id=running)
    ended = await former.database.call(
        "select * from end_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        *(worker, [running], [row.attempt], ["succeeded"], ["1"], [None], [None], [None], [None]),
    )
    assert len(ended) == 1
    assert await engine.state(running) == "succeeded"
    assert await engine.state(former.flight.tasks["blocked"]) == "ready"


async def test_a_server_of_before_does_not_run_on_a_newer_schema(
    former: Former, valkey_process: ValkeyProcess, tmp_path: Path
) -> None:
    await former.database.call("update alembic_version set version_num = '9999'")
    for command in ("server", "worker"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "podium.server", command, "--json"),
            env={
                **{name: value for name, value in os.environ.items() if "PODIUM" not in name},
                "PODIUM_HOME": str(tmp_path),
                "PODIUM_PORT": "0",
                "PODIUM_DATABASE_URL": former.database.address.url.render_as_string(
                    hide_password=False
                ),
                "PODIUM_VALKEY_URL": valkey_process.url,
            },
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(60):
            _, said = await process.communicate()
        assert process.returncode == 1
        assert '"code": "database_unsupported"' in said.decode()
        assert "newer Podium (schema 9999)" in said.decode()
