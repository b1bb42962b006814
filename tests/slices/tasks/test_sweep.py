"""What is in nobody's reach is removed from both kinds of stores, and nothing else is."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from buckets import KEYS, S3
from podium.kernel.errors import Unavailable
from podium.kernel.ids import uuid7
from podium.storage.artifact_bucket import Bucket, BucketStore
from podium.storage.artifact_directory import DirectoryStore
from podium.storage.artifacts import ArtifactStore, Place
from podium.storage.database import Database
from podium.tasks import store as tasks
from podium.tasks.sweep import Sweep
from podium.worker.store import record_artifact
from slices.scheduler.engine import Engine


@pytest.fixture(params=["directory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3: S3) -> ArtifactStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "artifacts")
    return BucketStore(Bucket(s3.make_bucket(), "p", s3.url, "us-east-1", **KEYS))


@pytest.fixture
async def engine(database: Database) -> Engine:
    return await Engine.create(database)


@pytest.fixture
async def sweep(store: ArtifactStore, database: Database) -> Sweep:
    """Of an installation whose store is marked as its own."""
    sweep = Sweep(database, store)
    assert await sweep.sweep() == 0
    return sweep


async def left(store: ArtifactStore) -> list[Place]:
    return list(await store.kept("", 1000))


async def test_only_what_nobody_can_reach_goes(
    store: ArtifactStore, sweep: Sweep, database: Database, engine: Engine
) -> None:
    worker = await engine.worker()
    task = await engine.submit()
    [claimed] = await engine.claim(worker, 1)
    assert claimed.task_id == task
    key = (worker, task, claimed.attempt)
    stored = await store.put(task, claimed.attempt, "Größe.txt", b"1")
    assert await record_artifact(database, *key, "Größe.txt", "text/plain", stored)
    entered = Place.of(task, claimed.attempt, "Größe.txt")
    about_to_be = Place.of(task, claimed.attempt, "y")
    of_an_attempt_before = Place.of(task, claimed.attempt + 1, "x")
    of_a_task_that_is_gone = Place.of(uuid7(), 1, "x")
    await store.put(task, claimed.attempt, "y", b"1")
    await store.put(task, claimed.attempt + 1, "x", b"1")
    await store.put(of_a_task_that_is_gone.task_id, 1, "x", b"1")
    assert {of_an_attempt_before, of_a_task_that_is_gone} < set(await left(store))
    assert await sweep.sweep() == 2
    assert set(await left(store)) == {entered, about_to_be}
    await engine.succeed(worker, claimed)
    assert await sweep.sweep() == 1
    assert await left(store) == [entered]
    assert await sweep.sweep() == 0


async def test_what_could_not_be_removed_goes_later(
    store: ArtifactStore, sweep: Sweep, database: Database, engine: Engine
) -> None:
    worker = await engine.worker()
    task = await engine.submit()
    [claimed] = await engine.claim(worker, 1)
    stored = await store.put(task, claimed.attempt, "x", b"1")
    await record_artifact(database, worker, task, claimed.attempt, "x", "text/plain", stored)
    await engine.succeed(worker, claimed)
    async with database.transaction() as conn:
        deleted = await tasks.delete(conn, [task])
    assert deleted == ([task], [Place.of(task, claimed.attempt, "x")])
    assert len(await left(store)) == 1  # the store was away, or the process ended here
    assert await sweep.sweep() == 1
    assert await left(store) == []


async def test_goes_on_where_it_stopped(
    store: ArtifactStore, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.tasks.sweep._AT_ONCE", 2)
    monkeypatch.setattr("podium.tasks.sweep._MOST", 2)
    for _ in range(5):
        await store.put(uuid7(), 1, "x", b"1")
    assert [await sweep.sweep() for _ in range(3)] == [4, 1, 0]


async def test_a_store_of_another_installation_is_left_alone(
    store: ArtifactStore, sweep: Sweep, engine: Engine, database: Database
) -> None:
    await store.put(uuid7(), 1, "x", b"1")
    await database.call("delete from meta where key = 'artifacts'")  # as if it were another one
    assert [await sweep.sweep() for _ in range(2)] == [0, 0]
    assert len(await left(store)) == 1


async def test_a_store_that_is_away_loses_nothing(
    store: ArtifactStore, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(uuid7(), 1, "x", b"1")

    async def away(*_: Any) -> None:
        raise Unavailable("It is away.")

    with monkeypatch.context() as patched:
        patched.setattr(store, "remove", away)
        with suppress(Unavailable):
            await sweep.sweep()
    assert await sweep.sweep() == 1
