"""The supervisor by itself: how it is started, spoken to, and finds processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from podium.agents.runtimes import launch as launch_module
from podium.agents.runtimes.launch import Launch, Report, start
from podium.agents.runtimes.supervision import lifeline, processes, spawn
from podium.kernel.clock import boottime

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def launched(folder: Path, *argv: str, **options: object) -> Launch:
    given = {"environment": ENVIRONMENT, "directory": folder, "lock": folder / "lock", **options}
    return Launch(argv=argv, **given)  # type: ignore[arg-type]


def run(launch: Launch, seconds: float = 20) -> tuple[Report, bytes]:
    with start(launch, boottime() + seconds) as supervisor:
        return supervisor.report(), supervisor.output()


def test_it_reports_what_was_used(tmp_path: Path) -> None:
    burn = "x = sum(range(3_000_000)); y = bytearray(40_000_000)"
    report, _ = run(launched(tmp_path, sys.executable, "-c", burn))
    assert (report.reason, report.code) == ("exited", 0)
    assert 0.01 < report.cpu < 20
    assert 40_000_000 < report.rss < 400_000_000


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", -9)])
def test_it_reports_the_end(tmp_path: Path, script: str, code: int) -> None:
    report, _ = run(launched(tmp_path, "sh", "-c", script))
    assert (report.reason, report.code) == ("exited", code)


def test_it_finds_programs_as_a_shell_does(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "tool").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "bin" / "tool").write_text("not executable")
    assert run(launched(tmp_path, "./tool"))[1] == b"here\n"
    path = {"PATH": f"{tmp_path}/bin:{tmp_path}:/usr/bin:/bin"}
    assert run(launched(tmp_path, "tool", environment=path))[1] == b"here\n"
    # An empty entry is the working directory.
    assert run(launched(tmp_path, "tool", environment={"PATH": "/nowhere:"}))[1] == b"here\n"
    report, _ = run(launched(tmp_path, "tool", environment={"PATH": f"{tmp_path}/bin"}))
    assert (report.reason, report.stage, report.errno) == ("start_failed", "command", 13)
    report, _ = run(launched(tmp_path, "true", environment={}))
    assert report.code == 0


def test_it_tells_what_kept_it_from_starting(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    report, _ = run(launched(tmp_path, "true", directory=missing))
    assert (report.reason, report.stage, report.errno) == ("start_failed", "directory", 2)
    report, _ = run(launched(tmp_path, "true", lock=missing / "lock"))
    assert (report.reason, report.stage, report.errno) == ("start_failed", "lock", 2)
    (tmp_path / "garbage").write_bytes(b"\x7fELF but not really")
    (tmp_path / "garbage").chmod(0o755)
    report, _ = run(launched(tmp_path, "./garbage"))
    assert (report.reason, report.stage, report.errno) == ("start_failed", "command", 8)
    report, _ = run(launched(tmp_path, "true", limits={"memory_bytes": 1}))
    assert report.reason == "start_failed" or report.code != 0


def test_a_wrapper_that_never_runs_the_agent_is_told(tmp_path: Path) -> None:
    wrapper = [("wrapper", "/bin/false"), ("wrapper", "{arguments}"), ("wrapper", "{status}")]
    report, _ = run(launched(tmp_path, "true", records=wrapper))
    assert (report.reason, report.stage, report.code) == ("start_failed", "confinement", None)


def test_limits_never_rise_above_those_of_the_worker(tmp_path: Path) -> None:
    """A worker under ``ulimit`` hands its hard limit down."""
    code = 'ulimit -n 200; exec "$@"'
    before = launch_module.SUPERVISOR
    launch_module.SUPERVISOR = ("/bin/sh", "-c", code, "sh", *before)
    try:
        _, said = run(launched(tmp_path, "sh", "-c", "ulimit -n", limits={"open_files": 5000}))
    finally:
        launch_module.SUPERVISOR = before
    assert said == b"200\n"


def test_a_deadline_in_the_past_starts_nothing(tmp_path: Path) -> None:
    report, said = run(launched(tmp_path, "echo", "started"), seconds=-1)
    assert (report.reason, report.code, said) == ("lease_expired", None, b"")


def test_it_waits_for_the_lock_until_it_is_told_to_stop(tmp_path: Path) -> None:
    script = "echo ready; exec sleep 60"
    with start(launched(tmp_path, "sh", "-c", script), boottime() + 60) as first:
        assert os.read(first.stdout, 6) == b"ready\n"
        with start(launched(tmp_path, "true"), boottime() + 20) as second:
            time.sleep(0.2)
            second.say("stop", "0")
            assert second.report().reason == "stopped"
        with start(launched(tmp_path, "true"), boottime() + 0.3) as third:
            assert third.report().reason == "lease_expired"
        with start(launched(tmp_path, "true"), boottime() + 20) as fourth:
            time.sleep(0.2)
            os.close(fourth._lifeline)
            fourth._open.discard(fourth._lifeline)
            assert fourth.report().reason == "worker_gone"
        with start(launched(tmp_path, "echo", "ran"), boottime() + 20) as fifth:
            first.say("stop", "0")
            assert first.report().reason == "stopped"
            assert fifth.output() == b"ran\n"
            assert fifth.report().reason == "exited"
    assert not (tmp_path / "lock").exists()


def test_an_order_that_comes_before_it_has_begun_counts(tmp_path: Path) -> None:
    """The supervisor finds it right behind what to run."""
    with start(launched(tmp_path, "sleep", "60"), boottime() + 20) as supervisor:
        supervisor.say("stop", "0")
        assert supervisor.report().reason == "stopped"


def test_the_lease_ends_a_grace_that_is_longer(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    with start(launched(tmp_path, "sh", "-c", script), boottime() + 20) as supervisor:
        assert os.read(supervisor.stdout, 6) == b"ready\n"
        began = time.monotonic()
        supervisor.say("stop", "30")
        time.sleep(0.1)
        supervisor.say("lease", repr(boottime() + 0.2))
        assert supervisor.report().reason == "stopped"
        assert time.monotonic() - began < 3


def test_a_second_stop_may_shorten_the_grace(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    with start(launched(tmp_path, "sh", "-c", script), boottime() + 60) as supervisor:
        assert os.read(supervisor.stdout, 6) == b"ready\n"
        began = time.monotonic()
        supervisor.say("stop", "30")
        supervisor.say("stop", "0.2")
        assert supervisor.report().reason == "stopped"
        assert time.monotonic() - began < 3


def test_stopped_processes_are_ended_too(tmp_path: Path) -> None:
    script = "echo ready; kill -STOP $$"
    with start(launched(tmp_path, "sh", "-c", script), boottime() + 60) as supervisor:
        assert os.read(supervisor.stdout, 6) == b"ready\n"
        time.sleep(0.1)
        supervisor.say("stop", "10")
        began = time.monotonic()
        report = supervisor.report()
        assert (report.reason, report.code) == ("stopped", -15)
        assert time.monotonic() - began < 3


def test_it_starts_quickly(tmp_path: Path) -> None:
    """It is paid on every attempt. The bound is generous: the machine may be busy."""
    took: list[float] = []
    for _ in range(10):
        began = time.perf_counter()
        run(launched(tmp_path, "true"))
        took.append(time.perf_counter() - began)
    assert sorted(took)[1] < 0.5


def test_a_supervisor_that_dies_leaves_no_report(tmp_path: Path) -> None:
    with start(launched(tmp_path, "sleep", "20"), boottime() + 20) as supervisor:
        supervisor.kill()
        assert supervisor.report() == Report("supervisor_lost")
        supervisor.say("lease", "1")  # nobody listens, which is no error


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_nothing_leaks_when_it_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_module, "SUPERVISOR", ("/no/such/python",))
    before = open_descriptors()
    with pytest.raises(FileNotFoundError):
        run(launched(tmp_path, "true"))
    assert open_descriptors() == before
    monkeypatch.setattr(launch_module, "SUPERVISOR", ("/bin/true",))
    report, _ = run(launched(tmp_path, "true", stdin=b"x" * 10, environment={"A": "b" * 90_000}))
    assert report.reason == "supervisor_lost"
    assert open_descriptors() == before


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A process with a child: (process, child)."""
    code = "import subprocess, sys; c = subprocess.Popen(['sleep', '30']); print(c.pid, flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", code + "; c.wait()"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    child = int(process.stdout.readline())
    yield process.pid, child
    os.kill(child, 9)
    process.communicate()


def no(_: str) -> bool:
    return False


@pytest.mark.parametrize("source", ["children", "table", "ps"])
def test_descendants(family: tuple[int, int], source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels may keep no lists of children, and other systems have no /proc."""
    if source != "children":
        monkeypatch.setattr(processes, "_below_by_children", None)
        monkeypatch.setattr(os.path, "exists", no)
    if source == "ps":
        monkeypatch.setattr(processes.sys, "platform", "darwin")
    process, child = family
    assert child in processes.descendants(os.getpid())
    assert process in processes.descendants(os.getpid())
    assert processes.descendants(process) == {child}
    assert processes.descendants(child) == set()


def test_who_is_gone_has_nothing(family: tuple[int, int], tmp_path: Path) -> None:
    gone = 2**22 + 1
    assert processes.descendants(gone) == set()
    assert processes.consumed({gone}) == (0.0, 0)
    assert processes.consumed({family[1]})[1] > 0
    assert processes.read(f"/proc/{gone}/environ") == b""
    assert processes.read(str(tmp_path)) == b""
    assert not processes.lives(gone)
    assert processes.lives(family[1])
    processes.signal_all({gone}, 9)


def test_without_proc_nothing_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> list[str]:
        raise FileNotFoundError

    monkeypatch.setattr(os, "listdir", missing)
    assert processes.pids() == []


def test_processes_of_others_live(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: int, __: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert processes.lives(1)


def test_marks_tell_attempts_apart() -> None:
    task = str(uuid4())
    own = [
        subprocess.Popen(["sleep", "30"], env={"PODIUM_TASK_ID": task, "PODIUM_ATTEMPT": attempt})
        for attempt in ("1", "2")
    ]
    first, second = (process.pid for process in own)
    other = subprocess.Popen(["sleep", "30"], env={"X_PODIUM_TASK_ID": task})
    try:
        assert processes.marked(task) == {first, second}
        assert processes.marked(task, attempt="1") == {first}
        assert processes.marked(task, besides="1") == {second}
        assert processes.end_marked(task, seconds=5, besides="2")
        assert own[0].wait() == -9
        assert own[1].poll() is None
    finally:
        for process in (*own, other):
            process.kill()
            process.wait()


def test_who_cannot_be_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def marked(*_: object, **__: object) -> set[int]:
        return {2**22 + 1}

    monkeypatch.setattr(processes, "marked", marked)
    assert not processes.end_marked("task", seconds=0.05)


def test_kernels_without_descriptors_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert spawn._watched(os.getpid()) == -1


def test_elsewhere_than_on_linux(tmp_path: Path) -> None:
    """There is no subreaper, no pidfd and no /proc there; what is left must still work."""
    script = tmp_path / "start.py"
    folder = Path(launch_module.__file__).parent
    script.write_text(
        "import sys, time\n"
        "sys.platform = 'darwin'\n"
        f"sys.path.append({str(folder)!r})\n"
        "import os; del os.pidfd_open\n"
        "from supervision.supervisor import main\n"
        "main(int(sys.argv[1]), int(sys.argv[2]))\n"
    )
    before = launch_module.SUPERVISOR
    launch_module.SUPERVISOR = (*before[:-1], str(script))
    try:
        report, said = run(launched(tmp_path, "echo", "hello"))
        assert (report.reason, report.code, said) == ("exited", 0, b"hello\n")
        leave = "(sleep 60 & echo $! > pid; echo ready; sleep 60) & sleep 60"
        with start(launched(tmp_path, "sh", "-c", leave), boottime() + 60) as supervisor:
            assert os.read(supervisor.stdout, 6) == b"ready\n"
            supervisor.say("stop", "0")
            assert supervisor.report().reason == "stopped"
        sleeper = int((tmp_path / "pid").read_text())
        assert not processes.lives(sleeper) or b"Z" in processes.read(f"/proc/{sleeper}/stat")
    finally:
        launch_module.SUPERVISOR = before


def test_records_may_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [b"argv tr", b"ue\0directory /\0lock l\0task t\0attempt 1\0grace 1\0pati", b"ence 2",
              b"\0env A=b=c\0lease 5\0limit cpu_seconds=3\0go \0", b""]  # fmt: skip

    def read(_: int, __: int) -> bytes:
        return pieces.pop(0)

    def set_blocking(_: int, __: object) -> None:
        """The test's own standard input is left alone."""

    monkeypatch.setattr(os, "read", read)
    monkeypatch.setattr(os, "set_blocking", set_blocking)
    line = lifeline.Lifeline()
    launch = line.launch()
    assert launch.argv == [b"true"]
    assert launch.environment == {b"A": b"b=c"}
    assert launch.limits == {"cpu_seconds": 3}
    assert line.deadline == 5.0
    line.listen()
    assert line.closed
    line.listen()  # and nothing is read any more


def test_a_worker_that_dies_before_it_said_what_to_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [*launch_module.SUPERVISOR, "0", "1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        cwd=tmp_path,
    )
    assert launch_module.decoded(done.stdout).reason == "worker_gone"
