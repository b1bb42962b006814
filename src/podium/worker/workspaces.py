"""Directories of attempts, and what becomes of those whose worker was killed."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import structlog

from podium.storage.database import Database
from podium.worker import store

_log = structlog.get_logger(__name__)
_TRIES = 100


def make(workspace: Path) -> None:
    """Make the workspace of an attempt, though one that ended may take the folder of its task away
    at any moment."""
    for _ in range(_TRIES):
        with suppress(FileExistsError, FileNotFoundError):
            workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
            return
    workspace.mkdir(mode=0o700, parents=True, exist_ok=True)


def remove(workspace: Path) -> None:
    """Remove the workspace of an attempt, and the folder of its task with the last of them."""
    shutil.rmtree(workspace, ignore_errors=True)
    with suppress(OSError):
        workspace.parent.rmdir()


async def sweep(database: Database, root: Path) -> None:
    """Remove the workspaces of attempts that nobody runs: their workers were killed.

    An attempt is on record before its workspace is made, so one that is not when it is looked for
    after the workspaces were listed has ended, whoever ran it.
    """
    found = await asyncio.to_thread(lambda: dict(_found(root)))
    live = await store.live_attempts(database, {task_id for task_id, _ in found})
    left = [workspace for key, workspace in found.items() if key not in live]
    for workspace in left:
        await asyncio.to_thread(remove, workspace)
    if left:
        _log.info("worker.swept", workspaces=len(left))


def _found(root: Path) -> Iterator[tuple[tuple[UUID, int], Path]]:
    """All workspaces, by task and attempt."""
    if not root.is_dir():
        return
    for workspace in root.glob("*/*"):
        with suppress(ValueError):
            yield (UUID(workspace.parent.name), int(workspace.name)), workspace
