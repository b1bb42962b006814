"""What is special to artifacts in a directory."""

from pathlib import Path

import pytest

from podium.kernel.errors import NotFound, Unavailable
from podium.kernel.ids import uuid7
from podium.storage.artifacts import DirectoryStore

TOO_LARGE = 2**20


async def test_only_its_owner_may_look(tmp_path: Path) -> None:
    store, task = DirectoryStore(tmp_path / "a"), uuid7()
    await store.put(task, 1, "x", b"1")
    path = await store.locate(task, 1, "x")
    assert path.parent.stat().st_mode & 0o077 == 0


async def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    root = tmp_path / "a"
    root.write_text("a file is in the way")
    store, task = DirectoryStore(root), uuid7()
    with pytest.raises(Unavailable, match="cannot be kept"):
        await store.put(task, 1, "x", b"1")
    with pytest.raises(NotFound):
        await store.locate(task, 1, "x")
    with pytest.raises(Unavailable, match="cannot be removed"):
        await store.delete(task)


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
    path = await store.locate(task, 1, "x")
    assert path.read_bytes() == b"old"
    assert [each.name for each in path.parent.iterdir()] == [path.name]
