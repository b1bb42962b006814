"""The artifact store port, and the adapter that keeps artifacts in a directory."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from podium.kernel.errors import NotFound

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """What was kept: its size in bytes and the SHA-256 of its content."""

    size: int
    sha256: bytes


class ArtifactStore(Protocol):
    """Keeps files of tasks, each under (task, attempt, name).

    Guarantees an adapter gives: ``put`` is atomic (readers see the old content or the new, and a
    crash leaves nothing half-written) and replaces; names may hold any characters; ``delete`` of
    what is not there succeeds.
    """

    async def put(self, task_id: UUID, attempt: int, name: str, content: bytes | Path) -> Stored:
        """Keep a copy of ``content``."""
        ...

    async def locate(self, task_id: UUID, attempt: int, name: str) -> Path:
        """A local file with the content, or ``NotFound``."""
        ...

    async def delete(self, task_id: UUID) -> None:
        """Remove all that was kept for a task."""
        ...


class DirectoryStore:
    """Artifacts as files below one directory: ``<task>/<attempt>/<hash of name>``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, task_id: UUID, attempt: int, name: str) -> Path:
        # A hash, so that no name can be too long, hidden, reserved or a way out of the directory.
        return self._root / str(task_id) / str(attempt) / hashlib.sha256(name.encode()).hexdigest()

    async def put(self, task_id: UUID, attempt: int, name: str, content: bytes | Path) -> Stored:
        return await asyncio.to_thread(_write, self._path(task_id, attempt, name), content)

    async def locate(self, task_id: UUID, attempt: int, name: str) -> Path:
        path = self._path(task_id, attempt, name)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound(f"The content of artifact {name!r} is not kept any more.")
        return path

    async def delete(self, task_id: UUID) -> None:
        await asyncio.to_thread(shutil.rmtree, self._root / str(task_id), ignore_errors=True)


def _write(path: Path, content: bytes | Path) -> Stored:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.urandom(6).hex()}")
    digest = hashlib.sha256()
    size = 0
    try:
        with draft.open("xb") as target:
            for chunk in _chunks(content):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return Stored(size, digest.digest())


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk
