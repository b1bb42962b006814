"""What becomes of an attempt whose worker, or whose supervisor, is killed or stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from contract.context import until
from contract.kinds import SOURCE, TESTS, pids
from podium.agents.runtimes.confinement import Mode, choose
from podium.agents.runtimes.supervision import processes
from podium.kernel.errors import SettingsInvalid


@dataclass(frozen=True)
class Case:
    """A kind of agent and its confinement. Both kinds share all code below the confinement."""

    kind: str
    confinement: Mode

    def __str__(self) -> str:
        return f"{self.kind}-{self.confinement}"


CASES = [
    Case("command", "bubblewrap"),
    Case("command", "landlock"),
    Case("command", "none"),
    Case("function-sync", "auto"),
]


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    try:
        choose(request.param.confinement)
    except SettingsInvalid as error:
        pytest.skip(f"NOT RUN: {error.message}")
    return request.param


class Worker:
    """A real worker process with one attempt."""

    def __init__(self, folder: Path, confinement: str, kind: str, behaviour: str) -> None:
        self.task = str(uuid4())
        # Under Landlock nothing can be made directly beside the hidden data directory.
        self.pids = folder / "shared" / f"{behaviour}-{self.task}"
        self.pids.parent.mkdir(exist_ok=True)
        self._folder = folder
        self._words = (confinement, kind, behaviour, str(self.pids))
        self.process = self.start(attempt=1)

    def start(self, attempt: int, lease: float = 1.5) -> subprocess.Popen[str]:
        data = self._folder / "data"
        script = Path(__file__).with_name("worker_process.py")
        words = (*self._words, str(data), str(lease), self.task, str(attempt))
        return subprocess.Popen(
            [sys.executable, str(script), *words],
            env={**os.environ, "PYTHONPATH": f"{TESTS}:{SOURCE}"},
            stdout=subprocess.PIPE,
            text=True,
        )

    def agents(self, attempt: str = "1") -> set[int]:
        return processes.marked(self.task, attempt=attempt)

    def supervisor(self) -> int:
        """The process above the agents that is ours."""
        (found,) = [
            child
            for child in processes.descendants(self.process.pid)
            if b"supervis" in processes.read(f"/proc/{child}/cmdline")
        ]
        return found


@pytest.fixture
def employ(tmp_path: Path, case: Case) -> Iterator[Callable[[str], Worker]]:
    hired: list[Worker] = []

    def employ(behaviour: str) -> Worker:
        hired.append(Worker(tmp_path, case.confinement, case.kind, behaviour))
        return hired[-1]

    yield employ
    for worker in hired:
        worker.process.kill()
        worker.process.communicate()
        assert processes.end_marked(worker.task, seconds=5)


async def test_the_tree_ends_when_the_worker_is_killed(employ: Callable[[str], Worker]) -> None:
    worker = employ("daemonise")
    await until(lambda: len(pids(worker.pids)) == 2)
    assert len(worker.agents()) >= 2
    worker.process.kill()
    await until(lambda: not worker.agents(), seconds=3)


async def test_the_tree_ends_when_the_worker_is_stopped_past_its_lease(
    employ: Callable[[str], Worker],
) -> None:
    worker = employ("daemonise")
    await until(lambda: len(pids(worker.pids)) == 2)
    worker.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.3)
    assert worker.agents(), "the lease has not run out yet"
    await until(lambda: not worker.agents(), seconds=2.5)
    worker.process.send_signal(signal.SIGCONT)
    said, _ = worker.process.communicate(timeout=20)
    assert said == "failed transient lease_expired\n"


async def test_a_takeover_waits_for_the_previous_tree(employ: Callable[[str], Worker]) -> None:
    """The first worker is stopped; a second attempt starts only once the first tree has ended."""
    worker = employ("nap")
    await until(lambda: len(pids(worker.pids)) == 1)
    worker.process.send_signal(signal.SIGSTOP)
    second = worker.start(attempt=2, lease=30)
    try:
        while len(pids(worker.pids)) == 1:
            assert not (worker.agents("1") and worker.agents("2")), "two attempts at once"
            await asyncio.sleep(0.005)
        assert worker.agents("2")
        assert not worker.agents("1")
    finally:
        second.kill()
        second.communicate()


@pytest.mark.parametrize("behaviour", ["nap", "daemonise"])
async def test_the_tree_ends_when_the_supervisor_is_killed(
    employ: Callable[[str], Worker], behaviour: str
) -> None:
    worker = employ(behaviour)
    await until(lambda: len(pids(worker.pids)) == (1 if behaviour == "nap" else 2))
    os.kill(worker.supervisor(), signal.SIGKILL)
    said, _ = worker.process.communicate(timeout=20)
    assert said == "failed transient supervisor_lost\n"
    assert not worker.agents()


async def test_a_takeover_ends_what_both_of_them_left(employ: Callable[[str], Worker]) -> None:
    """Worker and supervisor are killed at once: a daemon may live on and holds no lock."""
    worker = employ("daemonise")
    await until(lambda: len(pids(worker.pids)) == 2)
    supervisor = worker.supervisor()
    os.kill(worker.process.pid, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    second = worker.start(attempt=2, lease=30)
    try:
        await until(lambda: len(pids(worker.pids)) >= 3)
        assert not worker.agents("1")
    finally:
        second.kill()
        second.communicate()


async def test_an_async_function_never_goes_on_after_the_lease(
    tmp_path: Path,
) -> None:
    worker = Worker(tmp_path, "none", "function-async", "tick")
    try:
        await until(lambda: len(pids(worker.pids)) > 5)
        worker.process.send_signal(signal.SIGSTOP)
        stopped_at = len(pids(worker.pids))
        await asyncio.sleep(2)
        worker.process.send_signal(signal.SIGCONT)
        said, _ = worker.process.communicate(timeout=20)
    finally:
        worker.process.kill()
        worker.process.communicate()
    assert said == "failed transient lease_expired\n"
    assert len(pids(worker.pids)) == stopped_at
