"""The commands: each gives what it did, or found, as JSON."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from podium import app as composition
from podium.kernel.errors import Conflict, InvalidInput, Unavailable
from podium.kernel.files import private_directory
from podium.kernel.settings import Settings
from podium.server.db import archive, dump, load, status
from podium.server.db.contents import UNKNOWN, Manifest
from podium.server.db.progress import Progress
from podium.server.db.reach import is_there, reached
from podium.server.db.settings_file import keep_url
from podium.storage import functions
from podium.storage import migrate as migrations
from podium.storage.address import Address
from podium.storage.artifact_stores import artifact_directory, artifact_store
from podium.storage.database import Database

Result = Mapping[str, Any]


async def show(settings: Settings) -> Result:
    """What the database is, and how it is."""
    async with reached(settings) as found:
        database = _open(found.address)
        try:
            told = await status.describe(database, composition.SQL_SLICES)
        finally:
            await database.close()
        place = str(settings.data_dir) if found.embedded else found.address.shown
        return {"embedded": found.embedded, "place": place, **told}


async def migrate(settings: Settings, progress: Progress, *, dry_run: bool) -> Result:
    """Bring the schema and the functions up to date, or only say what that would be."""
    async with reached(settings, make=not dry_run) as found:
        database = _open(found.address, patience=None)
        try:
            async with database.connect() as conn:
                before = await migrations.standing(conn, composition.SQL_SLICES)
            if not dry_run:
                await _migrate(database, before, progress)
        finally:
            await database.close()
    return {
        "from": before.found,
        "to": before.wanted,
        "migrations": [asdict(step) for step in before.pending],
        "functions": not before.functions,
        "done": not dry_run,
    }


async def _migrate(database: Database, before: migrations.Standing, progress: Progress) -> None:
    done = 0

    def on_step(step: migrations.Step) -> None:
        nonlocal done
        done += 1
        progress(f"{step.revision} {step.about}", done, len(before.pending))

    await migrations.migrate(database, composition.SQL_SLICES, on_step)


async def backup(settings: Settings, target: Path, progress: Progress, *, verify: bool) -> Result:
    """Write the database and the artifacts, as they are now, to one file."""
    target = _file_of(target)
    async with reached(settings) as found:
        made_at = datetime.now(UTC)
        with _room(target.parent) as folder:
            copy = Path(folder) / archive.DATABASE
            async with dump.snapshot(found.address) as moment:
                await dump.dump(moment, copy, progress)
            manifest = await asyncio.to_thread(
                _pack, target, copy, moment, settings, made_at, progress
            )
    if verify:
        await asyncio.to_thread(archive.read, target, _counter("check", target, progress))
    return _summary(target, manifest)


def _pack(
    target: Path,
    copy: Path,
    moment: dump.Snapshot,
    settings: Settings,
    made_at: datetime,
    progress: Progress,
) -> Manifest:
    directory = artifact_directory(settings)
    kept = moment.kept if directory else ()
    total = copy.stat().st_size + sum(one.size for one in kept)
    moved = _Counted("file", total, progress)
    with archive.written(target) as tar:
        database = archive.add(tar, archive.DATABASE, copy, moved)
        added = archive.add_artifacts(tar, directory or settings.data_dir, kept, moved)
        manifest = Manifest(
            made_at=made_at.isoformat(),
            database=moment.contents,
            files=[database, *added.files],
            missing=added.missing,
            differing=added.differing,
            bucket=None if directory else artifact_store(settings).shown,
        )
        archive.add_manifest(tar, manifest)
    return manifest


async def restore(
    settings: Settings, source: Path, progress: Progress, *, replace: bool, dry_run: bool
) -> Result:
    """Put a backup in the place of the database and the artifacts; or only see that this can be
    done."""
    if dry_run:
        manifest = await _checked(settings, source, progress)
        if is_there(settings):
            async with reached(settings, alone=True) as found:
                await load.require_target(found.address, replace=replace)
        return {**_summary(source, manifest), "epoch": None, "done": False}
    with _room(private_directory(settings.data_dir / "run")) as folder:
        copy = Path(folder) / archive.DATABASE
        manifest = await _checked(settings, source, progress, copy)
        async with reached(settings, alone=True, make=True) as found:
            present = await load.require_target(found.address, replace=replace)
            async with _artifacts(source, settings, manifest, progress) as put_in_place:
                epoch = await load.load(found.address, copy, manifest.database, present, progress)
                await asyncio.to_thread(put_in_place)
            await _bring_up(found.address)
    return {**_summary(source, manifest), "epoch": epoch, "done": True}


async def _checked(
    settings: Settings, source: Path, progress: Progress, copy: Path | None = None
) -> Manifest:
    """The manifest of a backup that is whole and that this installation can take; its database is
    written to ``copy``."""
    check = _counter("check", source, progress)
    manifest = await asyncio.to_thread(archive.read, source, check, database=copy)
    migrations.require_known(manifest.database.schema_revision)
    if manifest.database.podium != UNKNOWN:
        functions.require_not_newer(manifest.database.podium)
    _require_place(settings, manifest)
    return manifest


def _require_place(settings: Settings, manifest: Manifest) -> None:
    """See that the artifacts of a backup are, or can be put, where this installation has them."""
    bucket = None if artifact_directory(settings) else artifact_store(settings).shown
    if manifest.bucket not in (None, bucket):
        raise Conflict(
            f"The artifacts of this backup are not in it but in {manifest.bucket}, where this "
            "installation does not look for them.",
            hint="Set PODIUM_ARTIFACT_URL, and the settings beside it, to that place.",
        )
    if bucket and len(manifest.files) > 1:
        raise Conflict(
            f"The backup holds artifacts, and this installation keeps them in {bucket}.",
            hint="Unset PODIUM_ARTIFACT_URL, or set it to a directory, to restore this one.",
        )


@asynccontextmanager
async def _artifacts(
    source: Path, settings: Settings, manifest: Manifest, progress: Progress
) -> AsyncGenerator[Callable[[], None]]:
    """Unpack the artifacts beside where they are kept, so that nothing has changed if the load
    fails; what is given puts them there. Others stay: the sweep removes what no row names where the
    store is this installation's."""
    directory = artifact_directory(settings)
    if directory is None:
        yield _leave
        return
    total = sum(file.size for file in manifest.files if file.name != archive.DATABASE)
    # Inside it, as it may be a file system of its own. What has no task's name nobody looks into.
    with _room_for_artifacts(directory) as folder:
        beside = Path(folder)
        moved = _Counted("artifacts", total, progress)
        await asyncio.to_thread(archive.unpack_artifacts, source, beside, moved)
        yield partial(archive.move_artifacts, beside, directory)


