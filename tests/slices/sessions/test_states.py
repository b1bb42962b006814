"""What a session is at, as it is read and as its events tell."""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from itertools import groupby, pairwise
from typing import Any
from uuid import UUID

from podium.sessions import store
from slices.sessions.test_sessions import events, read, say, spawn, transcript, until
from slices.tasks.conftest import Desk

AGAIN = {"task.lost", "task.released", "task.retrying"}
ENDS = {
    "task.completed": "completed",
    "task.failed": "failed",
    "task.dead": "failed",
    "task.cancelled": "terminated",
}


def states(told: Iterable[tuple[str, Any]]) -> list[str]:
    """The states that events tell, one after the other."""
    found: list[str] = []
    for kind, data in told:
        state = ENDS.get(kind) or ("initialising" if kind in AGAIN else None)
        if kind == "session.changed":
            state = data["state"]
        if state is not None and found[-1:] != [state]:
            found.append(state)
    return found


async def test_events_tell_every_change(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(
        desk, "guest", input=0, message="one", retry={"max_retries": 1, "initial": 0.1}
    )

    async def told() -> list[str]:
        found = states(await events(desk, session))
        assert found[-1] == (await read(desk, session))["state"]
        return found

    assert await told() == ["initialising"]
    async with desk.worker(drain_seconds=0):
        await until(desk, session, "idle", unanswered=0)
        assert (await told())[:2] == ["initialising", "working"]
    assert (await told())[-1] == "initialising"
    kinds = [kind for kind, _ in await events(desk, session)]
    # Its agent was ended, so it is told before the task is handed back.
    assert kinds[-2:] == ["session.changed", "task.released"]
    async with desk.worker():
        await until(desk, session, "idle")
        await say(desk, session, "fail")
        await until(desk, session, "failed")
    changes = [each for each, _ in groupby(each for each in await told() if each != "idle")]
    assert changes[-4:] == ["working", "initialising", "working", "failed"]


async def test_an_attempt_that_was_just_claimed_is_initialising(own_desk: Desk) -> None:
    """Whatever the one before it was at."""
    desk = own_desk
    session = await spawn(desk, message="one")
    async with desk.worker(drain_seconds=0):
        await until(desk, session, "idle", unanswered=0)
    lost = "update session set state = 'idle' where task_id = :id"  # as a dead worker leaves it
    await desk.run(lost, id=session["id"])
    assert (await read(desk, session))["state"] == "initialising"
    async with AsyncExitStack() as stack:
        async with desk.database.transaction() as conn:
            await store.lock(conn, UUID(session["id"]))
            await stack.enter_async_context(desk.worker())
            await desk.until(session, "running")
            assert (await read(desk, session))["state"] == "initialising"
        await until(desk, session, "idle")
    told = [
        data["state"] for kind, data in await events(desk, session) if kind == "session.changed"
    ]
    assert ("initialising", "initialising") in pairwise(told)


async def test_an_attempt_that_was_lost_says_nothing_more(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="one")
    task_id = UUID(session["id"])
    async with desk.worker(drain_seconds=0):
        first = (await until(desk, session, "idle", unanswered=0))["running_on"]["worker"]
    async with desk.worker():
        again = await until(desk, session, "idle", unanswered=0)
        while again["running_on"] is None or again["running_on"]["worker"] == first:
            again = await read(desk, session)
        await until(desk, session, "idle")
        before = (await read(desk, session), await events(desk, session))
        stale = (desk.database, UUID(first), task_id, 1)
        said = [("say", "late", None)]
        assert await store.begin(*stale) is None
        assert await store.tell(*stale, said, "working", 99) is False
        assert await store.close_idle(*stale, 99, "late") is True
        await store.leave(*stale, None, 0, dealt_with=True)
        assert (await read(desk, session), await events(desk, session)) == before
    assert "late" not in [text for _, text in await transcript(desk, session)]
