"""Sessions that name capabilities go to agents that can be talked to."""

from slices.sessions.test_sessions import act, read, transcript, until
from slices.tasks.conftest import Desk

SILENT = {"runtime": "command", "config": {"command": ["true"]}, "capabilities": ["code"]}
TALKS = {"command": ["cat"], "session": {}}
ANY = {"capabilities": ["code"], "message": "hi"}


async def test_they_go_to_agents_that_can_be_talked_to(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent("silent", **SILENT)
    told = await desk.call("POST", "agents/spawn", 422, json=ANY)
    assert told["detail"] == "No agent of this project that has code can be talked to."
    assert told["errors"][0]["field"] == "capabilities"
    made = await desk.agent("chat", capabilities=["code"])
    assert made["capabilities"] == ["code"]
    sessions = [await desk.call("POST", "agents/spawn", 201, json=ANY) for _ in range(6)]
    assert (await desk.get(sessions[0]))["capabilities"] == ["code"]
    async with desk.worker():
        for each in sessions:
            assert (await until(desk, each, "idle", unanswered=0))["agent"] == "chat"
            assert ("say", "heard hi") in await transcript(desk, each)
            assert "with the capability code that" in (await desk.explain(each))["agent"]["how"]
            await act(desk, each, "close")
            await until(desk, each, "completed")


async def test_one_waits_while_no_such_agent_can_be_talked_to(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent("other", **SILENT | {"config": TALKS})
    stuck = {**ANY, "sticky": "customer:1"}
    session = await desk.call("POST", "agents/spawn", 201, json=stuck)
    await desk.call("PUT", "agents/other", json={"config": SILENT["config"]})
    why = (await desk.explain(session))["why"]
    assert why.startswith("No agent of this project that has the capability code can be talked to.")
    findings = (await desk.call("GET", "diagnosis"))["findings"]
    (found,) = [each for each in findings if each["code"] == "no_agent"]
    assert "the capability code of an agent that can be talked to" in found["detail"]
    task = await desk.create(None, capabilities=["code"])
    async with desk.worker():
        await desk.until(task, "succeeded")
        assert (await read(desk, session))["state"] == "initialising"
        edited = {"capabilities": ["code", "more"], "config": TALKS}
        changed = await desk.call("PUT", "agents/other", json=edited)
        assert changed["capabilities"] == ["code", "more"]
        assert (await until(desk, session, "idle", "working"))["agent"] == "other"
        await desk.call("PUT", "agents/other", json={"capabilities": ["code"]})
        again = await desk.call("POST", "agents/spawn", 201, json=ANY)
        await until(desk, again, "idle", "working")
        for each in (session, again):
            await desk.call("POST", f"agents/{each['id']}/terminate")
            await until(desk, each, "terminated")
