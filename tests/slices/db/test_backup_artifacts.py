"""What backups hold of artifacts, and where a restore puts it."""

import stat
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest

from buckets import S3
from podium.kernel.errors import Conflict, Unavailable
from podium.kernel.ids import uuid7
from podium.kernel.settings import Settings
from podium.server.db import commands
from podium.storage.artifact_directory import DirectoryStore
from podium.storage.artifacts import Place as Artifact
from podium.tasks.sweep import Sweep
from slices.db.backups import back_up, change_manifest, names, quiet, restore
from slices.db.conftest import Place
from slices.scheduler.engine import Engine


def file_of(place: Place, task: UUID, name: str) -> Path:
    return place.settings.data_dir / "artifacts" / str(Artifact.of(task, 1, name))


async def keep(place: Place, engine: Engine, task: UUID, name: str) -> None:
    """Keep a file of a task, and enter it."""
    stored = await DirectoryStore(place.settings.data_dir / "artifacts").put(task, 1, name, b"1")
    await engine.run(
        "insert into artifact (id, task_id, attempt, name, content_type, size, sha256)"
        " values (:id, :task, 1, :name, 'text/plain', :size, :hash)",
        id=uuid7(), task=task, name=name, size=stored.size, hash=stored.sha256,
    )  # fmt: skip


