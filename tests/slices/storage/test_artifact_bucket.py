"""What is special to artifacts in a bucket: parts, and what networks and stores do."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from uuid import UUID

import pytest
import structlog

from buckets import KEYS, S3, Fault, Proxy, proxy
from podium.kernel.errors import SettingsInvalid, Unavailable
from podium.kernel.ids import uuid7
from podium.kernel.settings import Settings
from podium.storage.artifact_bucket import Bucket, BucketStore
from podium.storage.artifact_directory import DirectoryStore
from podium.storage.artifact_stores import StoreCheck, artifact_store
from podium.storage.artifacts import Place

MIB = 2**20
PREFIX = "podium"


@pytest.fixture
def between(s3: S3) -> Iterator[Proxy]:
    with proxy(s3) as server:
        yield server


@pytest.fixture
def bucket(s3: S3) -> str:
    return s3.make_bucket()


@pytest.fixture
def store(between: Proxy, bucket: str) -> BucketStore:
    return BucketStore(Bucket(bucket, PREFIX, between.url, "us-east-1", **KEYS))


async def until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not found():
            await asyncio.sleep(0.02)


async def test_large_files_go_in_parts_and_small_ones_in_one_request(
    store: BucketStore, between: Proxy, s3: S3, bucket: str
) -> None:
    task = uuid7()
    await store.put(task, 1, "small", b"1")
    assert [each.split()[0] for each in between.seen] == ["PUT"]
    between.seen.clear()
    await store.put(task, 1, "large", bytes(17 * MIB))
    assert [each.split()[0] for each in between.seen].count("PUT") == 3
    assert sum("uploads" in each for each in between.seen) == 1
    names = {f"{PREFIX}/{Place.of(task, 1, name)}" for name in ("small", "large")}
    assert set(s3.keys(bucket)) == names


async def test_what_fails_once_is_tried_again(store: BucketStore, between: Proxy) -> None:
    task, content = uuid7(), os.urandom(17 * MIB)
    between.faults += [
        Fault("PUT", "partNumber=2", status=500),
        Fault("POST", "uploadId", status=503, code="SlowDown"),
        Fault("PUT", "partNumber=1", wait=0.5),
    ]
    stored = await store.put(task, 1, "x", content)
    between.faults += [Fault("GET", status=500), Fault("GET", cut_after=3 * MIB)]
    async with aclosing(await store.open(task, 1, "x", stored.size)) as found:
        assert b"".join([piece async for piece in found]) == content
    assert between.faults == []
    assert sum(each.startswith("GET") for each in between.seen) == 3


async def test_an_upload_that_fails_leaves_nothing(
    store: BucketStore, between: Proxy, s3: S3, bucket: str
) -> None:
    between.faults.append(Fault("PUT", "partNumber=2", status=403, code="AccessDenied"))
    with pytest.raises(Unavailable, match="may not do this") as refused:
        await store.put(uuid7(), 1, "x", bytes(30 * MIB))
    assert "read, write, list and delete" in (refused.value.hint or "")
    assert (s3.keys(bucket), s3.unfinished(bucket)) == ([], [])


async def test_an_upload_that_is_cancelled_leaves_nothing(
    store: BucketStore, between: Proxy, s3: S3, bucket: str
) -> None:
    between.faults += [Fault("PUT", "partNumber=3", wait=1.0)]
    putting = asyncio.create_task(store.put(uuid7(), 1, "x", bytes(60 * MIB)))
    await until(lambda: any("partNumber=3" in each for each in between.seen))
    assert len(s3.unfinished(bucket)) == 1
    putting.cancel()
    with suppress(asyncio.CancelledError):
        await putting
    assert putting.cancelled()
    assert (s3.keys(bucket), s3.unfinished(bucket)) == ([], [])


async def test_a_file_is_never_whole_in_memory(store: BucketStore, tmp_path: Path) -> None:
    import resource

    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(400 * MIB)
    task = uuid7()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stored = await store.put(task, 1, "x", source)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert stored.size == 400 * MIB
    assert grown < 200 * 1024, f"{grown} KiB more"


async def test_whoever_reads_no_more_frees_the_connection(
    store: BucketStore, between: Proxy
) -> None:
    task = uuid7()
    stored = await store.put(task, 1, "x", bytes(64 * MIB))
    content = await store.open(task, 1, "x", stored.size)
    pieces = aiter(content)
    await anext(pieces)
    await asyncio.sleep(0.5)
    assert between.sent < 32 * MIB, "it was read ahead of its reader"
    assert between.broken == 0
    await content.aclose()
    await until(lambda: between.broken == 1)


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (404, "NoSuchBucket", "There is no bucket"),
        (403, "InvalidAccessKeyId", "access key is not known"),
        (403, "SignatureDoesNotMatch", "secret key does not fit"),
        (403, "AccessDenied", "may not do this"),
        (400, "ExpiredToken", "have expired"),
        (301, "PermanentRedirect", "another region"),
    ],
)
async def test_what_is_set_wrong_is_told(
    store: BucketStore, between: Proxy, status: int, code: str, told: str
) -> None:
    named_like_a_status = UUID("01a20416-4160-7416-b416-416416416416")
    for doing in (
        store.check,
        lambda: store.put(uuid7(), 1, "x", b"1"),
        lambda: store.open(named_like_a_status, 1, "x", 1),
        lambda: store.remove([Place.of(uuid7(), 1, "x")]),
        lambda: store.kept("", 1),
        lambda: store.claim(uuid7(), None),
    ):
        between.faults[:] = [Fault(method, status=status, code=code) for method in METHODS]
        with pytest.raises(Unavailable, match=told) as refused:
            await doing()
        assert "PODIUM_ARTIFACT_URL" in (refused.value.hint or "")
        assert KEYS["secret_key"] not in f"{refused.value} {refused.value.hint}"


METHODS = ("GET", "PUT", "POST", "DELETE")


async def test_a_store_that_is_away_is_told_when_a_process_starts() -> None:
    store = BucketStore(Bucket("bucket", "", "http://127.0.0.1:9", "us-east-1", **KEYS))
    with structlog.testing.capture_logs() as logs:
        await StoreCheck(store).tell()
    [told] = logs
    assert (told["event"], told["log_level"]) == ("artifacts.unusable", "error")
    assert "127.0.0.1:9: the store cannot be used now" in told["error"]


def settings_of(tmp_path: Path, **given: object) -> Settings:
    return Settings.model_validate({"home": tmp_path, **given})


async def test_the_settings_name_the_store(s3: S3, bucket: str, tmp_path: Path) -> None:
    assert isinstance(artifact_store(settings_of(tmp_path)), DirectoryStore)
    elsewhere = settings_of(tmp_path, artifact_url=f"file://{tmp_path}/else%20where")
    await artifact_store(elsewhere).put(uuid7(), 1, "x", b"1")
    assert (tmp_path / "else where").is_dir()
    named = settings_of(
        tmp_path,
        artifact_url=f"s3://{bucket}/a/b/",
        artifact_endpoint=s3.url,
        artifact_access_key=KEYS["access_key"],
        artifact_secret_key=KEYS["secret_key"],
    )
    store = artifact_store(named)
    assert store.shown == f"s3://{bucket}/a/b?endpoint={s3.url}"
    await store.put(uuid7(), 1, "x", b"1")
    assert s3.keys(bucket)[0].startswith("a/b/")
    assert KEYS["secret_key"] not in repr(named)


async def test_credentials_come_from_the_usual_variables(
    s3: S3, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    with proxy(s3) as between:
        given = {"artifact_url": f"s3://{bucket}", "artifact_endpoint": between.url}
        await artifact_store(settings_of(tmp_path, **given)).check()
        assert "from-the-environment/" in between.authorization
        assert "/eu-north-1/s3/" in between.authorization


def test_a_library_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "podium.storage.artifact_bucket")
    for name in [name for name in sys.modules if name.partition(".")[0] == "obstore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Refuses(), *sys.meta_path])
    with pytest.raises(SettingsInvalid, match="not installed") as refused:
        artifact_store(settings_of(tmp_path, artifact_url="s3://bucket"))
    assert refused.value.hint == "Install it: pip install 'podium[s3]'."


class _Refuses:
    """Finds no obstore, as where the extra was not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "obstore":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
