"""An API process that lives and does not answer."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from podium.kernel.settings import Settings
from podium.server.runfiles import RunFiles
from podium.server.supervisor import Order, Supervisor
from podium.server.watching import Pace


async def test_an_api_that_does_not_answer_is_replaced(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_HOME", str(home))
    monkeypatch.setattr("podium.server.supervisor._PACE", Pace(0.1, 0.5, 3))
    told: list[Mapping[str, object]] = []
    files = RunFiles(home)
    assert files.acquire() is not None
    supervisor = Supervisor(
        Settings(home=home, port=0, workers=0), files, Order(tell_ready=told.append)
    )
    running = asyncio.create_task(supervisor.run())
    deadline = time.monotonic() + 60
    while not told:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert supervisor._api is not None
    first = supervisor._api.process
    assert first is not None
    await asyncio.sleep(2)
    assert supervisor._api.process is first
    assert "/health/live" not in (home / "logs" / "podium.log").read_text()
    os.kill(first.pid, signal.SIGSTOP)
    async with httpx.AsyncClient(base_url=str(told[0]["url"]), timeout=30) as client:
        assert (await client.get("/health/ready")).status_code == 200
    assert first.returncode == -signal.SIGKILL
    supervisor._stop.set()
    await running
    files.release()
