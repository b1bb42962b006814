"""Inputs: said once however often they are sent, and either heard, told of, or refused."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

from podium.kernel.errors import Unavailable
from podium.scheduler import store as scheduler
from podium.sessions import store
from slices.sessions.test_sessions import act, events, read, say, spawn, transcript, until
from slices.tasks.conftest import Desk


async def refused(desk: Desk, session: dict[str, Any], code: str) -> str:
    """How the next input is refused, which is with this code."""
    path = f"sessions/{session['id']}/input"
    answer = await desk.call("POST", path, 409, json={"text": "are you there"})
    assert answer["code"] == code
    return answer["detail"]


async def test_an_input_with_a_key_is_said_once(own_desk: Desk) -> None:
    desk = own_desk
    session, other = await spawn(desk), await spawn(desk)
    headers = {"Idempotency-Key": "k"}

    async def send(to: dict[str, Any], text: str, data: Any, status: int = 201) -> dict[str, Any]:
        body = {"text": text, "data": data}
        path = f"sessions/{to['id']}/input"
        return await desk.call("POST", path, status, json=body, headers=headers)

    first = await send(session, "hello", {"a": 1, "b": 2})
    answers = await asyncio.gather(*(send(session, "hello", {"b": 2, "a": 1}) for _ in range(5)))
    assert answers == [first] * 5
    assert await transcript(desk, session) == [("input", "hello")]
    for text, data in (("hello!", {"a": 1, "b": 2}), ("hello", {"a": True, "b": 2})):
        assert (await send(session, text, data, 409))["code"] == "idempotency_mismatch"
    assert (await send(other, "hello!", None))["id"] == 1
    await desk.call("POST", f"agents/{session['id']}/terminate")
    assert await send(session, "hello", {"a": 1, "b": 2}) == first
    said = [data for kind, data in await events(desk, session) if kind == "session.said"]
    assert len(said) == 1


async def test_a_task_and_a_session_are_two_requests(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent("chat")
    body = {"agent": "chat", "labels": {"a": "b"}}
    for key, paths in (("one", ("tasks", "agents/spawn")), ("two", ("agents/spawn", "tasks"))):
        headers = {"Idempotency-Key": key}
        await desk.call("POST", paths[0], 201, json=body, headers=headers)
        answer = await desk.call("POST", paths[1], 409, json=body, headers=headers)
        assert answer["code"] == "idempotency_mismatch"
    assert len((await desk.call("GET", "sessions"))["items"]) == 1


async def test_what_an_agent_left_unheard_is_told(own_desk: Desk) -> None:
    desk = own_desk
    one = await spawn(desk, "guest", input=1.5, message="leave")
    two = await spawn(desk, "guest", input=1.5, message="fail", retry={"max_retries": 0})
    async with desk.worker():
        for session in (one, two):
            await until(desk, session, "working")
            await say(desk, session, "too late")
        await say(desk, two, "far too late")
        await until(desk, one, "completed", unanswered=1)
        await until(desk, two, "failed", unanswered=3)
    note = "Ended: its agent did not hear the last"
    assert (await transcript(desk, one))[-1] == ("note", f"{note} input.")
    assert (await transcript(desk, two))[-1] == ("note", f"{note} 2 inputs.")
    assert "its task is succeeded" in await refused(desk, one, "session_ended")


async def test_an_input_that_does_not_reach_a_program_is_told(own_desk: Desk) -> None:
    desk = own_desk
    deaf = {"command": ["sh", "-c", "exec <&-; echo deaf; sleep 2"], "session": {}}
    await desk.agent("deaf", runtime="command", config=deaf)
    session = await spawn(desk, "deaf")
    async with desk.worker():
        while ("say", "deaf") not in await transcript(desk, session):
            await asyncio.sleep(0.05)
        await say(desk, session, "hello")
        await until(desk, session, "completed", unanswered=1)
    assert (await transcript(desk, session))[-1][0] == "note"


async def test_nothing_is_accepted_once_its_agent_has_ended(own_desk: Desk) -> None:
    """Also not before its attempt has."""
    desk = own_desk
    session = await spawn(desk, "guest", input=0)
    async with desk.worker():
        await until(desk, session, "idle")
        async with desk.database.transaction() as conn:
            holding = sa.text("select 1 from running where task_id = :id for key share")
            await conn.execute(holding, {"id": UUID(session["id"])})
            await say(desk, session, "leave")
            while not await desk.run(
                "select 1 from session where task_id = :id and over = 1", id=session["id"]
            ):
                await asyncio.sleep(0.02)
            assert (await read(desk, session))["unanswered"] == 0
            assert "its agent has" in await refused(desk, session, "session_ended")
            assert (await act(desk, session, "pause", 409))["code"] == "session_ended"
        done = await until(desk, session, "completed")
    assert (done["entries"], done["unanswered"]) == (2, 0)


async def test_an_input_waits_for_an_end_that_is_under_way(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk)
    body = {"text": "hello"}
    async with desk.database.transaction() as conn:
        await scheduler.cancel(conn, [UUID(session["id"])], "ann", "Enough.")
        sending = asyncio.create_task(desk.api.post(f"sessions/{session['id']}/input", json=body))
        await asyncio.sleep(0.3)
        assert not sending.done()
    answer: httpx.Response = await sending
    assert (answer.status_code, answer.json()["code"]) == (409, "session_ended")
    assert await transcript(desk, session) == []


async def test_a_failed_session_takes_inputs_again_when_it_is_retried(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, "guest", input=0, message="fail", retry={"max_retries": 0})
    async with desk.worker():
        await until(desk, session, "failed", unanswered=1)
    await refused(desk, session, "session_ended")
    await desk.run(
        "update session_entry set text = 'again' where task_id = :id and n = 1", id=session["id"]
    )
    await desk.call("POST", f"tasks/{session['id']}/retry")
    await say(desk, session, "hello")
    async with desk.worker():
        await until(desk, session, "idle", unanswered=0)
    said = [text for kind, text in await transcript(desk, session) if kind == "say"]
    assert said == ["heard fail", "heard again", "heard hello"]


async def test_a_session_that_is_being_terminated_takes_nothing_more(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="think")
    async with desk.worker():
        await until(desk, session, "working")
        async with desk.database.transaction() as conn:
            holding = sa.text("select 1 from running where task_id = :id for key share")
            await conn.execute(holding, {"id": UUID(session["id"])})
            await desk.call("POST", f"agents/{session['id']}/terminate")
            await refused(desk, session, "session_ended")
        await until(desk, session, "terminated")


@pytest.mark.parametrize("what", ["input", "close"])
async def test_a_closed_session_says_so(own_desk: Desk, what: str) -> None:
    desk = own_desk
    session = await spawn(desk)
    await act(desk, session, "close")
    answer = await desk.call("POST", f"sessions/{session['id']}/{what}", 409, json={"text": "x"})
    assert answer["code"] == "session_closed"


async def test_what_a_program_never_read_was_not_heard(own_desk: Desk, tmp_path: Path) -> None:
    desk = own_desk
    script = (
        'read -r line; echo \'{"podium": "say", "text": "heard"}\';'
        f' echo \'{{"podium": "idle"}}\'; while [ ! -e {tmp_path}/end ]; do sleep 0.05; done'
    )
    config = {"command": ["sh", "-c", script], "output": "events", "session": {"input": "events"}}
    await desk.agent("short", runtime="command", config=config)
    session = await spawn(desk, "short", message="one")
    async with desk.worker():
        await until(desk, session, "idle", unanswered=0)
        await say(desk, session, "two")
        await until(desk, session, "working")
        await asyncio.sleep(0.2)
        (tmp_path / "end").touch()
        done = await until(desk, session, "completed")
    assert done["unanswered"] == 1
    last = (await transcript(desk, session))[-1]
    assert last == ("note", "Ended: its agent did not hear the last input.")


async def test_an_input_is_heard_that_came_as_the_session_was_idle_for_too_long(
    own_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And was closed by somebody before it closed itself."""
    desk = own_desk
    session = await spawn(desk, message="one", idle_timeout=0.5)
    real, blind = store.standing, False

    async def standing(database: Any, ids: Any) -> Any:
        return [] if blind else await real(database, ids)

    async def close_idle(*arguments: Any) -> bool:
        nonlocal blind
        if not blind:
            blind = True
            await say(desk, session, "two")
            await act(desk, session, "close")
        closed = await close(*arguments)
        blind = False
        return closed

    close = store.close_idle
    monkeypatch.setattr(store, "standing", standing)
    monkeypatch.setattr(store, "close_idle", close_idle)
    async with desk.worker():
        done = await until(desk, session, "completed")
    assert done["unanswered"] == 0
    assert ("say", "heard two") in await transcript(desk, session)


async def test_a_database_that_is_away_as_the_session_is_idle_ends_nothing(
    own_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = own_desk
    close, tries = store.close_idle, 0

    async def close_idle(*arguments: Any) -> bool:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("PostgreSQL is away for a moment.")
        return await close(*arguments)

    monkeypatch.setattr(store, "close_idle", close_idle)
    session = await spawn(desk, message="one", idle_timeout=0.2)
    async with desk.worker():
        done = await until(desk, session, "completed", "failed")
    assert (done["state"], done["attempt"], tries) == ("completed", 1, 3)
    assert ("note", "Closed: it was idle for 0.2 s.") in await transcript(desk, session)
