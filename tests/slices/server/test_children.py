"""Children are kept running, and stop in order; their lifelines end them with their parent."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from podium.kernel.errors import SettingsInvalid
from podium.server.children import Child, Ended, Pauses
from podium.server.exits import ExitStatus

WAITS = """
import asyncio
from podium.server.lifeline import Lifeline, StopOrder
async def main():
    order = StopOrder()
    order.listen()
    Lifeline().watch(order)
    note("started")
    await order.stop.wait()
    note("stop")
    {then}
asyncio.run(main())
"""
NOTE = """
import os, sys
def note(text):
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{text} {os.getpid()}\\n")
"""
QUICK = Pauses(first=(0.01, 0.02), then=0.05, steady=60)


class Notes:
    """What the children of a test wrote down: (word, process id)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[tuple[str, int]]:
        if not self.path.exists():
            return []
        lines = (line.split() for line in self.path.read_text().splitlines())
        return [(word, int(process)) for word, process in lines]

    def count(self, word: str) -> int:
        return [noted for noted, _ in self.all()].count(word)


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


def argv(script: str, then: str = "pass") -> list[str]:
    return [sys.executable, "-c", NOTE + textwrap.dedent(script.replace("{then}", then))]


@asynccontextmanager
async def child(
    notes: Notes,
    script: str,
    then: str = "pass",
    *,
    on_ended: Callable[[Ended], bool] | None = None,
) -> AsyncGenerator[Child]:
    made = Child(
        "test",
        argv(script, then),
        {"NOTES": str(notes.path)},
        pauses=QUICK,
        on_ended=on_ended,
    )
    made.start()
    try:
        yield made
    finally:
        await made.stop(0)
        assert not any(psutil.pid_exists(process) for _, process in notes.all())


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        await asyncio.sleep(0.01)


async def test_a_child_that_dies_is_started_again(notes: Notes) -> None:
    async with child(notes, WAITS):
        for number in range(1, 4):
            await eventually(lambda n=number: notes.count("started") == n)
            os.kill(notes.all()[-1][1], signal.SIGKILL)
        await eventually(lambda: notes.count("started") == 4)


async def test_pauses_grow_and_a_long_life_begins_anew(notes: Notes) -> None:
    made = Child("test", argv("note('x')"), {}, pauses=Pauses(first=(1, 2), then=30))
    assert [made._pause(deaths) for deaths in range(5)] == [1, 2, 30, 30, 30]


