"""Schedules fire: once each time, by whichever server, with what their policies say."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from podium.kernel.errors import Unavailable
from podium.scheduler.service import Scheduler
from podium.schedules import store
from slices.schedules.conftest import ADMIN, Desk


async def task_of(desk: Desk, name: str = "s") -> dict[str, Any]:
    """The newest task of the schedule."""
    rows = await desk.run(
        "select t.id, t.labels, t.created_by, t.spec, t.priority from firing f"
        " join schedule s on s.id = f.schedule_id join task t on t.id = f.task_id"
        " where s.name = :name order by f.at desc limit 1",
        name=name,
    )
    return dict(rows[0]._mapping)


async def end(desk: Desk, *ids: object) -> None:
    """Have tasks end, as if an attempt had failed."""
    for task_id in ids:
        await desk.run("select cancel_tasks(array[cast(:id as uuid)], 'x', 'x')", id=task_id)


async def test_a_task_starts_at_its_time_and_knows_it(desk: Desk) -> None:
    made = await desk.make(task={"agent": "a", "input": 1, "labels": {"team": "x"}, "priority": 7})
    assert await desk.clock.ring() == pytest.approx(3600, abs=60)
    at = await desk.let_pass(1)
    await desk.ring()
    assert await desk.fired() == [("started", "ready")]
    task = await task_of(desk)
    told = at.isoformat().replace("+00:00", "Z")
    assert task["labels"] == {"team": "x", "schedule": "s", "scheduled_at": told}
    assert (task["created_by"], task["priority"]) == ("schedule:s", 7)
    (created, _), (fired, data) = await desk.events()
    assert (created, fired) == ("schedule.created", "schedule.fired")
    assert data == {"name": "s", "at": told, "task": str(task["id"]), "cause": "time"}
    after = await desk.get()
    assert after.next_at == at + timedelta(hours=1)
    assert list(after.earlier.open) == [task["id"]]
    assert after.updated_at == made.updated_at


async def test_many_clocks_fire_each_time_once(desk: Desk) -> None:
    """Thirty schedules with five passed times each, and six servers."""
    for number in range(30):
        await desk.make(f"s{number}", every=60.0, catch_up="all", overlap="allow_all")
        await desk.let_pass(60 * 4 + 1, f"s{number}")

    async def ring() -> None:
        clock = desk.another_clock()
        while (wait := await clock.ring()) is not None and wait <= 0.25:
            pass

    await asyncio.gather(*(ring() for _ in range(6)))
    rows = await desk.run(
        "select s.name, count(*), count(distinct f.at), count(t.id) from firing f"
        " join schedule s on s.id = f.schedule_id join task t on t.id = f.task_id group by s.name"
    )
    assert [tuple(row)[1:] for row in rows] == [(5, 5, 5)] * 30
    assert (await desk.run("select count(*) from task"))[0][0] == 150


async def test_what_fails_before_the_commit_fires_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.make()
    await desk.let_pass(1)
    submit = Scheduler.submit_in

    async def lost(*_: object) -> None:
        raise Unavailable("PostgreSQL is away.")

    monkeypatch.setattr(Scheduler, "submit_in", lost)
    with pytest.raises(Unavailable):
        await desk.clock.ring()
    assert await desk.fired() == []
    monkeypatch.setattr(Scheduler, "submit_in", submit)
    await desk.ring()
    assert await desk.fired() == [("started", "ready")]


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", ["ready", None, None]),
        ("buffer_one", ["ready", "held", None]),
        ("buffer_all", ["ready", "held", "held"]),
        ("allow_all", ["ready", "ready", "ready"]),
    ],
)
async def test_a_time_comes_while_an_earlier_task_is_open(
    desk: Desk, overlap: str, expected: list[str | None]
) -> None:
    await desk.make(overlap=overlap)
    for _ in expected:
        await desk.let_pass(1)
        await desk.ring()
    assert [state for _, state in await desk.fired()] == expected
    skipped = [data["detail"] for kind, data in await desk.events() if kind == "schedule.skipped"]
    assert len(skipped) == expected.count(None)
    assert all("of an earlier time" in why for why in skipped)


async def test_what_waits_starts_when_the_one_before_has_ended_however_it_did(desk: Desk) -> None:
    await desk.make(overlap="buffer_all")
    for _ in range(3):
        await desk.let_pass(1)
        await desk.ring()
    first, second, third = (await desk.get()).earlier.open
    await end(desk, first)
    assert [state for _, state in await desk.fired()] == ["cancelled", "ready", "held"]
    names = await desk.run("select name from dependency order by task_id")
    assert [row[0] for row in names] == ["previous", "previous"]
    await end(desk, second, third)
    assert (await desk.get()).earlier.open == []


async def test_the_other_is_cancelled(desk: Desk) -> None:
    await desk.make(overlap="cancel_other")
    for _ in range(3):
        await desk.let_pass(1)
        await desk.ring()
    assert [state for _, state in await desk.fired()] == ["cancelled", "cancelled", "ready"]
    rows = await desk.run("select error ->> 'message' from task where outcome = 'cancelled'")
    assert {row[0] for row in rows} == {"The next time of the schedule s has come."}


async def test_after_an_outage_the_policy_decides(desk: Desk) -> None:
    await desk.make(every=60.0, catch_up="skip")
    await desk.let_pass(601)
    await desk.ring()
    # The last one came a second ago: it is on time.
    assert [outcome for outcome, _ in await desk.fired()] == ["missed", "started"]
    missed = next(data for kind, data in await desk.events() if kind == "schedule.missed")
    assert missed["detail"].startswith("10 times since ")


async def test_one_that_cannot_start_its_task_says_why_and_holds_up_no_other(desk: Desk) -> None:
    await desk.run(
        "insert into queue (id, project_id, name, state)"
        " values (gen_random_uuid(), :project, 'closed', 'open')",
        project=desk.project,
    )
    await desk.make("drained", task={"agent": "a", "queue": "closed"})
    await desk.make("orphan")
    await desk.make("well")
    await desk.run("update queue set state = 'draining' where name = 'closed'")
    await desk.run(
        "update schedule set task = jsonb_set(task, '{agent}', '\"gone\"') where name = 'orphan'"
    )
    for name in ("drained", "orphan", "well"):
        await desk.let_pass(1, name)
    await desk.ring()
    assert await desk.fired("well") == [("started", "ready")]
    assert await desk.fired("drained") == await desk.fired("orphan") == [("failed", None)]
    told = {data["name"]: data["detail"] for kind, data in await desk.events() if "failed" in kind}
    assert "draining" in told["drained"]
    assert "gone" in told["orphan"]
    for name in ("drained", "orphan", "well"):
        assert (await desk.get(name)).next_at is not None


async def test_a_fault_that_may_be_mended_loses_no_time_and_holds_up_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Say a function is replaced at this moment; or the server does not know a time zone."""
    await desk.make("broken")
    await desk.make("far", cron="* * * * *")
    await desk.make("well")
    await desk.run("update schedule set timezone = 'Mars/Olympus' where name = 'far'")
    at = await desk.let_pass(30, "broken")
    await desk.let_pass(20, "far")
    await desk.let_pass(1, "well")
    submit = Scheduler.submit_in

    async def broken(self: Scheduler, conn: Any, tasks: Any) -> None:
        if any('"broken"' in task.labels for task in tasks):
            raise RuntimeError("no idea")
        await submit(self, conn, tasks)

    monkeypatch.setattr(Scheduler, "submit_in", broken)
    await desk.ring()
    assert await desk.fired("well") == [("started", "ready")]
    assert await desk.fired("broken") == await desk.fired("far") == []
    postponed = await desk.get("broken")
    assert postponed.next_at == at
    assert postponed.fires_at
    assert postponed.fires_at > at + timedelta(seconds=40)
    monkeypatch.setattr(Scheduler, "submit_in", submit)
    await desk.run("update schedule set fires_at = clock_timestamp() where name = 'broken'")
    await desk.ring()
    assert await desk.fired("broken") == [("started", "ready")]


