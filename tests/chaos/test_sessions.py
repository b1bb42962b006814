"""Workers are killed and stopped in the middle of sessions: what was said is kept, and answered."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from chaos.agents import STEPS
from chaos.installation import installed
from chaos.ledger import Ledger
from podium.client import AsyncPodium
from podium.client.models import Session, TranscriptEntry

ISOLATIONS = ("inline", "process")
LEASE_SECONDS = 3


async def _begin(client: AsyncPodium, journal: Path, isolation: str) -> str:
    config = {"function": "chaos.agents:talker", "isolation": isolation}
    await client.agents.create(name=isolation, runtime="function", config=config)
    given = {"journal": str(journal), "key": isolation}
    return (await client.sessions.spawn(agent=isolation, input=given, message="one")).id


async def _until_idle(client: AsyncPodium, session_id: str) -> Session:
    async with asyncio.timeout(30):
        while True:
            session = await client.sessions.get(session_id)
            if (session.state, session.unanswered) == ("idle", 0):
                return session
            await asyncio.sleep(0.05)


async def _said(client: AsyncPodium, session_id: str) -> list[TranscriptEntry]:
    return [entry async for entry in client.sessions.transcript(session_id)]


async def _until_attempt(client: AsyncPodium, session_id: str, attempt: int, text: str) -> None:
    """Wait until this attempt has said this."""
    async with asyncio.timeout(30):
        while not any(
            (entry.attempt, entry.text) == (attempt, text)
            for entry in await _said(client, session_id)
        ):
            await asyncio.sleep(0.05)


async def _serving(client: AsyncPodium, session_id: str) -> int:
    """The process of the worker that serves a session."""
    on = (await client.sessions.get(session_id)).running_on
    assert on is not None
    return {worker.id: worker.pid for worker in await client.workers.list()}[on.worker]


async def _strike(client: AsyncPodium, sessions: list[str], number: int) -> set[int]:
    """Send a signal to the workers of sessions whose agents are in the middle of their work."""
    for session in sessions:
        await client.sessions.send(session, "work")
        await client.sessions.send(session, "three")
    for session in sessions:
        await _until_attempt(client, session, 1, "step 3")
    struck = {await _serving(client, session) for session in sessions}
    for worker in struck:
        os.kill(worker, number)
    for session in sessions:
        await client.sessions.send(session, "four")
    return struck


async def _assert_whole(client: AsyncPodium, session_id: str) -> None:
    """Nothing is missing, doubled or out of order, and the dead attempt said nothing more."""
    entries = await _said(client, session_id)
    assert [entry.id for entry in entries] == list(range(1, len(entries) + 1))
    inputs = [entry.text for entry in entries if entry.kind == "input"]
    assert inputs == ["one", "work", "three", "four"]
    words = [(entry.attempt or 0, entry.text) for entry in entries if entry.kind == "say"]
    assert sorted(words, key=lambda word: word[0]) == words, "the dead attempt spoke"
    steps = [f"step {step}" for step in range(STEPS)]
    first = [text for attempt, text in words if attempt == 1]
    assert first == ["heard one", *steps[: len(first) - 1]]
    second = [text for attempt, text in words if attempt == 2]
    assert second == [*steps, "heard work", "heard three", "heard four"]
    outcomes = [each.outcome for each in await client.tasks.attempts(session_id)]
    assert outcomes == ["lost", "succeeded"]
    told = [each async for each in client.events.list(subjects=[session_id], after="0.0.0")]
    after = told[[each.type for each in told].index("task.lost") :]
    changes = [each.data["state"] for each in after if each.type == "session.changed"]
    assert changes[0] == "initialising"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.timeout(120)
async def test_a_session_outlives_its_worker(tmp_path: Path, number: signal.Signals) -> None:
    """Also one that goes on when its lease is long over."""
    async with (
        installed(tmp_path / "home", workers=3, lease_seconds=LEASE_SECONDS) as running,
        running.client() as client,
    ):
        ledger = Ledger(tmp_path / "journal")
        sessions = [await _begin(client, ledger.journal, each) for each in ISOLATIONS]
        for session in sessions:
            await _until_idle(client, session)
        struck = await _strike(client, sessions, number)
        began = time.monotonic()
        for session in sessions:
            await _until_attempt(client, session, 2, "step 0")
        # A reaper judges after it was awake for one lease itself.
        assert time.monotonic() - began < 4 * LEASE_SECONDS
        if number == signal.SIGSTOP:
            for worker in struck:
                os.kill(worker, signal.SIGCONT)
        for session in sessions:
            await _until_idle(client, session)
            await client.sessions.close(session)
            assert (await client.tasks.wait(session, timeout=20)).state == "succeeded"
            await _assert_whole(client, session)
        ledger.assert_alone()
