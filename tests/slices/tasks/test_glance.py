"""GET overview: what goes on in one answer, of all projects, of one or of a queue."""

from typing import Any
from uuid import UUID

from podium.storage.database import Database
from podium.tasks import glance
from slices.tasks.conftest import Desk


async def overview(desk: Desk, **query: Any) -> dict[str, Any]:
    return await desk.call("GET", "overview", params=query)


async def test_what_runs_waits_and_came_last_is_told(own_desk: Desk) -> None:
    desk = own_desk
    await desk.call("POST", "projects", 201, json={"name": "other"})
    await desk.call("PUT", "queues/slow", json={"concurrency": 3, "rate": {"count": 5}})
    await desk.call("PUT", "queues/default", json={"state": "paused"})
    await desk.agent("sleep")
    sleeping = await desk.create("sleep", input=30.0, queue="slow", title="Sleeps")
    waiting = await desk.create("echo", title="Waits", delay=3600)
    paused = await desk.create("echo", title="Paused")
    async with desk.worker():
        await desk.until(sleeping, "running")
        told = await overview(desk)
        assert told["counts"] == {"running": 1, "queued": 1, "waiting": 0, "pending": 1}
        assert (told["project"], told["valkey_ok"]) == (None, True)
        (worker,) = told["workers"]
        (runs,) = told["running"]
        assert (runs["id"], runs["agent"], runs["worker"]) == (
            sleeping["id"],
            "sleep",
            worker["id"],
        )
        newest = [(each["id"], each["state"]) for each in told["newest"]]
        assert newest == [
            (paused["id"], "queued"),
            (waiting["id"], "pending"),
            (sleeping["id"], "running"),
        ]
        slow, default = told["queues"]
        assert (slow["name"], slow["running"], slow["concurrency"]) == ("slow", 1, 3)
        assert slow["rate"] == {"count": 5, "seconds": 1.0, "burst": 5}
        assert (default["name"], default["state"], default["queued"]) == ("default", "paused", 1)
        await desk.call("PUT", "queues/unused", json={"concurrency": 2})
        unused = (await overview(desk))["queues"][-1]
        assert (unused["name"], unused["queued"], unused["running"]) == ("unused", 0, 0)
        of_slow = await overview(desk, queue="slow", project="default")
        assert of_slow["project"] == "default"
        assert [each["title"] for each in of_slow["newest"]] == ["Sleeps"]
        assert [each["name"] for each in of_slow["queues"]] == ["slow"]
        assert len((await overview(desk, most=1))["newest"]) == 1
        of_other = await overview(desk, project="other")
        assert (of_other["running"], of_other["newest"], of_other["queues"]) == ([], [], [])
        assert set(of_other["counts"].values()) == {0}
        await desk.call("POST", f"tasks/{sleeping['id']}/cancel", json={})
        await desk.until(sleeping)


async def test_a_token_sees_what_it_may(own_desk: Desk) -> None:
    desk = own_desk
    await desk.call("POST", "projects", 201, json={"name": "other"})
    await desk.create("echo", title="Not theirs")
    new = {"name": "t", "preset": "viewer", "project": "other"}
    token = await desk.call("POST", "tokens", 201, json=new)
    theirs: Any = {"headers": {"Authorization": f"Bearer {token['token']}"}}
    told = await desk.call("GET", "overview", **theirs)
    assert (told["project"], told["newest"], told["workers"]) == ("other", [], None)
    await desk.call("GET", "overview", 404, params={"project": "default"}, **theirs)
    new = {"name": "t", "scopes": ["tasks:read"]}
    token = await desk.call("POST", "tokens", 201, json=new)
    headers = {"Authorization": f"Bearer {token['token']}"}
    await desk.call("GET", "overview", 403, headers=headers)


_FILL = (
    "insert into task (id, project_id, lane_id, priority, title, input, created_by, outcome,"
    "                  finished_at)"
    " select gen_random_uuid(), project_id, lane_id, 0, 't', 'null', 't', 'succeeded', now()"
    "   from task, generate_series(1, 60000) where id = :id"
)
_READY = (
    "insert into ready (lane_id, priority, task_id)"
    " select lane_id, 0, gen_random_uuid() from task, generate_series(1, 40000) where id = :id"
)


async def test_however_many_tasks_there_are_little_is_read(own_desk: Desk) -> None:
    desk = own_desk
    task = await desk.create("echo", title="First")
    await desk.run(_FILL, id=UUID(task["id"]))
    await desk.run(_READY, id=UUID(task["id"]))
    told = await overview(desk)
    assert told["counts"]["queued"] == glance.MOST_COUNTED
    assert told["queues"][0]["queued"] == glance.MOST_COUNTED
    for of in (glance.Scope(None, None), glance.Scope(None, "default")):
        assert await _read(desk.database, of) < 3 * glance.MOST_COUNTED


async def _read(database: Database, of: glance.Scope) -> int:
    """Rows of tasks that a look reads, in its own transaction."""
    async with database.transaction() as conn:
        before = await _fetched(conn)
        lanes = await glance.lanes(conn, of)
        await glance.counts(conn, lanes)
        await glance.newest(conn, of, lanes, 50)
        await glance.now_running(conn, lanes, 50)
        return await _fetched(conn) - before


async def _fetched(conn: Any) -> int:
    from sqlalchemy import text

    found = await conn.execute(
        text(
            "select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)"
            "  from pg_stat_xact_user_tables where relname in ('task', 'ready', 'running')"
        )
    )
    return int(found.scalar_one())
