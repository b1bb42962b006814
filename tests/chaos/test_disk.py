"""The data directory's disk is full: nothing is half done, and it goes on when there is room."""

import asyncio
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from chaos.installation import installed
from chaos.ledger import Ledger
from podium.client import AsyncPodium
from podium.client.errors import ApiError, ConnectionFailed

_SIZE = "700m"


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root may mount a small file system")
@pytest.mark.timeout(200)
async def test_a_full_disk(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o711)
    options = f"size={_SIZE},mode=711"
    await asyncio.to_thread(_run, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(home))
    try:
        async with installed(home) as running, running.client(retries=0) as client:
            ledger = Ledger(tmp_path / "journal")
            await client.agents.create(
                name="inside", runtime="function", config={"function": "chaos.agents:steady"}
            )
            await client.tasks.wait(await ledger.submit(client, "inside", 0), timeout=20)
            await asyncio.to_thread(_fill, home / "filler")
            refused = await _submit_until_refused(client, ledger)
            assert refused.status == 503
            assert refused.code == "unavailable"
            (home / "filler").unlink()
            await _accepted_again(client, ledger)
            await ledger.settle(client, 60)
            for task in ledger.accepted:
                assert (await client.tasks.get(task)).state == "succeeded"
    finally:
        await asyncio.to_thread(_run, "umount", "-l", str(home))


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("wb") as file:
        while True:
            file.write(b"\0" * 2**20)


async def _submit_until_refused(client: AsyncPodium, ledger: Ledger) -> ApiError:
    async with asyncio.timeout(90):
        while True:
            try:
                await ledger.submit(client, "inside", 0)
            except ApiError as error:
                return error


async def _accepted_again(client: AsyncPodium, ledger: Ledger) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await ledger.submit(client, "inside", 0)
            except (ApiError, ConnectionFailed):
                await asyncio.sleep(0.5)
            else:
                return