async def test_what_somebody_else_starts_meanwhile_is_not_forgotten(desk: Desk) -> None:
    """A trigger waits for the clock's transaction, and sees what that has started."""
    await desk.make(overlap="skip")
    async with desk.database.transaction() as conn:
        await desk.schedules.get(conn, desk.project, "s", for_update=True)
        waiting = [
            asyncio.create_task(desk.schedules.trigger(ADMIN, desk.project, "s")) for _ in range(3)
        ]
        await asyncio.sleep(0.5)
    await asyncio.gather(*waiting)
    assert len((await desk.get()).earlier.open) == 3


async def test_what_waits_waits_for_all_that_run(desk: Desk) -> None:
    await desk.make(overlap="buffer_all")
    for _ in range(2):
        await desk.schedules.trigger(ADMIN, desk.project, "s")
    for _ in range(2):
        await desk.let_pass(1)
        await desk.ring()
    first, second, third, fourth = (await desk.get()).earlier.open
    assert (await desk.get()).earlier.last == [fourth]
    edges = await desk.run("select task_id, depends_on, name from dependency order by 1, 3")
    assert [tuple(edge) for edge in edges] == [
        (third, second, "previous"),
        (third, first, "previous-2"),
        (fourth, third, "previous"),
    ]
    await end(desk, second)
    assert [state for _, state in await desk.fired()].count("held") == 2
    await end(desk, first)
    assert [state for _, state in await desk.fired()].count("held") == 1