async def test_a_child_is_started_once_the_machine_has_the_means_again(notes: Notes) -> None:
    async with child(notes, WAITS) as made:
        await eventually(lambda: notes.count("started") == 1)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            made.replace()
            await asyncio.sleep(0.5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        await eventually(lambda: notes.count("started") == 2)


async def test_whoever_is_asked_decides_on_a_restart(notes: Notes) -> None:
    seen: list[Ended] = []

    def decide(ended: Ended) -> bool:
        seen.append(ended)
        return len(seen) < 3

    async with child(notes, "note('x'); sys.exit(7)", on_ended=decide):
        await eventually(lambda: len(seen) == 3)
        await asyncio.sleep(0.2)
    assert [ended.status for ended in seen] == [7, 7, 7]
    assert notes.count("x") == 3


async def test_a_child_says_why_it_cannot_start(notes: Notes) -> None:
    seen: list[Ended] = []
    script = """
    from podium.kernel.errors import SettingsInvalid
    from podium.server.lifeline import Lifeline
    assert os.readlink("/proc/self/fd/0").startswith("socket:") or sys.platform != "linux"
    line = Lifeline()
    assert sys.stdin.read() == ""
    line.report(SettingsInvalid("a is wrong", hint="set b"))
    sys.exit(1)
    """

    def decide(ended: Ended) -> bool:
        seen.append(ended)
        return False

    async with child(notes, script, on_ended=decide):
        await eventually(lambda: bool(seen))
    code = SettingsInvalid.code
    assert seen == [Ended(1, {"code": code, "message": "a is wrong", "hint": "set b"})]


async def test_a_child_that_has_no_words_is_told_by_its_error(notes: Notes) -> None:
    seen: list[Ended] = []
    script = """
    from podium.server.lifeline import Lifeline
    Lifeline().report(KeyError("x"))
    """

    def decide(ended: Ended) -> bool:
        seen.append(ended)
        return False

    async with child(notes, script, on_ended=decide):
        await eventually(lambda: bool(seen))
    assert seen[0].said is not None
    assert seen[0].said["message"] == "KeyError: 'x'"


async def test_stop_lets_it_finish(notes: Notes) -> None:
    async with child(notes, WAITS, "await asyncio.sleep(0.2); note('finished')") as made:
        await eventually(lambda: notes.count("started") == 1)
        await made.stop(10)
        assert notes.count("finished") == 1
        assert notes.count("started") == 1
        made.hurry()


async def test_a_child_that_does_not_stop_is_killed(notes: Notes) -> None:
    async with child(notes, WAITS, "await asyncio.sleep(60)") as made:
        await eventually(lambda: notes.count("started") == 1)
        began = time.monotonic()
        await made.stop(0.3)
        assert 0.3 <= time.monotonic() - began < 3
        assert made.process is not None
        assert made.process.returncode == -signal.SIGKILL


async def test_hurry_asks_again(notes: Notes) -> None:
    async with child(notes, WAITS, "await order.hurry.wait(); note('hurried')") as made:
        await eventually(lambda: notes.count("started") == 1)
        stopping = asyncio.create_task(made.stop(60))
        await eventually(lambda: notes.count("stop") == 1)
        made.hurry()
        await asyncio.wait_for(stopping, 10)
        assert notes.count("hurried") == 1


async def test_hurry_may_come_just_before_the_stop(notes: Notes) -> None:
    """A supervisor may be told to hurry in the moment in which it begins to stop."""
    async with child(notes, WAITS, "await order.hurry.wait(); note('hurried')") as made:
        await eventually(lambda: notes.count("started") == 1)
        made.hurry()
        assert notes.count("stop") == 0
        await asyncio.wait_for(made.stop(60), 10)
        assert notes.count("hurried") == 1


async def test_hurry_counts_though_both_orders_arrive_together(notes: Notes) -> None:
    """A process that the machine does not let run for a moment finds them both at once."""
    async with child(notes, WAITS, "await order.hurry.wait(); note('hurried')") as made:
        await eventually(lambda: notes.count("started") == 1)
        process = psutil.Process(notes.all()[0][1])
        process.suspend()
        await eventually(lambda: process.status() == psutil.STATUS_STOPPED)
        made.hurry()
        stopping = asyncio.create_task(made.stop(60))
        await asyncio.sleep(0.2)
        process.resume()
        await asyncio.wait_for(stopping, 10)
        assert notes.count("hurried") == 1


async def test_stop_while_it_is_between_two_lives(notes: Notes) -> None:
    made = Child("test", argv("note('x')"), {"NOTES": str(notes.path)}, pauses=Pauses(first=(60,)))
    made.start()
    await eventually(lambda: notes.count("x") == 1)
    await eventually(lambda: made.process is not None and made.process.returncode == 0)
    await asyncio.wait_for(made.stop(30), 5)


async def test_stop_before_it_was_started(notes: Notes) -> None:
    made = Child("test", argv(WAITS), {"NOTES": str(notes.path)})
    made.start()
    await made.stop(5)
    assert notes.count("started") <= 1


PARENT = """
import asyncio
from podium.server.children import Child
async def main():
    Child("test", {argv!r}, {{}}).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("note('finished')", ["started", "stop", "finished"]),
        ("await order.hurry.wait(); note('hurried')", ["started", "stop", "hurried"]),
        ("import time; time.sleep(60)", ["started", "stop"]),  # deaf: its thread ends it
    ],
)
async def test_a_killed_parent_leaves_no_child(notes: Notes, then: str, words: list[str]) -> None:
    faster = "from podium.server import lifeline as l; l.GRACE_SECONDS = 1; l.HURRY_SECONDS = 0.1\n"
    code = PARENT.format(argv=argv(faster + WAITS, then))
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), env={**os.environ, "NOTES": str(notes.path)}
    )
    await eventually(lambda: notes.count("started") == 1)
    process = psutil.Process(notes.all()[0][1])
    parent.kill()
    await parent.wait()
    await eventually(lambda: not process.is_running(), 5)
    assert [word for word, _ in notes.all()] == words


def test_a_deaf_child_says_that_it_was_orphaned(tmp_path: Path, notes: Notes) -> None:
    script = """
    import asyncio, time
    from podium.server import lifeline
    lifeline.GRACE_SECONDS = 0.2
    async def main():
        lifeline.Lifeline().watch(lifeline.StopOrder())
        time.sleep(30)
    asyncio.run(main())
    """
    done = subprocess.run(argv(script), stdin=subprocess.DEVNULL, timeout=20, check=False)
    assert done.returncode not in (0, ExitStatus.ORPHANED)  # a lifeline is a socket
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs, contextlib.suppress(OSError):
        process = subprocess.Popen(argv(script), stdin=theirs.fileno())
        theirs.close()
        ours.close()
        assert process.wait(20) == ExitStatus.ORPHANED
