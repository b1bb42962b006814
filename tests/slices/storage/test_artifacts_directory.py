"""What is special to artifacts in a directory."""

from contextlib import aclosing
from pathlib import Path
from uuid import UUID

import pytest

from podium.kernel.errors import NotFound, Unavailable
from podium.kernel.ids import uuid7
from podium.storage.artifact_directory import DirectoryStore
from podium.storage.artifacts import Place

TOO_LARGE = 2**20


def path_of(root: Path, task: UUID) -> Path:
    return root / str(Place.of(task, 1, "x"))


async def test_only_its_owner_may_look(tmp_path: Path) -> None:
    store, task = DirectoryStore(tmp_path / "a"), uuid7()
    await store.put(task, 1, "x", b"1")
    path = path_of(tmp_path / "a", task)
    assert path.parent.stat().st_mode & 0o077 == 0


async def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    root = tmp_path / "a"
    root.write_text("a file is in the way")
    store, task = DirectoryStore(root), uuid7()
    with pytest.raises(Unavailable, match="cannot be kept"):
        await store.put(task, 1, "x", b"1")
    with pytest.raises(NotFound):
        await store.open(task, 1, "x", 1)
    for doing in (store.remove([Place.of(task, 1, "x")]), store.claim(task, None), store.check()):
        with pytest.raises(Unavailable, match=r"removed|written|no directory"):
            await doing


async def test_a_full_disk_leaves_the_old_content_and_no_rest(tmp_path: Path) -> None:
    """``/dev/full`` cannot be a directory, so a limit on file sizes stands in for a full disk."""
    import resource
    import signal

    store, task = DirectoryStore(tmp_path / "a"), uuid7()
    await store.put(task, 1, "x", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (TOO_LARGE, limits[1]))
    try:
        with pytest.raises(Unavailable, match="too large"):
            await store.put(task, 1, "x", b"1" * (2 * TOO_LARGE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    path = path_of(tmp_path / "a", task)
    assert path.read_bytes() == b"old"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_drafts_that_a_crash_left_are_listed_and_removed(tmp_path: Path) -> None:
    store, task = DirectoryStore(tmp_path / "a"), uuid7()
    await store.put(task, 1, "x", b"1")
    path = path_of(tmp_path / "a", task)
    draft = path.with_name(f"{path.name}.0123456789ab")
    draft.write_bytes(b"half")
    (tmp_path / "a" / "not-ours").mkdir()
    whole, left = await store.kept("", 10)
    assert (whole, left.file) == (Place.of(task, 1, "x"), draft.name)
    await store.remove([left])
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    await store.remove([whole])
    assert [each.name for each in (tmp_path / "a").iterdir()] == ["not-ours"]


async def test_a_file_that_is_cut_while_it_is_read_is_told(tmp_path: Path) -> None:
    store, task = DirectoryStore(tmp_path / "a"), uuid7()
    await store.put(task, 1, "x", bytes(2**20))
    async with aclosing(await store.open(task, 1, "x", 2**20)) as content:
        pieces = aiter(content)
        await anext(pieces)
        with path_of(tmp_path / "a", task).open("r+b") as file:
            file.truncate(10)
        with pytest.raises(Unavailable, match="ended before"):
            async for _ in pieces:
                pass