async def test_artifacts_come_along(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    task = await engine.submit()
    store = DirectoryStore(source.settings.data_dir / "artifacts")
    kept = await store.put(task, 1, "kept.txt", b"content")
    for name in ("kept.txt", "gone.txt"):
        await engine.run(
            "insert into artifact (id, task_id, attempt, name, content_type, size, sha256)"
            " values (:id, :task, 1, :name, 'text/plain', :size, :hash)",
            id=uuid7(), task=task, name=name, size=kept.size, hash=kept.sha256,
        )  # fmt: skip
    await store.put(uuid7(), 1, "of-nobody", b"x")
    made = await back_up(source, tmp_path / "b.tar")
    assert (made["artifacts"], made["artifacts_missing"]) == (1, 1)
    assert stat.S_IMODE((tmp_path / "b.tar").stat().st_mode) == 0o600
    restored = DirectoryStore(target.settings.data_dir / "artifacts")
    stranger = uuid7()
    await restored.put(stranger, 1, "theirs", b"x")
    await restore(target, tmp_path / "b.tar")
    assert file_of(target, task, "kept.txt").read_bytes() == b"content"
    assert file_of(target, stranger, "theirs").exists()
    await restore(target, tmp_path / "b.tar", replacing=True)
    assert file_of(target, task, "kept.txt").read_bytes() == b"content"
    # The directory may be another installation's as well, as the database is a server's.
    assert file_of(target, stranger, "theirs").exists()


def in_directory(place: Place, folder: Path) -> Place:
    url = {"artifact_url": folder.as_uri()}
    return replace(place, settings=place.settings.model_copy(update=url))


async def test_artifacts_may_have_a_file_system_of_their_own(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    task = await engine.submit()
    await keep(source, engine, task, "x")
    await back_up(source, tmp_path / "b.tar")
    with TemporaryDirectory(prefix="podium-test-", dir="/dev/shm") as mounted:
        (tmp_path / "mounted").symlink_to(mounted)
        await restore(in_directory(target, tmp_path / "mounted"), tmp_path / "b.tar")
        assert (Path(mounted) / str(Artifact.of(task, 1, "x"))).read_bytes() == b"1"
        assert names(Path(mounted)) == {str(task)}


async def test_artifacts_that_cannot_be_put_in_place_are_told(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    task = await engine.submit()
    await keep(source, engine, task, "x")
    await back_up(source, tmp_path / "b.tar")
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be kept in"):
        await restore(in_directory(target, tmp_path / "file"), tmp_path / "b.tar")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / str(task)).touch()  # in the way
    with pytest.raises(Unavailable, match="The database is restored, and its artifacts cannot be"):
        await restore(in_directory(target, tmp_path / "kept"), tmp_path / "b.tar")
    (tmp_path / "kept" / str(task)).unlink()
    await restore(in_directory(target, tmp_path / "kept"), tmp_path / "b.tar", replacing=True)
    assert names(tmp_path / "kept") == {str(task)}


async def test_what_others_keep_beside_artifacts_stays(home: Path, tmp_path: Path) -> None:
    """Also where the database is embedded: an artifact directory may be shared."""
    shared, photo = tmp_path / "shared", tmp_path / "shared" / "photos" / "a.jpg"
    photo.parent.mkdir(parents=True)
    photo.touch()
    settings = Settings.model_validate({"home": home, "artifact_url": shared.as_uri()})
    await commands.migrate(settings, quiet, dry_run=False)
    await commands.backup(settings, tmp_path / "b.tar", quiet, verify=False)
    theirs = Artifact.of(uuid7(), 1, "x")
    await DirectoryStore(shared).put(theirs.task_id, 1, "x", b"1")
    await commands.restore(settings, tmp_path / "b.tar", quiet, replace=True, dry_run=False)
    assert photo.exists()
    assert (shared / str(theirs)).exists()


async def test_to_see_whether_a_backup_can_be_restored_makes_nothing(
    source: Place, tmp_path: Path
) -> None:
    await back_up(source, tmp_path / "b.tar")
    settings = Settings.model_validate({"home": tmp_path / "new"})
    told = await commands.restore(settings, tmp_path / "b.tar", quiet, replace=False, dry_run=True)
    assert (told["done"], told["epoch"]) == (False, None)
    assert not (tmp_path / "new").exists()


async def test_files_that_are_not_those_on_record_are_told(
    source: Place, engine: Engine, tmp_path: Path
) -> None:
    task = await engine.submit()
    await keep(source, engine, task, "x")
    file_of(source, task, "x").write_bytes(b"changed")
    made = await back_up(source, tmp_path / "b.tar")
    assert (made["artifacts"], made["artifacts_differing"]) == (1, 1)


async def test_a_restore_that_fails_leaves_the_files_as_they_were(
    source: Place, engine: Engine, tmp_path: Path
) -> None:
    task = await engine.submit()
    await keep(source, engine, task, "x")
    await back_up(source, tmp_path / "b.tar")
    change_manifest(
        tmp_path / "b.tar", lambda told: told["database"]["tables"]["task"].update(rows=9)
    )
    file_of(source, task, "x").write_bytes(b"newer")
    with pytest.raises(Unavailable):
        await restore(source, tmp_path / "b.tar", replacing=True)
    assert file_of(source, task, "x").read_bytes() == b"newer"
    assert names(source.settings.data_dir) == {"artifacts", "run"}


async def test_artifacts_in_a_bucket_stay_there(
    source: Place, target: Place, engine: Engine, tmp_path: Path, s3: S3
) -> None:
    given = {"artifact_url": f"s3://{s3.make_bucket()}", "artifact_endpoint": s3.url}
    in_bucket = replace(source, settings=source.settings.model_copy(update=given))
    await engine.submit()
    made = await back_up(in_bucket, tmp_path / "b.tar")
    assert made["artifacts_in"] == f"{given['artifact_url']}?endpoint={s3.url}"
    with pytest.raises(Conflict, match="not in it but in s3://"):
        await restore(target, tmp_path / "b.tar")
    same = replace(target, settings=target.settings.model_copy(update=given))
    assert (await restore(same, tmp_path / "b.tar"))["tasks"] == 1


async def test_artifacts_of_a_backup_need_a_directory(
    source: Place, target: Place, engine: Engine, tmp_path: Path, s3: S3
) -> None:
    await keep(source, engine, await engine.submit(), "x")
    await back_up(source, tmp_path / "b.tar")
    given = {"artifact_url": f"s3://{s3.make_bucket()}", "artifact_endpoint": s3.url}
    with pytest.raises(Conflict, match="holds artifacts"):
        await restore(
            replace(target, settings=target.settings.model_copy(update=given)), tmp_path / "b.tar"
        )


async def test_of_two_installations_one_removes_what_is_in_the_store(
    source: Place, target: Place, engine: Engine, tmp_path: Path
) -> None:
    """A copy is not the one whose the store is; one that it replaces stays so."""
    shared = DirectoryStore(tmp_path / "shared")
    own = Sweep(source.database, shared)
    await own.sweep()
    await back_up(source, tmp_path / "b.tar")
    await restore(target, tmp_path / "b.tar")
    await shared.put(uuid7(), 1, "x", b"1")
    copy = Sweep(target.database, shared)
    assert [await copy.sweep(), await copy.sweep(), await own.sweep()] == [0, 0, 1]
    await restore(source, tmp_path / "b.tar", replacing=True)
    await shared.put(uuid7(), 1, "x", b"1")
    assert await own.sweep() == 1
