"""A backup as one file: a tar of the database's copy, the artifacts and, last, the manifest.

A file without its manifest is not whole. Only names that a backup has are ever written to disk.
"""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import ValidationError

from podium.kernel.errors import InvalidInput, Unavailable
from podium.server.db.contents import FORMAT, File, Manifest
from podium.storage.artifact_directory import make_folder, sync
from podium.storage.artifacts import Place
from podium.tasks.store import Kept

DATABASE = "database.dump"
_MANIFEST = "manifest.json"
_ARTIFACTS = "artifacts/"
_CHUNK = 2**20
_NAMES = re.compile(r"artifacts/[0-9a-f-]{36}/[0-9]+/[0-9a-f]{64}")

Moved = Callable[[int], None]
"""Called with the bytes that went by."""


class BackupDamaged(InvalidInput):
    """A file is no backup, or is not whole."""

    code = "backup_damaged"
    title = "Backup cannot be used"


@contextmanager
def written(target: Path) -> Generator[tarfile.TarFile]:
    """A tar that becomes ``target``, mode 0600, when the block ends well, and else is no more."""
    draft = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    yield tar
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
            sync(target.parent)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(
            f"The backup cannot be written: {error.strerror}.",
            hint="See that the directory is there, has room and may be written to.",
        ) from error


def add(tar: tarfile.TarFile, name: str, path: Path, moved: Moved) -> File:
    """Put a file into the backup."""
    with path.open("rb") as source:
        info = tarfile.TarInfo(name)
        info.size = os.fstat(source.fileno()).st_size
        info.mode = 0o600
        hashed = _Hashed(source, moved)
        tar.addfile(info, hashed)
    return File(name=name, size=info.size, sha256=hashed.digest.hexdigest())


class Added(NamedTuple):
    """Artifacts that were put into a backup, the places of those that have no file, and of those
    whose file is not the one on record."""

    files: list[File]
    missing: list[str]
    differing: list[str]


def add_artifacts(tar: tarfile.TarFile, root: Path, kept: Sequence[Kept], moved: Moved) -> Added:
    """Put the artifacts on record into the backup."""
    added = Added([], [], [])
    for one in kept:
        name = str(Place.of(one.task_id, one.attempt, one.name))
        try:
            file = add(tar, f"{_ARTIFACTS}{name}", root / name, moved)
        except FileNotFoundError:  # its task was removed meanwhile
            added.missing.append(name)
            continue
        added.files.append(file)
        if file.sha256 != one.sha256.hex():  # damaged, or replaced meanwhile
            added.differing.append(name)
    return added


def add_manifest(tar: tarfile.TarFile, manifest: Manifest) -> None:
    content = manifest.model_dump_json(indent=1).encode()
    info = tarfile.TarInfo(_MANIFEST)
    info.size = len(content)
    info.mode = 0o600
    tar.addfile(info, io.BytesIO(content))


def read(path: Path, moved: Moved, *, database: Path | None = None) -> Manifest:
    """The manifest of a backup of which every byte was compared with it.

    ``database`` is where to put the copy of the database. Raises ``BackupDamaged``.
    """
    found: dict[str, File] = {}
    manifest: Manifest | None = None
    with _opened(path) as tar:
        for member in tar:
            source = tar.extractfile(member)
            if source is None or manifest is not None:
                raise _damaged(path, f"it holds {member.name!r}, which no backup has there")
            if member.name == _MANIFEST:
                manifest = _manifest(path, source.read())
                continue
            target = database if member.name == DATABASE else None
            found[member.name] = _copied(member.name, source, target, moved)
    if manifest is None:
        raise _damaged(path, "its end is missing")
    if differing := _differing(manifest, found):
        raise _damaged(path, f"{differing!r} is not what was put in")
    return manifest


def unpack_artifacts(path: Path, beside: Path, moved: Moved) -> None:
    """Write the artifacts of a backup that ``read`` has found whole to a directory of their own."""
    with _opened(path) as tar:
        for member in tar:
            if not _NAMES.fullmatch(member.name):
                continue
            target = beside / member.name.removeprefix(_ARTIFACTS)
            make_folder(beside, target.parent)
            source = tar.extractfile(member)
            assert source is not None, "it was read before"  # noqa: S101
            _copied(member.name, source, target, moved)


def move_artifacts(beside: Path, root: Path) -> None:
    """Move what was unpacked to where artifacts are kept, on the same file system. Files that are
    there are replaced, each in one step. Raises ``Unavailable`` where one cannot be."""
    try:
        for file in beside.glob("*/*/*"):
            target = root / file.relative_to(beside)
            make_folder(root, target.parent)
            file.replace(target)
            sync(target.parent)
    except OSError as error:
        raise Unavailable(
            f"The database is restored, and its artifacts cannot be put in {root}: {error}.",
            hint="See who may write there, and restore once more with --replace.",
        ) from error


@contextmanager
def _opened(path: Path) -> Generator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode="r:") as tar:
            yield tar
    except FileNotFoundError:
        raise InvalidInput(f"There is no file {path}.", field="file") from None
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be read, or what it holds cannot be written: {error}."
        ) from error


def _manifest(path: Path, content: bytes) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise _damaged(path, "its manifest cannot be read") from error
    if manifest.format != FORMAT:
        raise _damaged(path, f"it is of format {manifest.format}, which this Podium does not know")
    return manifest


def _copied(name: str, source: IO[bytes], target: Path | None, moved: Moved) -> File:
    """Read to the end, and write to ``target`` if there is one."""
    hashed = _Hashed(source, moved)
    size = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    into = os.open(target or os.devnull, flags, 0o600)
    with os.fdopen(into, "wb") as file:
        while chunk := hashed.read(_CHUNK):
            size += len(chunk)
            file.write(chunk)
        file.flush()
        if target is not None:
            os.fsync(file.fileno())
    return File(name=name, size=size, sha256=hashed.digest.hexdigest())


def _differing(manifest: Manifest, found: dict[str, File]) -> str | None:
    wanted = {file.name: file for file in manifest.files}
    if DATABASE not in wanted:
        return DATABASE
    names = sorted(wanted.keys() | found.keys())
    for name in names:
        if wanted.get(name) != found.get(name):
            return name
        if name != DATABASE and not _NAMES.fullmatch(name):
            return name
    return None


class _Hashed:
    """Reads on from a file and hashes what goes by."""

    def __init__(self, source: IO[bytes], moved: Moved) -> None:
        self._source, self._moved = source, moved
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self.digest.update(chunk)
        self._moved(len(chunk))
        return chunk


def _damaged(path: Path, why: str) -> BackupDamaged:
    return BackupDamaged(
        f"{path} is no backup that can be used: {why}.",
        hint="Take another one, or fetch this one again from where it is kept.",
    )