def _leave() -> None:
    """Artifacts in a bucket are where they were."""


def _room_for_artifacts(directory: Path) -> TemporaryDirectory[str]:
    try:
        return _room(private_directory(directory))
    except OSError as error:
        raise Unavailable(
            f"Artifacts cannot be kept in {directory}: {error.strerror}.",
            hint="Let this user write there, or set PODIUM_ARTIFACT_URL.",
        ) from error


async def promote(
    settings: Settings, url: str, progress: Progress, *, keep_setting: bool
) -> Result:
    """Copy the embedded database to a server, and leave it as it is."""
    if settings.database_url is not None:
        raise Conflict(
            "PODIUM_DATABASE_URL is set: this installation uses a server already.",
            hint="Unset it to move what the embedded database holds; 'podium db backup' and "
            "'restore' move one server's to another.",
        )
    target = Address.parse(url)
    present = await load.require_target(target, replace=False)
    async with reached(settings, alone=True) as found:
        with _room(private_directory(settings.data_dir / "run")) as folder:
            copy = Path(folder) / archive.DATABASE
            async with dump.snapshot(found.address) as moment:
                await dump.dump(moment, copy, progress)
            epoch = await load.load(target, copy, moment.contents, present, progress, moved=True)
    await _bring_up(target)
    kept = await asyncio.to_thread(keep_url, settings.data_dir, url) if keep_setting else None
    return {
        "place": target.shown,
        "rows": {name: table.rows for name, table in moment.contents.tables.items()},
        "epoch": epoch,
        "setting": "PODIUM_DATABASE_URL",
        "settings_file": str(kept) if kept else None,
    }


async def _bring_up(address: Address) -> None:
    """Give what was loaded this version's schema and functions."""
    database = _open(address, patience=None)
    try:
        await migrations.migrate(database, composition.SQL_SLICES)
    finally:
        await database.close()


def _open(address: Address, patience: float | None = 60.0) -> Database:
    return Database(
        address.url.render_as_string(hide_password=False), pool_size=2, patience=patience
    )


def _file_of(target: Path) -> Path:
    """The file to write: in a directory, one that is named for the time."""
    target = target.expanduser().absolute()
    if target.is_dir():
        target /= f"podium-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar"
    if target.exists():
        raise Conflict(f"{target} is there already.", hint="Choose another name, or a directory.")
    if not target.parent.is_dir():
        raise InvalidInput(f"There is no directory {target.parent}.", field="file")
    return target


def _room(folder: Path) -> TemporaryDirectory[str]:
    """A place for a copy while it is under way, which nobody else can look into."""
    return TemporaryDirectory(prefix=".podium-copy-", dir=folder)


class _Counted:
    """Adds up bytes that go by."""

    def __init__(self, step: str, total: int, progress: Progress) -> None:
        self._step, self._total, self._progress = step, total, progress
        self._done = 0

    def __call__(self, count: int) -> None:
        self._done += count
        self._progress(self._step, min(self._done, self._total), self._total)


def _counter(step: str, file: Path, progress: Progress) -> _Counted:
    return _Counted(step, file.stat().st_size if file.is_file() else 0, progress)


def _summary(file: Path, manifest: Manifest) -> Result:
    rows = manifest.database.tables
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "made_at": manifest.made_at,
        "podium": manifest.database.podium,
        "schema": manifest.database.schema_revision,
        "postgres": manifest.database.postgres,
        "tasks": rows["task"].rows if "task" in rows else 0,
        "events": sum(table.rows for name, table in rows.items() if name.startswith("event_")),
        "artifacts": len(manifest.files) - 1,
        "artifacts_missing": len(manifest.missing),
        "artifacts_differing": len(manifest.differing),
        "artifacts_in": manifest.bucket,
    }
