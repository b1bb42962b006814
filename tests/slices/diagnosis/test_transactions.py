"""Transactions that hold others up, and those of which a role may not know."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from podium import app as composition
from podium.diagnosis import store
from podium.diagnosis.service import DiagnosisService
from podium.events.live import Feed
from podium.kernel.settings import Settings
from podium.server.db import status
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from slices.diagnosis.test_diagnosis import codes, found, metrics
from slices.tasks.conftest import Desk


@asynccontextmanager
async def session(url: str, first: str) -> AsyncGenerator[asyncpg.Connection]:
    other = await asyncpg.connect(url)
    try:
        await other.execute("begin")
        await other.execute(first)
        yield other
    finally:
        await other.close()


async def test_transactions_that_hold_back_events_or_vacuum(
    desk: Desk, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.diagnosis.servers.HOLDS_EVENTS_SECONDS", 0.2)
    url = direct_url.format(desk.database.engine.url.database)
    async with session(url, "select lock_events()") as other:
        await asyncio.sleep(0.3)
        held = await found(desk, "events_held_back", f"process {other.get_server_pid()}")
        assert held["outcome"] == "failed"
        assert "does nothing in it" in held["detail"]
        assert "pg_terminate_backend(" in held["advice"]
    async with session(url, "select 1") as other:
        await asyncio.sleep(0.3)
        assert "long_transaction" not in await codes(desk)
        monkeypatch.setattr("podium.diagnosis.servers.LONG_TRANSACTION_SECONDS", 0.1)
        process = f"process {other.get_server_pid()}"
        assert (await found(desk, "long_transaction", process))["outcome"] == "warning"
        shown = [line for line in await metrics(desk) if "_transaction_seconds{" in line]
        assert any(f'pid="{other.get_server_pid()}"' in line for line in shown)
    monkeypatch.undo()
    await asyncio.sleep(0.3)
    assert await codes(desk) == set()
    assert not any("_transaction_seconds{" in line for line in await metrics(desk))


@asynccontextmanager
async def ordinary_role(database: Database, url: str) -> AsyncGenerator[tuple[str, Database]]:
    """A role that sees of other roles' sessions what PostgreSQL shows to all."""
    role, admin = f"role_{uuid4().hex}", await asyncpg.connect(url)
    await admin.execute(f"create role {role} login password 'word' in role pg_read_all_data")
    given = make_url(url).set(username=role, password="word")
    seen = Database(given.render_as_string(hide_password=False))
    try:
        yield role, seen
    finally:
        await seen.close()
        await admin.execute(f"drop owned by {role}; drop role {role}")
        await admin.close()


async def test_what_other_roles_do_is_said_not_to_be_visible(
    prepared: Settings, database: Database, valkey: Valkey, direct_url: str
) -> None:
    url = direct_url.format(database.engine.url.database)
    async with (
        session(url, "select lock_events()") as other,
        ordinary_role(database, url) as (role, seen),
    ):
        feed = Feed(seen, valkey)
        service = DiagnosisService(seen, valkey, feed, prepared.data_dir)
        found = {each.code: each for each in await service.look(tokens=False)}
        assert f"The role {role} may not see" in found["not_visible"].detail
        assert found["not_visible"].advice.endswith(f"grant pg_monitor to {role};")
        assert "events_held_back" not in found
        feed._behind_since = time.monotonic() - 60
        held = [each for each in await service.look(tokens=False) if each.outcome == "failed"]
        assert [each.where for each in held] == [f"process {other.get_server_pid()}"]
        async with seen.connect() as conn, database.connect() as whole:
            used, _ = await store.connections(conn)
            assert abs(used - (await store.connections(whole))[0]) <= 2
        told = await status.describe(seen, composition.SQL_SLICES)
        assert told["connections"]["used"] > 2
        await other.execute(f"grant pg_monitor to {role}")
        await other.execute("commit")
        feed._behind_since = None
        assert [each.code for each in await service.look(tokens=False)] == []
