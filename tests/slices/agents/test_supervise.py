"""Commands that run under supervisors from the event loop that workers use."""

import asyncio
import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from contract.context import TestLease
from podium.agents.runtimes import supervise as module
from podium.agents.runtimes.launch import Launch
from podium.agents.runtimes.supervise import supervise
from podium.kernel import open_files
from podium.kernel.errors import AttemptFailed, Unavailable
from slices.agents.commands import command_runtime, maker


class Kept:
    """Keeps what it is fed."""

    def __init__(self) -> None:
        self.data = b""

    async def feed(self, data: bytes) -> None:
        self.data += data

    async def close(self) -> None: ...


def launched(folder: Path, number: int, *argv: str) -> Launch:
    environment = {"PATH": os.environ["PATH"]}
    return Launch(argv, environment, directory=folder, lock=folder / f"{number}.lock")


@contextmanager
def threads_that_open_pipes(lost: list[OSError]) -> Generator[None]:
    """Threads whose descriptors nobody else may close; ``lost`` tells of those that were."""
    done = threading.Event()

    def open_and_close() -> None:
        while not done.is_set():
            for end in os.pipe():
                try:
                    os.close(end)
                except OSError as error:
                    lost.append(error)

    threads = [threading.Thread(target=open_and_close) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_reading_closes_no_descriptor_of_others() -> None:
    async def read_pipes() -> None:
        for _ in range(1000):
            ours, theirs = os.pipe()
            os.write(theirs, b"said")
            os.close(theirs)
            assert await module._read_all(ours) == b"said"
            os.close(ours)

    lost: list[OSError] = []
    with threads_that_open_pipes(lost), asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(asyncio.wait_for(read_pipes(), 60))
    assert lost == []


def test_much_output_is_read_to_its_end(tmp_path: Path) -> None:
    said = Kept()
    launch = launched(tmp_path, 1, "head", "-c", "5000000", "/dev/zero")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        report = loop.run(supervise(launch, TestLease(), said, Kept()))
    assert (report.reason, report.code) == ("exited", 0)
    assert said.data == bytes(5_000_000)


class Slow(Kept):
    """Takes its time over what it is fed, as one does that waits for a disk or a database."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.closed = False
        self._seconds = seconds

    async def feed(self, data: bytes) -> None:
        await asyncio.sleep(self._seconds)
        await super().feed(data)

    async def close(self) -> None:
        await asyncio.sleep(self._seconds)
        self.closed = True


async def test_a_slow_sink_is_given_all_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DRAIN_SECONDS", 0.1)
    said = Slow(0.5)
    launch = launched(tmp_path, 1, "head", "-c", "100000", "/dev/zero")  # more than one reading
    report = await supervise(launch, TestLease(), said, Kept())
    assert (report.reason, report.code, said.closed) == ("exited", 0, True)
    assert said.data == bytes(100_000)


async def test_a_slow_sink_does_not_hold_up_a_request_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DRAIN_SECONDS", 0.1)
    said = Slow(60)
    running = asyncio.create_task(
        supervise(launched(tmp_path, 1, "echo", "said"), TestLease(), said, Kept())
    )
    await asyncio.sleep(1)
    running.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait({running})
    assert running.cancelled()


async def test_nobody_outside_the_tree_holds_its_end_up(tmp_path: Path) -> None:
    """Not the last line either, which has no end: it was written before."""
    said, pipe = Slow(0), tmp_path / "pipe"
    os.mkfifo(pipe)
    told = f"printf said; echo /proc/$$/fd/1 > {pipe}; cat {pipe}"
    running = asyncio.create_task(
        supervise(launched(tmp_path, 1, "sh", "-c", told), TestLease(), said, Kept())
    )
    stdout = await asyncio.to_thread(lambda: pipe.read_text().strip())
    with Path(stdout).open("wb", buffering=0) as held:  # noqa: ASYNC230
        await asyncio.to_thread(pipe.write_text, "")
        async with asyncio.timeout(module._DRAIN_SECONDS + 3):
            report = await running
        assert not held.closed
    assert (report.reason, report.code, said.closed) == ("exited", 0, True)
    assert said.data == b"said"


@pytest.mark.parametrize(
    ("number", "raised"),
    [(each, Unavailable) for each in (errno.EMFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOSPC)]
    + [(errno.EPERM, AttemptFailed)],
)
async def test_a_machine_that_lacks_something_fails_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[Exception]
) -> None:
    def start(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "start", start)
    make = maker(runtime := command_runtime(tmp_path), tmp_path)
    with pytest.raises(raised, match="cannot be started"):
        await runtime.run(make(["true"]))


_ALLOW_MANY = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 400))
from podium.kernel import open_files
open_files.allow_many()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), open_files.inherited())
"""


def test_a_process_takes_the_descriptors_that_it_may_have() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ALLOW_MANY], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["400", "400", "300"]


async def test_agents_have_the_descriptors_that_the_worker_was_started_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "_inherited", 333)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    make = maker(runtime := command_runtime(tmp_path), tmp_path)

    async def limits(**options: Any) -> list[str]:
        output: Any = await runtime.run(make("ulimit -Sn; ulimit -Hn", **options))
        return output["text"].split()

    assert await limits() == ["333", str(hard)]
    assert await limits(limits={"open_files": 222}) == ["222", "222"]
