"""The artifact store that keeps files below one directory: ``<task>/<attempt>/<hash of name>``."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from podium.kernel.errors import NotFound, TooLarge, Unavailable
from podium.kernel.files import write_private
from podium.storage.artifacts import OWNER, Content, Place, Stored, replaced

_CHUNK = 1024 * 1024
_PIECE = 256 * 1024


class DirectoryStore:
    """Artifacts as files. All processes of an installation see the same directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def shown(self) -> str:
        return self._root.absolute().as_uri()

    def _path(self, task_id: UUID, attempt: int, name: str) -> Path:
        return self._root / str(Place.of(task_id, attempt, name))

    async def put(
        self, task_id: UUID, attempt: int, name: str, content: bytes | Path, most: int | None = None
    ) -> Stored:
        return await asyncio.to_thread(_write, self._path(task_id, attempt, name), content, most)

    async def open(
        self,
        task_id: UUID,
        attempt: int,
        name: str,
        size: int,
        first: int = 0,
        count: int | None = None,
    ) -> Content:
        path = self._path(task_id, attempt, name)
        try:
            file = await asyncio.to_thread(path.open, "rb")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"The content of artifact {name!r} is not kept any more.") from None
        except OSError as error:
            raise Unavailable(
                f"The content of artifact {name!r} cannot be read: {error.strerror}."
            ) from error
        if os.fstat(file.fileno()).st_size != size:
            file.close()
            raise replaced(name)
        file.seek(first)
        return _FileContent(file, size - first if count is None else count)

    async def remove(self, places: Sequence[Place]) -> None:
        await asyncio.to_thread(_remove, self._root, places)

    async def kept(self, after: str, most: int) -> Sequence[Place]:
        return await asyncio.to_thread(_kept, self._root, after, most)

    async def claim(self, owner: UUID, instead_of: UUID | None) -> bool:
        return await asyncio.to_thread(_claim, self._root, owner, instead_of)

    async def check(self) -> None:
        """A directory that is missing is made when something is kept."""
        place = self._root
        while not place.exists():
            place = place.parent
        if not (place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)):
            raise Unavailable(
                f"Artifacts cannot be kept in {self._root}: {place} is no directory that this "
                "process may write to.",
                hint="Let its user write there, or set PODIUM_ARTIFACT_URL.",
            )


class _FileContent:
    """A part of an open file."""

    def __init__(self, file: BinaryIO, count: int) -> None:
        self._file = file
        self._left = count

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncGenerator[bytes]:
        while self._left:
            piece = await asyncio.to_thread(self._file.read, min(_PIECE, self._left))
            if not piece:  # it was cut by others
                raise Unavailable("An artifact ended before its size on record.")
            self._left -= len(piece)
            yield piece

    async def aclose(self) -> None:
        self._file.close()


def sync(folder: Path) -> None:
    """Make the names in a folder durable, as ``fsync`` makes contents."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(root: Path, folder: Path) -> None:
    """Make a folder below ``root``, and its name durable with those of the folders above it."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in folder.parents:
        sync(made)
        if made == root:
            break


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
    make_folder(path.parents[2], path.parent)
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
    sync(path.parent)
    return Stored(size, digest.digest())


def _remove(root: Path, places: Sequence[Place]) -> None:
    for place in places:
        path = root / str(place)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(
                f"Artifacts of task {place.task_id} cannot be removed: {error.strerror}."
            ) from error
        with suppress(OSError):  # it holds others, or is gone
            path.parent.rmdir()
            path.parent.parent.rmdir()


def _kept(root: Path, after: str, most: int) -> list[Place]:
    found: list[Place] = []
    try:
        for place in _places(root, after):
            found.append(place)
            if len(found) == most:
                break
    except OSError as error:
        raise Unavailable(f"{root} cannot be listed: {error.strerror}.") from error
    return found


def _places(root: Path, after: str) -> Iterator[Place]:
    """Places after one, in the order of their texts."""
    for task in _names(root, after.partition("/")[0]):
        for attempt in _names(root / task, ""):
            for file in _names(root / task / attempt, ""):
                place = Place.parse(f"{task}/{attempt}/{file}")
                if place is not None and str(place) > after:
                    yield place


def _names(folder: Path, least: str) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.name >= least)
    except (FileNotFoundError, NotADirectoryError):  # removed meanwhile, or not ours
        return []


def _claim(root: Path, owner: UUID, instead_of: UUID | None) -> bool:
    mark = root / OWNER
    try:
        with suppress(FileNotFoundError):
            marked = mark.read_text().strip()
            if marked == str(owner):
                return True
            if marked != str(instead_of):
                return False
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(mark, f"{owner}\n")
    except OSError as error:
        raise Unavailable(f"{mark} cannot be read or written: {error.strerror}.") from error
    return False
