"""A session while the API comes and goes."""

import asyncio

import httpx

from podium.client import AsyncPodium
from podium.kernel.web import PREFIX
from servers import LiveApi
from slices.sessions.test_sessions import act, read, say, spawn, until
from slices.tasks.conftest import Desk


async def test_it_survives_restarts_of_the_api(
    own_desk: Desk, live_api: LiveApi, admin_token: str
) -> None:
    desk = own_desk
    url, headers = f"{live_api.url}{PREFIX}", desk.api.headers
    heard: list[str] = []

    async def follow(session_id: str) -> None:
        async with AsyncPodium(live_api.url, token=admin_token) as client:
            said = client.sessions.transcript(session_id, follow=True)
            heard.extend([entry.text async for entry in said])

    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as desk.api:
        session = await spawn(desk, message="one")
        following = asyncio.create_task(follow(session["id"]))
        async with desk.worker():
            for text in ("two", "three"):
                await until(desk, session, "idle", unanswered=0)
                await live_api.stop()
                await asyncio.sleep(0.5)
                await live_api.start()
                await say(desk, session, text)
            await until(desk, session, "idle", unanswered=0)
            await desk.call("POST", f"sessions/{session['id']}/close")
            done = await until(desk, session, "completed")
            await asyncio.wait_for(following, 20)
    assert done["attempt"] == 1
    assert heard == [
        *("one", "attempt 1 begins", "heard one"),
        *("two", "heard two", "three", "heard three"),
    ]


async def test_a_worker_that_stops_waits_only_for_sessions_at_work(own_desk: Desk) -> None:
    desk = own_desk
    idle, paused = await spawn(desk), await spawn(desk)
    asked, busy = await spawn(desk, message="what?"), await spawn(desk)
    async with desk.worker(drain_seconds=600):
        for session in (idle, paused, busy):
            await until(desk, session, "idle")
        await act(desk, paused, "pause")
        await until(desk, asked, "waiting", unanswered=0)
        task = await desk.create("sleep", input=0.5)
        await desk.until(task, "running")
        assert (await desk.call("GET", "status"))["sessions"] == 4
        await say(desk, busy, "yes")  # and then it is idle
    for session in (idle, paused, asked, busy):
        assert (await read(desk, session))["state"] == "initialising"
    assert (await desk.get(task))["state"] == "succeeded"
    async with desk.worker():
        await until(desk, idle, "idle")
