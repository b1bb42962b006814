"""What every artifact store promises. A new adapter is one more line in ``store``."""

import asyncio
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from podium.kernel.errors import NotFound
from podium.kernel.ids import uuid7
from podium.storage.artifacts import ArtifactStore, DirectoryStore

ADAPTERS: dict[str, Callable[[Path], ArtifactStore]] = {
    "directory": lambda root: DirectoryStore(root / "artifacts"),
}
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


@pytest.fixture(params=ADAPTERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ADAPTERS[request.param](tmp_path)


@pytest.fixture
def task() -> UUID:
    return uuid7()


async def test_gives_back_what_was_put(store: ArtifactStore, task: UUID, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    source = tmp_path / "source"
    source.write_bytes(content)
    for name, given in (("bytes", content), ("file", source), ("empty", b"")):
        stored = await store.put(task, 1, name, given)
        expected = content if given else b""
        assert (stored.size, stored.sha256) == (len(expected), hashlib.sha256(expected).digest())
        assert (await store.locate(task, 1, name)).read_bytes() == expected
    assert source.read_bytes() == content


async def test_keeps_a_copy(store: ArtifactStore, task: UUID, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"before")
    await store.put(task, 1, "x", source)
    source.write_bytes(b"after")
    source.unlink()
    assert (await store.locate(task, 1, "x")).read_bytes() == b"before"


async def test_takes_every_name_and_keeps_them_apart(
    store: ArtifactStore, task: UUID, tmp_path: Path
) -> None:
    for name in NAMES:
        await store.put(task, 1, name, name.encode(errors="surrogatepass"))
    for name in NAMES:
        path = await store.locate(task, 1, name)
        assert path.read_bytes() == name.encode(errors="surrogatepass")
        assert path.resolve().is_relative_to(tmp_path)


async def test_keeps_tasks_and_attempts_apart(store: ArtifactStore, task: UUID) -> None:
    other = uuid7()
    places = [(task, 1), (task, 2), (task, 11), (other, 1)]
    for number, (owner, attempt) in enumerate(places):
        await store.put(owner, attempt, "x", b"%d" % number)
    for number, (owner, attempt) in enumerate(places):
        assert (await store.locate(owner, attempt, "x")).read_bytes() == b"%d" % number
    await store.delete(task)
    assert (await store.locate(other, 1, "x")).read_bytes() == b"3"
    for owner, attempt in places[:3]:
        with pytest.raises(NotFound):
            await store.locate(owner, attempt, "x")


async def test_deleting_what_is_not_there_succeeds(store: ArtifactStore, task: UUID) -> None:
    await store.delete(task)
    await store.put(task, 1, "x", b"1")
    await store.delete(task)
    await store.delete(task)
    await store.put(task, 1, "x", b"again")
    assert (await store.locate(task, 1, "x")).read_bytes() == b"again"


async def test_what_was_never_put_is_not_found(store: ArtifactStore, task: UUID) -> None:
    with pytest.raises(NotFound, match=r"never\.txt"):
        await store.locate(task, 1, "never.txt")


async def test_readers_see_old_or_new_content_and_nothing_between(
    store: ArtifactStore, task: UUID
) -> None:
    size = 300_000
    contents = {bytes([number]) * size for number in range(4)}
    await store.put(task, 1, "x", bytes([0]) * size)
    path = await store.locate(task, 1, "x")
    seen: set[bytes] = set()
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reading = asyncio.create_task(asyncio.to_thread(read_on))
    for _ in range(10):
        await asyncio.gather(*(store.put(task, 1, "x", content) for content in contents))
    done.set()
    await reading
    assert seen <= contents
    assert len(seen) > 1


async def test_a_source_that_cannot_be_read_leaves_nothing(
    store: ArtifactStore, task: UUID, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="missing"):
        await store.put(task, 1, "x", tmp_path / "missing")
    with pytest.raises(NotFound):
        await store.locate(task, 1, "x")
