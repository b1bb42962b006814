"""Idle workers, which look by themselves too seldom for these tests, are woken for what is due."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events.live import WORK_LIST
from podium.kernel.ids import uuid7
from podium.scheduler import store
from podium.scheduler.model import WorkerIdentity
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from podium.worker import claiming
from servers import ValkeyProcess
from slices.worker.conftest import Shop

Story = Callable[[Shop], Awaitable[UUID]]
Change = Callable[[AsyncConnection, UUID], Awaitable[None]]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "_IDLE_SECONDS", (60.0, 60.0))


async def _is_waiting(shop: Shop, workers: int = 1) -> None:
    """Until so many workers have looked and found nothing, and listen."""
    await shop.until(lambda: _blocked(shop.wakeups.valkey, workers))


async def _blocked(valkey: Valkey, clients: int) -> bool:
    [told] = await valkey.send([("INFO", "clients")])
    return int(told["blocked_clients"]) >= clients


async def _successor(shop: Shop) -> UUID:
    first = await shop.submit("echo", 1, queue="cpu")
    second = await shop.submit("echo", 2, queue="gpu", after=[first])
    async with shop.worker(queues=("cpu",)):
        await shop.ended(second, 5)
    return second


async def _successor_of_a_busy_worker(shop: Shop) -> UUID:
    await shop.submit("sleep", 60, queue="cpu")
    return await _successor(shop)


async def _delayed(shop: Shop) -> UUID:
    return await shop.submit(
        "echo", 1, queue="gpu", start_at=datetime.now(UTC) + timedelta(seconds=0.3)
    )


async def _retried(shop: Shop) -> UUID:
    policy = {"max_retries": 2, "initial": 0.05, "jitter": 0}
    return await shop.submit("flaky", 3, queue="gpu", spec={"retry": policy})


async def _signalled(shop: Shop) -> UUID:
    task = await shop.submit("park", "answer", queue="gpu")
    await shop.until(lambda: shop.rows("wait", task))
    await _is_waiting(shop)
    await shop.engine.signal("answer")
    return task


async def _let_in_by_its_agent(shop: Shop) -> UUID:
    """It was ready all along, and another worker than the one that made room can run it."""
    await shop.engine.add_agent("sleep", limit=1)
    async with shop.worker(queues=("cpu",)):
        first = await shop.submit("sleep", 0.6, queue="cpu")
        await shop.until(lambda: shop.rows("running", first))
        second = await shop.submit("sleep", 0, queue="gpu")
        await asyncio.sleep(0.3)
        await _is_waiting(shop, 2)
        await shop.ended(second, 3)
    return second


async def _edited(shop: Shop) -> UUID:
    async def edit(conn: AsyncConnection, _task: UUID) -> None:
        shop.engine.scheduler.feed_after(conn)

    return await _let_start(shop, edit)


async def _put_first(shop: Shop) -> UUID:
    async def reprioritise(conn: AsyncConnection, task: UUID) -> None:
        await shop.engine.scheduler.reprioritise(conn, [task], 5)

    return await _let_start(shop, reprioritise)


async def _let_start(shop: Shop, change: Change) -> UUID:
    """Of what claims passed over before, ``change`` alone tells."""
    await shop.engine.run("update agent set enabled = false")
    task = await shop.submit("echo", 3, queue="gpu")
    await asyncio.sleep(0.3)
    await _is_waiting(shop)
    async with shop.engine.database.transaction() as conn:
        await conn.execute(text("update agent set enabled = true"))
        await change(conn, task)
    return task


@pytest.mark.parametrize(
    "story",
    [
        _successor,
        _successor_of_a_busy_worker,
        _delayed,
        _retried,
        _signalled,
        _put_first,
        _let_in_by_its_agent,
        _edited,
    ],
)
async def test_a_worker_bound_to_a_queue_is_woken_whatever_readies_a_task(
    shop: Shop, story: Story
) -> None:
    async with shop.worker(queues=("gpu",)):
        await _is_waiting(shop)
        assert (await shop.ended(await story(shop), 5)).outcome == "succeeded"


async def test_a_worker_that_is_about_to_stop_takes_no_wake_up_from_others(shop: Shop) -> None:
    async with shop.worker(drain=20) as stop:
        busy = await shop.submit("sleep", 3)
        await shop.until(lambda: shop.rows("running", busy))
        await _is_waiting(shop)
        async with shop.worker():
            await _is_waiting(shop, 2)
            stop.set()
            await shop.until(lambda: _state(shop, "draining"))
            for n in range(3):
                await asyncio.sleep(0.2)
                assert (await shop.ended(await shop.submit("echo", n), 2)).output == n
            assert await shop.rows("running", busy)


async def test_one_without_a_free_process_leaves_wake_ups_to_others(shop: Shop) -> None:
    await shop.engine.run("update agent set isolated = true")
    async with shop.worker(processes=0):
        async with shop.worker():
            await _is_waiting(shop)
            for n in range(4):
                assert (await shop.ended(await shop.submit("echo", n), 2)).output == n
                await asyncio.sleep(0.3 * n)
        await shop.engine.run("update agent set isolated = false")
        assert (await shop.ended(await shop.submit("echo", 4), 2)).output == 4


async def _state(shop: Shop, state: str) -> Any:
    return await shop.engine.run("select 1 from worker where state = :state", state=state)


async def test_a_changed_agent_wakes_workers_that_are_bound_to_its_queues(
    api: httpx.AsyncClient, services: Mapping[type, Any]
) -> None:
    database, valkey = services[Database], services[Valkey]
    who = WorkerIdentity(uuid7(), "w", "h", 1, "0", 1, 1, ("gpu",), ("function",), None)
    async with database.transaction() as conn:
        await store.register(conn, who, 60)
    agent = {"name": "a", "runtime": "function", "config": {"function": "checkup.survey"}}
    assert (await api.post("/agents", json=agent)).status_code == 201
    task = {"agent": "a", "queue": "gpu", "input": None}
    assert (await api.post("/tasks", json=task)).status_code == 201
    key = f"{WORK_LIST}:gpu"
    for edit in ({"enabled": False}, {"enabled": True}, {"max_concurrency": 3}, None):
        await asyncio.sleep(0.2)
        await valkey.send([("DEL", key)])
        changed = await (api.put("/agents/a", json=edit) if edit else api.delete("/agents/a"))
        assert changed.is_success
        async with asyncio.timeout(2):
            while await valkey.send([("LLEN", key)]) != [1]:
                await asyncio.sleep(0.01)


async def test_one_at_rest_looks_by_itself_when_valkey_goes(
    shop: Shop, valkey_process: ValkeyProcess
) -> None:
    async with shop.worker():
        await _is_waiting(shop)
        await valkey_process.kill()
        await shop.ended(await shop.submit("echo", 1), 5)
