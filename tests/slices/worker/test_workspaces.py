"""Directories of attempts are removed, by who made them or by the next worker."""

import threading
from pathlib import Path

import pytest

from podium.worker import workspaces
from slices.worker.conftest import Shop


async def _is(value: object) -> object:
    return value


async def test_nothing_waits_until_a_workspace_is_gone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, may_go = workspaces.remove, threading.Event()

    def slowly(workspace: Path) -> None:
        may_go.wait(30)
        remove(workspace)

    monkeypatch.setattr(workspaces, "remove", slowly)
    async with shop.worker(concurrency=1, drain=0.1):
        first, second = [await shop.submit("settle_in", 0) for _ in range(2)]
        assert (await shop.ended(first)).outcome == "succeeded"
        assert (await shop.ended(second)).outcome == "succeeded"
    assert len(list(shop.around.workspaces.iterdir())) == 2
    may_go.set()
    await shop.until(lambda: _is(not list(shop.around.workspaces.iterdir())))


async def test_workspaces_of_workers_that_were_killed_are_removed(shop: Shop) -> None:
    root = shop.around.workspaces
    task = await shop.submit("settle_in", 1.5)
    kept = [root / "notes-1", root / f"{task}-other"]
    left = [root / f"{task}-7", root / "01a1fd23-a4ea-7cd8-9b52-67f3f0011c83-1"]
    for folder in (*kept, *left):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    async with shop.worker():
        await shop.until(lambda: _is((root / f"{task}-1" / "here").exists()))
        async with shop.worker():  # another one, which sweeps when it begins
            await shop.until(lambda: _is(not any(folder.exists() for folder in left)))
            assert (root / f"{task}-1" / "here").exists()
        await shop.ended(task)
    assert all((folder / "file").exists() for folder in kept)
