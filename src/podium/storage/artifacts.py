"""The artifact store port, and the adapter that keeps artifacts in a directory."""

import asyncio
import hashlib
import os
import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import UUID

from podium.kernel.errors import NotFound, TooLarge, Unavailable

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """What was kept: its size in bytes and the SHA-256 of its content."""

    size: int
    sha256: bytes


class ArtifactStore(Protocol):
    """Keeps files of tasks, each under (task, attempt, name).

    Guarantees an adapter gives: ``put`` is atomic (readers see the old content or the new, and a
    crash leaves nothing half-written), durable when it returns, and replaces; names may hold any
    characters; ``delete`` of what is not there succeeds. What is kept goes only by ``delete``,
    which whoever deletes the task calls.
    """

    async def put(
        self, task_id: UUID, attempt: int, name: str, content: bytes | Path, most: int | None = None
    ) -> Stored:
        """Keep a copy of ``content``, bytes or a file; ``TooLarge`` when it has more bytes than
        ``most``, ``Unavailable`` when there is no room or no way to the store, ``OSError`` when
        the file cannot be read."""
        ...

    async def locate(self, task_id: UUID, attempt: int, name: str) -> Path:
        """A local file with the content, to be read and not changed, or ``NotFound``."""
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
        return (
            self._root
            / str(task_id)
            / str(attempt)
            / hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
        )

    async def put(
        self, task_id: UUID, attempt: int, name: str, content: bytes | Path, most: int | None = None
    ) -> Stored:
        return await asyncio.to_thread(_write, self._path(task_id, attempt, name), content, most)

    async def locate(self, task_id: UUID, attempt: int, name: str) -> Path:
        path = self._path(task_id, attempt, name)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound(f"The content of artifact {name!r} is not kept any more.")
        return path

    async def delete(self, task_id: UUID) -> None:
        try:
            await asyncio.to_thread(shutil.rmtree, self._root / str(task_id))
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unavailable(
                f"The artifacts of task {task_id} cannot be removed: {error.strerror}."
            ) from error


def _write(path: Path, content: bytes | Path, most: int | None) -> Stored:
    with content.open("rb") if isinstance(content, Path) else BytesIO(content) as source:
        try:
            return _copy(source, path, most)
        except OSError as error:
            raise Unavailable(
                f"An artifact cannot be kept: {error.strerror}.",
                hint="Make room in the data directory, and see who may write to it.",
            ) from error


def _copy(source: BinaryIO, path: Path, most: int | None) -> Stored:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.urandom(6).hex()}")
    digest = hashlib.sha256()
    size = 0
    try:
        with draft.open("xb") as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                # Looked at as it is read: a file may grow meanwhile.
                if most is not None and size > most:
                    raise TooLarge(f"The artifact has more than {most} bytes.", limit=most)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)
    return Stored(size, digest.digest())


def _sync(folder: Path) -> None:
    """Make the names in a folder durable, as ``fsync`` makes contents."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
