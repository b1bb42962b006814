"""The file of a backup: where it is written, and what is refused when it is read."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.kernel.errors import Conflict, InvalidInput, NotFound, Unavailable
from podium.server.db import dump
from podium.server.db.archive import BackupDamaged
from podium.storage.functions import DatabaseUnsupported
from slices.db.backups import back_up, change_manifest, names, restore
from slices.db.conftest import Place
from slices.scheduler.engine import Engine


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20_000])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)


def _overwrite(path: Path) -> None:
    path.write_text("hello")


def _of_the_future(path: Path) -> None:
    change_manifest(path, lambda told: told.update(format=2))


def _without_files(path: Path) -> None:
    change_manifest(path, lambda told: told["files"].clear())


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_cut, "its end is missing|unexpected end of data"),
        (_flip, "'database.dump' is not what was put in"),
        (_overwrite, "no backup that can be used"),
        (_of_the_future, "of format 2"),
        (_without_files, "database.dump"),
    ],
)
async def test_a_damaged_file_is_refused(
    source: Place,
    target: Place,
    engine: Engine,
    tmp_path: Path,
    damage: Callable[[Path], object],
    why: str,
) -> None:
    await engine.submit_many(50)
    await back_up(source, tmp_path / "b.tar")
    damage(tmp_path / "b.tar")
    with pytest.raises(BackupDamaged, match=why):
        await restore(target, tmp_path / "b.tar")
    assert await target.database.call("select 1 from pg_tables where schemaname = 'public'") == []


async def test_names_that_no_backup_has_are_never_written(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    await back_up(source, tmp_path / "b.tar")
    evil = tmp_path / "evil"
    evil.write_text("x")
    with tarfile.open(tmp_path / "b.tar") as tar:
        tar.extractall(tmp_path / "parts", filter="data")
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        tar.add(tmp_path / "parts" / "database.dump", "database.dump")
        tar.add(evil, "artifacts/../../evil2")
        tar.add(tmp_path / "parts" / "manifest.json", "manifest.json")
    with pytest.raises(BackupDamaged, match="evil2"):
        await restore(target, tmp_path / "b.tar")


async def test_a_backup_of_a_newer_podium_is_refused(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    await source.database.call("update alembic_version set version_num = '9999'")
    await back_up(source, tmp_path / "b.tar")
    with pytest.raises(DatabaseUnsupported, match=r"newer Podium \(schema 9999\)"):
        await restore(target, tmp_path / "b.tar")


async def test_a_backup_of_a_newer_podium_with_this_schema_is_refused_before_anything_is_done(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    await source.database.call(
        "update meta set value = jsonb_set(value, '{version}', '\"99.0\"') where key = 'functions'"
    )
    await back_up(source, tmp_path / "b.tar")
    with pytest.raises(DatabaseUnsupported, match=r"written by Podium 99\.0"):
        await restore(target, tmp_path / "b.tar")


async def test_where_a_backup_can_be_written(source: Place, engine: Engine, tmp_path: Path) -> None:
    made = await back_up(source, tmp_path)
    assert Path(made["file"]).parent == tmp_path
    assert Path(made["file"]).name.startswith("podium-")
    with pytest.raises(Conflict, match="is there already"):
        await back_up(source, Path(made["file"]))
    with pytest.raises(InvalidInput, match="There is no directory"):
        await back_up(source, tmp_path / "none" / "b.tar")
    assert names(tmp_path) == {Path(made["file"]).name}


async def test_nothing_is_backed_up_of_an_empty_database(target: Place, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds nothing of Podium"):
        await back_up(target, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


async def test_a_backup_that_fails_leaves_no_file(
    source: Place, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump, "_OPTIONS", ("--no-such-option",))
    with pytest.raises(Unavailable, match="pg_dump failed"):
        await back_up(source, tmp_path / "b.tar")
    assert names(tmp_path) == set()
