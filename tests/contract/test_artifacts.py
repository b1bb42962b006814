"""What every artifact store promises. A new adapter is one more line in ``ADAPTERS``."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from buckets import KEYS, S3
from podium.kernel.errors import NotFound, TooLarge, Unavailable
from podium.kernel.ids import uuid7
from podium.storage.artifact_bucket import Bucket, BucketStore
from podium.storage.artifact_directory import DirectoryStore
from podium.storage.artifacts import ArtifactStore, Place, Stored

MIB = 2**20
NAMES = (
    "report.md",
    "a/b/c.txt",
    "../../outside",
    "/etc/passwd",
    ".",
    "..",
    "",
    "-rf",
    "Größe 表 🎉",
    "x" * 255,
    "con.txt",
    "a\nb\x00c",
    "\udc80 is half a character",
    "CASE",
    "case",
)


def in_a_bucket(s3: S3) -> ArtifactStore:
    return BucketStore(Bucket(s3.make_bucket(), "some/prefix", s3.url, "eu-central-1", **KEYS))


ADAPTERS: dict[str, Callable[[Path, S3], ArtifactStore]] = {
    "directory": lambda root, _: DirectoryStore(root / "artifacts"),
    "bucket": lambda _, s3: in_a_bucket(s3),
}


@dataclass
class Kept:
    """A store, and what was put into it."""

    store: ArtifactStore
    stored: dict[tuple[UUID, int, str], Stored]

    async def put(
        self,
        task: UUID,
        name: str,
        content: bytes | Path,
        attempt: int = 1,
        most: int | None = None,
    ) -> Stored:
        stored = await self.store.put(task, attempt, name, content, most)
        self.stored[task, attempt, name] = stored
        return stored

    async def read(
        self, task: UUID, name: str, attempt: int = 1, first: int = 0, count: int | None = None
    ) -> bytes:
        size = self.stored[task, attempt, name].size
        return await read(self.store, task, attempt, name, size, first, count)


async def read(store: ArtifactStore, *what: object) -> bytes:
    async with aclosing(await store.open(*what)) as content:  # type: ignore[arg-type]
        return b"".join([piece async for piece in content])


@pytest.fixture(params=ADAPTERS)
def kept(request: pytest.FixtureRequest, tmp_path: Path, s3: S3) -> Kept:
    return Kept(ADAPTERS[request.param](tmp_path, s3), {})


@pytest.fixture
def task() -> UUID:
    return uuid7()


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 20 * MIB + 5])
async def test_gives_back_what_was_put(kept: Kept, task: UUID, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    source = tmp_path / "source"
    source.write_bytes(content)
    for name, given in (("bytes", content), ("file", source)):
        stored = await kept.put(task, name, given)
        assert (stored.size, stored.sha256) == (size, hashlib.sha256(content).digest())
        assert await kept.read(task, name) == content
    assert source.read_bytes() == content


async def test_gives_back_parts(kept: Kept, task: UUID) -> None:
    content = os.urandom(9 * MIB)
    await kept.put(task, "x", content)
    for first, count in ((0, 1), (0, None), (5, 10), (8 * MIB - 2, 5), (9 * MIB - 1, 1)):
        expected = content[first:] if count is None else content[first : first + count]
        assert await kept.read(task, "x", first=first, count=count) == expected


async def test_keeps_a_copy(kept: Kept, task: UUID, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"before")
    await kept.put(task, "x", source)
    source.write_bytes(b"after")
    source.unlink()
    assert await kept.read(task, "x") == b"before"


async def test_takes_every_name_and_keeps_them_apart(kept: Kept, task: UUID) -> None:
    for name in NAMES:
        await kept.put(task, name, name.encode(errors="surrogatepass"))
    for name in NAMES:
        assert await kept.read(task, name) == name.encode(errors="surrogatepass")
    places = await kept.store.kept("", 100)
    assert {place.file for place in places} == {Place.of(task, 1, name).file for name in NAMES}


async def test_keeps_tasks_and_attempts_apart(kept: Kept, task: UUID) -> None:
    other = uuid7()
    places = [(task, 1), (task, 2), (task, 11), (other, 1)]
    for number, (owner, attempt) in enumerate(places):
        await kept.put(owner, "x", b"%d" % number, attempt)
    for number, (owner, attempt) in enumerate(places):
        assert await kept.read(owner, "x", attempt) == b"%d" % number
    await kept.store.remove([Place.of(task, attempt, "x") for attempt in (1, 2, 11)])
    assert await kept.read(other, "x") == b"3"
    for owner, attempt in places[:3]:
        with pytest.raises(NotFound, match="'x'"):
            await kept.read(owner, "x", attempt)


async def test_removing_what_is_not_there_succeeds(kept: Kept, task: UUID) -> None:
    place = Place.of(task, 1, "x")
    await kept.store.remove([place])
    await kept.put(task, "x", b"1")
    await kept.store.remove([place, Place.of(uuid7(), 7, "y")])
    await kept.store.remove([place])
    await kept.store.remove([])
    await kept.put(task, "x", b"again")
    assert await kept.read(task, "x") == b"again"


async def test_removes_more_than_one_request_takes(kept: Kept, task: UUID) -> None:
    await kept.put(task, "kept", b"1")
    await kept.put(task, "gone", b"1")
    places = [Place.of(task, 1, f"never-{number}") for number in range(1500)]
    await kept.store.remove([*places, Place.of(task, 1, "gone")])
    assert await kept.store.kept("", 10) == [Place.of(task, 1, "kept")]


async def test_lists_in_order_and_goes_on(kept: Kept) -> None:
    assert await kept.store.kept("", 10) == []
    tasks = [uuid7() for _ in range(3)]
    for owner in tasks:
        for attempt in (1, 2, 10):
            await kept.put(owner, "x", b"1", attempt)
            await kept.put(owner, "y", b"1", attempt)
    whole = [str(place) for place in await kept.store.kept("", 100)]
    assert whole == sorted(
        str(Place.of(owner, attempt, name)) for owner, attempt, name in kept.stored
    )
    found: list[str] = []
    while page := await kept.store.kept(found[-1] if found else "", 5):
        found += [str(place) for place in page]
        assert len(page) == 5 or len(found) == len(whole)
    assert found == whole


async def test_belongs_to_who_marked_it(kept: Kept, task: UUID) -> None:
    first, second, third = uuid7(), uuid7(), uuid7()
    assert not await kept.store.claim(first, None)
    assert await kept.store.claim(first, None)
    assert not await kept.store.claim(second, None)
    assert not await kept.store.claim(second, third)
    assert await kept.store.claim(first, None)
    assert not await kept.store.claim(second, first)
    assert await kept.store.claim(second, first)
    assert not await kept.store.claim(first, None)
    assert await kept.store.kept("", 10) == []


async def test_what_was_never_put_is_not_found(kept: Kept, task: UUID) -> None:
    with pytest.raises(NotFound, match=r"never\.txt"):
        await read(kept.store, task, 1, "never.txt", 5)


@pytest.mark.parametrize(("first", "count"), [(0, None), (4, 2), (0, 6), (10, 1)])
async def test_content_of_another_size_is_not_given(
    kept: Kept, task: UUID, first: int, count: int | None
) -> None:
    await kept.put(task, "x", b"12345")
    with pytest.raises(Unavailable, match="not the one on record"):
        await read(kept.store, task, 1, "x", 11, first, count)


async def test_readers_see_old_or_new_content_and_nothing_between(kept: Kept, task: UUID) -> None:
    size = 300_000
    contents = {bytes([number]) * size for number in range(4)}
    await kept.put(task, "x", bytes([0]) * size)
    seen: set[bytes] = set()
    done = asyncio.Event()

    async def read_on() -> None:
        while not done.is_set():
            seen.add(await kept.read(task, "x"))

    reading = asyncio.create_task(read_on())
    for _ in range(10):
        await asyncio.gather(*(kept.put(task, "x", content) for content in contents))
    done.set()
    await reading
    assert seen <= contents
    assert len(seen) > 1


@pytest.mark.parametrize("size", [1001, 20 * MIB])
async def test_more_than_may_be_kept_leaves_nothing(
    kept: Kept, task: UUID, tmp_path: Path, size: int
) -> None:
    most = size - 1
    source = tmp_path / "source"
    source.write_bytes(bytes(size))
    for given in (bytes(size), source):
        with pytest.raises(TooLarge, match=str(most)):
            await kept.put(task, "x", given, most=most)
    assert await kept.store.kept("", 10) == []
    await kept.put(task, "x", source, most=size)


async def test_a_source_that_cannot_be_read_leaves_nothing(
    kept: Kept, task: UUID, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="missing"):
        await kept.put(task, "x", tmp_path / "missing")
    with pytest.raises(NotFound):
        await read(kept.store, task, 1, "x", 1)


async def test_can_be_used(kept: Kept) -> None:
    await kept.store.check()


async def test_is_shown_without_secrets(kept: Kept) -> None:
    assert kept.store.shown.startswith(("file:///", "s3://"))
    assert KEYS["secret_key"] not in kept.store.shown + repr(kept.store)
