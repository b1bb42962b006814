"""Sessions from their start to their end, with a real worker."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from slices.tasks.conftest import NOBODY, Desk

Said = tuple[str, str]


async def spawn(desk: Desk, agent: str = "chat", **fields: Any) -> dict[str, Any]:
    if agent not in desk.registered:
        await desk.agent(agent)
    return await desk.call("POST", "agents/spawn", 201, json={"agent": agent, **fields})


async def say(desk: Desk, session: dict[str, Any], text: str, **fields: Any) -> dict[str, Any]:
    path = f"sessions/{session['id']}/input"
    return await desk.call("POST", path, 201, json={"text": text, **fields})


async def read(desk: Desk, session: dict[str, Any]) -> dict[str, Any]:
    return await desk.call("GET", f"sessions/{session['id']}")


async def until(
    desk: Desk, session: dict[str, Any], *states: str, unanswered: int | None = None
) -> dict[str, Any]:
    """The session once it is in one of the states, with so many inputs unanswered."""
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(15):
            while True:
                found = await read(desk, session)
                if found["state"] in states and unanswered in (None, found["unanswered"]):
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"the session is still {found}, {await transcript(desk, session)}")


async def transcript(desk: Desk, session: dict[str, Any], **params: Any) -> list[Said]:
    path = f"sessions/{session['id']}/transcript"
    found = await desk.call("GET", path, params=params)
    return [(each["kind"], each["text"]) for each in found["items"]]


async def act(desk: Desk, session: dict[str, Any], what: str, status: int = 200) -> dict[str, Any]:
    return await desk.call("POST", f"sessions/{session['id']}/{what}", status)


async def events(desk: Desk, session: dict[str, Any]) -> Sequence[tuple[str, Any]]:
    found = await desk.call("GET", "events", params={"subject": session["id"], "limit": 1000})
    return [(each["type"], each["data"]) for each in found["items"]]


async def test_a_conversation(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="hello", data={"x": [1]}, input={"given": True})
    assert (session["state"], session["agent"]) == ("initialising", "chat")
    assert (session["entries"], session["unanswered"], session["title"]) == (1, 1, "hello")
    async with desk.worker():
        idle = await until(desk, session, "idle", unanswered=0)
        assert idle["running_on"]["agent"] == "chat"
        asked = await say(desk, session, "really?")
        assert (asked["kind"], asked["author"]) == ("input", "admin:local")
        assert (await until(desk, session, "waiting", unanswered=0))["paused"] is False
        for n in range(5):
            await say(desk, session, f"n{n}")
        await until(desk, session, "idle", unanswered=0)
        assert (await act(desk, session, "close"))["closed"] is True
        done = await until(desk, session, "completed")
    said = await transcript(desk, session)
    assert said[:6] == [
        ("input", "hello"),
        ("say", "attempt 1 begins"),
        ("say", "heard hello"),
        ("input", "really?"),
        ("ask", "which really?"),
        ("input", "n0"),
    ]
    assert sorted(said[6:]) == sorted(
        [("input", f"n{n}") for n in range(1, 5)] + [("say", f"heard n{n}") for n in range(5)]
    )
    assert [text for kind, text in said if kind == "say"][2:] == [f"heard n{n}" for n in range(5)]
    assert (done["entries"], done["closed"], done["attempt"]) == (len(said), True, 1)
    task = await desk.get(session)
    assert task["interactive"] is True
    heard = ["hello", "really?", *(f"n{n}" for n in range(5))]
    assert task["output"] == {"heard": heard, "earlier": [], "given": {"given": True}}
    items = (await desk.call("GET", f"sessions/{session['id']}/transcript"))["items"]
    assert [each["id"] for each in items] == list(range(1, len(said) + 1))
    assert (items[0]["data"], items[2]["data"], items[4]["data"]) == (
        {"x": [1]},
        {"x": [1]},
        {"choices": [1, 2]},
    )
    assert (items[0]["attempt"], items[1]["attempt"]) == (None, 1)


async def test_what_happens_is_told_by_events(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="yes?")
    async with desk.worker():
        await until(desk, session, "waiting", unanswered=0)
        await act(desk, session, "pause")
        await act(desk, session, "resume")
        await act(desk, session, "close")
        await until(desk, session, "completed")
    told = await events(desk, session)
    kinds = [kind for kind, _ in told]
    assert kinds[0] == "task.created"
    assert kinds[-1] == "task.completed"
    covered = [
        n
        for kind, data in told
        if kind == "session.said"
        for n in range(data["first"], data["last"] + 1)
    ]
    assert covered == list(range(1, len(await transcript(desk, session)) + 1))
    changes = [(data["state"], data["paused"]) for kind, data in told if kind == "session.changed"]
    assert ("waiting", True) in changes
    assert changes[changes.index(("waiting", True)) + 1] == ("waiting", False)
    assert kinds.count("session.closed") == 1


async def test_a_paused_session_stands_still(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="count")

    async def counted() -> int:
        progress = (await desk.get(session))["progress"]
        return int(progress["note"]) if progress and progress["note"] else 0

    async with desk.worker():
        await until(desk, session, "working")
        while await counted() < 1:
            await asyncio.sleep(0.05)
        assert (await act(desk, session, "pause"))["paused"] is True
        await asyncio.sleep(0.6)
        before = await counted()
        await asyncio.sleep(0.5)
        assert await counted() == before
        again = await act(desk, session, "pause")
        assert (again["state"], again["paused"]) == ("working", True)
        await act(desk, session, "resume")
        while await counted() <= before:
            await asyncio.sleep(0.05)
        await act(desk, session, "pause")
        ended = await desk.call("POST", f"agents/{session['id']}/terminate")
        assert ended == {"sessions": [session["id"]]}
        await until(desk, session, "terminated")


async def test_one_that_is_paused_before_it_begins_waits(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="hello")
    await act(desk, session, "pause")
    async with desk.worker():
        await desk.until(session, "running")
        await asyncio.sleep(0.5)
        assert await transcript(desk, session) == [("input", "hello")]
        await act(desk, session, "resume")
        await until(desk, session, "idle", unanswered=0)


async def test_all_sessions_of_an_agent_are_terminated(own_desk: Desk) -> None:
    desk = own_desk
    waiting = await spawn(desk, queue="elsewhere")
    async with desk.worker(worker_queues=["default"]):
        running = await spawn(desk, message="think")
        await until(desk, running, "working")
        other = await desk.agent("echo")
        assert await desk.call("POST", f"agents/{other['id']}/terminate") == {"sessions": []}
        ended = await desk.call("POST", "agents/chat/terminate", json={"reason": "Enough."})
        assert set(ended["sessions"]) == {waiting["id"], running["id"]}
        await until(desk, running, "terminated")
    assert (await read(desk, waiting))["state"] == "terminated"
    assert await desk.call("POST", "agents/chat/terminate") == {"sessions": []}
    await desk.call("POST", f"agents/{NOBODY}/terminate", 404)
    for what in ("pause", "resume", "close"):
        assert "has ended" in (await act(desk, waiting, what, 409))["detail"]
    path = f"sessions/{waiting['id']}"
    refused = await desk.call("POST", f"{path}/input", 409, json={"text": "x"})
    assert refused["code"] == "session_ended"
    await desk.call("DELETE", path, 204)
    await desk.call("GET", path, 404)
    await desk.call("GET", f"tasks/{waiting['id']}", 404)
    assert await desk.run("select 1 from session_entry where task_id = :id", id=running["id"])
    assert not await desk.run("select 1 from session where task_id = :id", id=waiting["id"])


async def test_an_idle_session_is_closed(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="hello", idle_timeout=0.5)
    async with desk.worker():
        done = await until(desk, session, "completed")
    assert done["closed"] is True
    assert (await transcript(desk, session))[-1] == ("note", "Closed: it was idle for 0.5 s.")
    refused = await desk.call(
        "POST", f"sessions/{session['id']}/input", 409, json={"text": "are you there"}
    )
    assert "has ended" in refused["detail"]


async def test_the_next_attempt_goes_on_where_the_last_was_lost(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="one")
    async with desk.worker(drain_seconds=0):
        await until(desk, session, "idle", unanswered=0)
        await say(desk, session, "think")
        await until(desk, session, "working")
    assert (await read(desk, session))["state"] == "initialising"
    await say(desk, session, "three")
    await desk.run(
        "update session_entry set text = 'two' where task_id = :id and text = 'think'",
        id=session["id"],
    )
    async with desk.worker():
        await until(desk, session, "idle", unanswered=0)
        await act(desk, session, "close")
        await until(desk, session, "completed")
    output = (await desk.get(session))["output"]
    assert output["heard"] == ["two", "three"]
    assert output["earlier"] == ["one", "attempt 1 begins", "heard one"]
    assert (await read(desk, session))["attempt"] == 2


async def test_what_was_said_before_it_was_closed_is_heard(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="one")
    for n in range(50):
        await say(desk, session, f"n{n}")
    await act(desk, session, "close")
    refused = await desk.call("POST", f"sessions/{session['id']}/input", 409, json={"text": "more"})
    assert "is closed" in refused["detail"]
    async with desk.worker():
        await until(desk, session, "completed")
    heard = (await desk.get(session))["output"]["heard"]
    assert heard == ["one", *(f"n{n}" for n in range(50))]


async def test_the_last_words_are_kept(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, "farewell", message="go")
    async with desk.worker():
        await until(desk, session, "completed")
        other = await spawn(desk, "farewell", message="go")
        await until(desk, other, "completed")
    assert await transcript(desk, session) == [("input", "go"), ("say", "bye")]


async def test_one_that_is_paused_and_closed_goes_on(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="hello")
    async with desk.worker():
        await until(desk, session, "idle", unanswered=0)
        await act(desk, session, "pause")
        await say(desk, session, "again")
        await act(desk, session, "close")
        await asyncio.sleep(0.5)
        assert (await read(desk, session))["unanswered"] == 1
        await act(desk, session, "resume")
        await until(desk, session, "completed")
    assert (await transcript(desk, session))[-1] == ("say", "heard again")


async def test_large_entries_come_in_small_pages(own_desk: Desk, monkeypatch: Any) -> None:
    desk = own_desk
    monkeypatch.setattr("podium.sessions.service._PAGE_BYTES", 1000)
    session = await spawn(desk)
    for n in range(5):
        await say(desk, session, str(n) * 400)
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await desk.call(
            "GET", f"sessions/{session['id']}/transcript", params={"after": after}
        )
        assert 1 <= len(page["items"]) <= 3
        seen += [each["text"][0] for each in page["items"]]
        after = page["next"]
    assert seen == list("01234")
    for body in ({"text": "x" * 1025}, {"text": "x", "data": "x" * 1025}):
        path = f"sessions/{session['id']}/input"
        assert (await desk.call("POST", path, 413, json=body))["code"] == "too_large"


async def test_who_may_configure_one(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent("chat")
    scopes = ["tasks:read", "tasks:write", "tasks:execute", "agents:execute"]
    new = {"name": "talker", "scopes": scopes}
    secret = (await desk.call("POST", "tokens", 201, json=new))["token"]
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"agent": "chat", "config": {"function": "worker_agents:echo"}}
    refused = await desk.call("POST", "agents/spawn", 403, json=body, headers=headers)
    assert "agents:write" in refused["detail"]
    await desk.call("POST", "agents/spawn", 201, json={"agent": "chat"}, headers=headers)


async def test_silence_counts_only_while_the_agent_works(own_desk: Desk) -> None:
    desk = own_desk
    session = await spawn(desk, message="hello", timeouts={"heartbeat": 0.5})
    async with desk.worker():
        await until(desk, session, "idle", unanswered=0)
        await asyncio.sleep(1)
        assert (await read(desk, session))["state"] == "idle"
        await say(desk, session, "think")
        failed = await until(desk, session, "failed")
    assert failed["error"]["code"] == "heartbeat_timeout"


async def test_a_session_has_a_configuration_of_its_own(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent("chat")
    wrong = {"agent": "chat", "config": {"function": "os:system"}}
    await desk.call("POST", "agents/spawn", 422, json=wrong)
    session = await spawn(desk, config={"function": "worker_agents:echo"}, input="as echo")
    async with desk.worker():
        await until(desk, session, "completed")
    assert (await desk.get(session))["output"] == "as echo"
    assert (await desk.call("GET", "agents/chat"))["version"] == 1


async def test_a_call_with_a_key_begins_one_session(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent("chat")
    headers = {"Idempotency-Key": "once"}
    body = {"agent": "chat", "message": "hello"}
    first = await desk.call("POST", "agents/spawn", 201, json=body, headers=headers)
    again = await desk.call("POST", "agents/spawn", 201, json=body, headers=headers)
    assert again["id"] == first["id"]
    assert await transcript(desk, first) == [("input", "hello")]
    await desk.call("DELETE", "agents/chat", 204)
    again = await desk.call("POST", "agents/spawn", 201, json=body, headers=headers)
    assert again["id"] == first["id"]
    await desk.agent("chat")
    other = {**body, "message": "bye"}
    refused = await desk.call("POST", "agents/spawn", 409, json=other, headers=headers)
    assert refused["code"] == "idempotency_mismatch"


async def test_lists(own_desk: Desk) -> None:
    desk = own_desk
    made = [await spawn(desk, labels={"n": str(n % 2)}) for n in range(4)]
    await desk.agent("other", config={"function": "worker_agents:chat"})
    made.append(await spawn(desk, "other"))
    await desk.call("POST", f"agents/{made[0]['id']}/terminate")

    async def listed(**params: Any) -> list[int]:
        found = await desk.call("GET", "sessions", params=params)
        ids = [each["id"] for each in made]
        return [ids.index(each["id"]) for each in found["items"]]

    assert await listed() == [4, 3, 2, 1, 0]
    assert await listed(state="terminated") == [0]
    assert await listed(state=["initialising", "idle"]) == [4, 3, 2, 1]
    assert await listed(agent="other") == [4]
    assert await listed(label="n:1") == [3, 1]
    page = await desk.call("GET", "sessions", params={"limit": 3})
    assert await listed(cursor=page["next"]) == [1, 0]


async def test_wrong_requests_are_told(own_desk: Desk) -> None:
    desk = own_desk
    task = await desk.create("echo")
    await desk.call("GET", f"sessions/{task['id']}", 404)
    await desk.call("GET", f"sessions/{task['id']}/transcript", 404)
    await desk.call("POST", f"sessions/{task['id']}/input", 404, json={"text": "x"})
    await desk.call("GET", f"sessions/{NOBODY}", 404)
    await desk.agent("silent", runtime="command", config={"command": ["cat"]})
    refused = await desk.call("POST", "agents/spawn", 422, json={"agent": "silent"})
    assert "cannot be talked to" in refused["detail"]
    for body in (
        {},
        {"agent": "nobody-is-this", "capabilities": ["x"]},
        {"capabilities": ["x"], "config": {}},
        {"agent": "echo", "data": 1},
        {"agent": "echo", "idle_timeout": 0},
        {"agent": "echo", "depends_on": []},
    ):
        await desk.call("POST", "agents/spawn", 422, json=body)
    await desk.call("POST", "agents/spawn", 404, json={"agent": "nobody-is-this"})
    session = await spawn(desk, "echo")
    for body in ({}, {"text": 1}, {"text": "x", "more": 1}):
        await desk.call("POST", f"sessions/{session['id']}/input", 422, json=body)