async def test_one_transaction_starts_so_much_and_no_more(desk: Desk) -> None:
    """Of large tasks fewer; what is left comes in the next."""
    await desk.make(
        task={"agent": "a", "input": "x" * 90_000},
        every=60.0,
        catch_up="all",
        overlap="allow_all",
    )
    await desk.let_pass(60 * 119 + 1)
    sizes: list[int] = []
    while await desk.clock.ring() == 0.0:
        sizes.append(len(await desk.fired()))
    assert sizes[-1] == 120
    assert 40 < sizes[0] < 60
    assert len(sizes) == 3


async def test_one_that_is_being_changed_is_left_to_its_change(desk: Desk) -> None:
    await desk.make()
    await desk.let_pass(1)
    seen = await store.due(desk.database, 10)
    await desk.change("s", note="changed since")
    async with desk.database.transaction() as conn:
        assert await store.lock_due(conn, seen) == []
    async with desk.database.transaction() as conn:
        await desk.schedules.get(conn, desk.project, "s", for_update=True)
        assert await desk.clock.ring() == 0.25
    await desk.ring()
    assert await desk.fired() == [("started", "ready")]


async def test_code_runs_only_for_who_may_run_it(desk: Desk) -> None:
    await desk.make()
    await desk.run("update schedule set may_run_code = false")
    await desk.let_pass(1)
    await desk.ring()
    assert await desk.fired() == [("failed", None)]
    assert "tasks:execute" in (await desk.events())[-1][1]["detail"]


async def test_limits_hold_for_what_schedules_start(desk: Desk) -> None:
    await desk.run(
        "insert into task_limit (id, project_id, name, concurrency)"
        " values (gen_random_uuid(), :project, 'api', 1)",
        project=desk.project,
    )
    await desk.make(task={"agent": "a", "limits": ["api"]}, overlap="allow_all")
    for _ in range(2):
        await desk.let_pass(1)
        await desk.ring()
    assert Counter(state for _, state in await desk.fired()) == {"ready": 1, "held": 1}


async def test_firings_of_long_ago_are_forgotten(desk: Desk) -> None:
    await desk.make(every=60.0, catch_up="all", overlap="allow_all")
    await desk.let_pass(300)
    await desk.ring()
    await desk.run(
        "update firing set fired_at = now() - interval '40 days' where at <"
        " (select max(at) from firing)"
    )
    await store.forget_firings(desk.database, 30)
    assert len(await desk.fired()) == 1


async def test_a_change_leaves_times_that_have_come_where_it_can(desk: Desk) -> None:
    await desk.make()
    at = await desk.let_pass(2)
    assert (await desk.change("s", jitter=10.0, note="x")).next_at == at
    changed = await desk.change("s", every=60.0)
    assert changed.next_at
    assert changed.next_at > at
    assert await desk.fired() == [("missed", None)]
    told = [data["fields"] for kind, data in await desk.events() if kind == "schedule.updated"]
    assert told == [["jitter", "note"], ["every"]]


async def test_one_that_ended_goes_on_with_what_is_to_come_when_its_end_is_moved(
    desk: Desk,
) -> None:
    await desk.make(catch_up="all", overlap="allow_all")
    for fired, later in enumerate((timedelta(days=1), None), start=1):
        await desk.let_pass(1)
        await desk.run("update schedule set ends_at = next_at")
        await desk.ring()
        assert (await desk.change("s", note=f"ended {fired}")).next_at is None
        # Times that passed after the end are not made up for.
        rows = await desk.run(
            "update schedule set anchor = anchor - interval '5 hours'"
            " returning clock_timestamp(), anchor"
        )
        now, anchor = rows[0]
        changed = await desk.change("s", ends_at=later and now + later)
        assert changed.next_at == anchor + timedelta(hours=6) > now
        await desk.ring()
        assert await desk.fired() == [("started", "ready")] * fired
    assert await desk.clock.ring() == pytest.approx(3600, abs=60)
