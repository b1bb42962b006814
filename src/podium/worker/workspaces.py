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


def path(root: Path, task_id: UUID, attempt: int) -> Path:
    """Where the workspace of an attempt lies: a folder that no other attempt shares, so that one
    may be made while others are removed."""
    return root / f"{task_id}-{attempt}"


def make(workspace: Path) -> None:
    """Make the folder, for this user alone."""
    workspace.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    workspace.mkdir(mode=0o700, exist_ok=True)


def remove(workspace: Path) -> None:
    """Remove the folder with all that the agent left there, as far as that is possible."""
    shutil.rmtree(workspace, ignore_errors=True)


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
    for workspace in root.iterdir():
        task_id, _, attempt = workspace.name.rpartition("-")
        with suppress(ValueError):
            yield (UUID(task_id), int(attempt)), workspace
