"""The data directory's disk is full: nothing is half done, and all goes on when there is room."""

import asyncio
import os
import subprocess
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from chaos.ledger import Ledger
from chaos.load import under_load
from podium.client import AsyncPodium
from podium.client.errors import ApiError, ConnectionFailed

_SIZE = "700m"
_SETTINGS = {"workers": 2, "lease_seconds": 4, "max_losses": 100}
_load = partial(under_load, retried=True, **_SETTINGS)
"""A workspace that finds no room is a failure of its attempt, so all tasks have retries."""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root may mount a file system"),
    pytest.mark.timeout(1200),
]


@asynccontextmanager
async def small_disk(home: Path) -> AsyncGenerator[None]:
    """A small file system of its own for the data directory."""
    await asyncio.to_thread(_mount, home)
    try:
        yield
    finally:
        await asyncio.to_thread(_run, "umount", "-l", str(home))


@asynccontextmanager
async def full(home: Path) -> AsyncGenerator[None]:
    """Leave no room at all while the block runs: what is freed meanwhile is taken, too."""
    filler, done = home / "filler", threading.Event()
    filling = asyncio.create_task(asyncio.to_thread(_fill, filler, done))
    try:
        await asyncio.sleep(2)
        yield
    finally:
        done.set()
        await filling
        filler.unlink()


@pytest.mark.parametrize("rounds", [pytest.param(1), pytest.param(6, marks=pytest.mark.long)])
async def test_a_full_disk(tmp_path: Path, rounds: int) -> None:
    home = tmp_path / "home"
    async with (
        small_disk(home),
        _load(home) as (running, _, ledger),
        running.client(retries=0) as client,
    ):
        for _ in range(rounds):
            async with full(home):
                refused = await _submit_until_refused(client, ledger)
                assert refused.status == 503
                assert refused.code in {"unavailable", "outcome_unknown"}
            await _accepted_again(client, ledger)


@pytest.mark.parametrize("rounds", [pytest.param(1), pytest.param(6, marks=pytest.mark.long)])
async def test_servers_that_die_while_the_disk_is_full_come_back(
    tmp_path: Path, rounds: int
) -> None:
    home = tmp_path / "home"
    async with (
        small_disk(home),
        _load(home) as (running, _, ledger),
        running.client(retries=0) as client,
    ):
        for _ in range(rounds):
            async with full(home):
                failed = _failed_starts(tmp_path)
                async with asyncio.timeout(90):
                    while _failed_starts(tmp_path) < failed + 4:
                        for kind in ("postgres", "valkey"):
                            running.kill(kind)  # again: it may have found room for an instant
                        await asyncio.sleep(5)
                with pytest.raises((ApiError, ConnectionFailed)):
                    await ledger.submit(client, "inside", 0)
            await _accepted_again(client, ledger)
            async with asyncio.timeout(60):
                while not (await client.status()).valkey.ok:
                    await asyncio.sleep(0.2)


def _mount(place: Path) -> None:
    place.mkdir()
    place.chmod(0o711)
    _run("mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=711", "tmpfs", str(place))


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


def _fill(path: Path, done: threading.Event) -> None:
    with path.open("ab", buffering=0) as file:
        while not done.is_set():
            for size in (2**20, 2**12, 2**6):
                with suppress(OSError):
                    while file.write(b"\0" * size):
                        pass
            done.wait(0.02)


def _failed_starts(folder: Path) -> int:
    """How often the supervisor said that a server cannot be restarted."""
    return (folder / "up.out").read_text().count("embedded server cannot be restarted")


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
