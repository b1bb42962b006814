"""What confined processes cannot do. Each adapter is tried for real, or reported as not run."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podium.agents.runtimes import built_in, confinement
from podium.agents.runtimes.confinement import Confinement, Mode, NoConfinement, choose
from podium.agents.runtimes.launch import Launch, start
from podium.agents.runtimes.supervision import landlock, processes
from podium.kernel.clock import boottime
from podium.kernel.errors import SettingsInvalid

SECRET = "secret-of-the-data-directory"
ADAPTERS: list[Mode] = ["bubblewrap", "landlock"]
Look = Callable[..., str]


@pytest.fixture(params=ADAPTERS)
def confined(request: pytest.FixtureRequest) -> Confinement:
    try:
        return choose(request.param)
    except SettingsInvalid as error:
        return pytest.skip(f"NOT RUN: {error.message}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a secret, below a folder of its own."""
    data = tmp_path / "home" / "data"
    (data / "workspaces" / "task" / "1").mkdir(parents=True)
    (data / "admin-token").write_text(SECRET)
    (tmp_path / "elsewhere").mkdir()
    return data


def looking(adapter: Confinement, data: Path, tmp_path: Path) -> Look:
    workspace = data / "workspaces" / "task" / "1"

    def look(script: str, *arguments: object) -> str:
        """The output of a shell script, run under the adapter; standard error last."""
        plan = adapter.plan([data], [workspace], workspace)
        launch = Launch(
            argv=("/bin/sh", "-c", script, "sh", *map(str, arguments)),
            environment={"PATH": os.environ["PATH"], "VARIABLE": "of-the-agent", **plan.variables},
            directory=workspace,
            lock=tmp_path / "lock",
            records=plan.records,
        )
        with start(launch, boottime() + 20) as supervisor:
            report, said = supervisor.report(), supervisor.output()
        assert report.reason == "exited", (report, said)
        return said.decode()

    return look


@pytest.fixture
def look(confined: Confinement, data: Path, tmp_path: Path) -> Look:
    return looking(confined, data, tmp_path)


@pytest.fixture
def server() -> Iterator[int]:
    """A process outside with a secret in its environment."""
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, "PODIUM_KEY": SECRET})
    yield process.pid
    process.kill()
    process.wait()


def test_without_confinement_all_is_seen(data: Path, tmp_path: Path, server: int) -> None:
    """The other tests of this file would prove nothing if this failed."""
    look = looking(NoConfinement("as a control", chosen=True), data, tmp_path)
    assert look('cat "$1"', data / "admin-token") == SECRET
    assert SECRET in look('cat "/proc/$1/environ"', server)
    assert look('kill -0 "$1" && echo reached', server) == "reached\n"


def test_the_data_directory_cannot_be_read(look: Look, data: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "link").symlink_to(data / "admin-token")
    ways = [
        str(data / "admin-token"),
        f"/proc/self/root{data}/admin-token",
        str(tmp_path / "elsewhere" / "link"),
        f"{data}/workspaces/task/1/../../../admin-token",
        f"{data}/workspaces/../admin-token",
    ]
    for way in ways:
        said = look('cat "$1"', way)
        assert SECRET not in said
        assert "No such file" in said or "Permission denied" in said


def test_the_data_directory_cannot_be_listed_or_written(look: Look, data: Path) -> None:
    assert "admin-token" not in look('ls -a "$1"', data)
    look('echo x > "$1/new"; rm -f "$1/admin-token"; mv "$1" "$1-moved"', data)
    assert (data / "admin-token").read_text() == SECRET
    assert not (data / "new").exists()


def test_the_workspace_is_there(look: Look, data: Path) -> None:
    assert look("mkdir a && echo made > a/file && cat a/file; pwd") == (
        f"made\n{data}/workspaces/task/1\n"
    )
    assert (data / "workspaces" / "task" / "1" / "a" / "file").read_text() == "made\n"


def test_the_rest_of_the_machine_is_as_it_was(look: Look, tmp_path: Path) -> None:
    said = look(
        'echo out > "$1/file" && cat "$1/file"; echo $VARIABLE; "$2" -c "print(6 * 7)";'
        "echo into > /dev/null; head -1 /etc/passwd; head -c 3 /dev/urandom | wc -c;"
        "cat /dev/stdin",
        tmp_path / "elsewhere",
        sys.executable,
    )
    expected = [
        "out",
        "of-the-agent",
        "42",
        Path("/etc/passwd").read_text().partition("\n")[0],
        "3",
    ]
    assert said.split() == expected
    assert (tmp_path / "elsewhere" / "file").read_text() == "out\n"


def test_temporary_files_can_be_made(look: Look) -> None:
    assert look("mktemp > made && test -f $(cat made) && echo yes") == "yes\n"


def test_other_processes_cannot_be_looked_into(look: Look, server: int) -> None:
    for way in ("environ", "maps", "root/etc/passwd", "cwd/."):
        said = look('cat "/proc/$1/$2"; ls "/proc/$1/$2"', server, way)
        assert SECRET not in said
        assert "No such file" in said or "Permission denied" in said, said


def test_other_processes_cannot_be_ended(look: Look, server: int, confined: Confinement) -> None:
    if confined.name == "landlock" and landlock.abi() < 6:
        pytest.skip("NOT RUN: this kernel's Landlock does not keep signals in (ABI 6)")
    look('kill -9 "$1"', server)
    assert processes.lives(server)
    os.kill(server, signal.SIGTERM)  # it would have answered to us


def test_the_mask_cannot_be_taken_off(look: Look, data: Path, tmp_path: Path) -> None:
    script = """
        umount "$1"; umount -l "$1"
        mkdir -p "$2/m"; mount --bind / "$2/m"; cat "$2/m$1/admin-token"
        unshare -m sh -c 'umount "$0"; cat "$0/admin-token"' "$1"
        unshare -Umr sh -c 'umount "$0"; mount --bind / "$1/m"; cat "$1/m$0/admin-token"' "$1" "$2"
        chroot / cat "$1/admin-token"
        true
    """
    assert SECRET not in look(script, data, tmp_path / "elsewhere")


def test_raw_disks_cannot_be_read(look: Look, tmp_path: Path) -> None:
    disks = [path for path in Path("/dev").iterdir() if path.is_block_device()]
    if not disks:
        pytest.skip("NOT RUN: this machine shows no disks under /dev")
    disk = disks[0]
    assert look('head -c 1 "$1" | wc -c', disk).split()[0] == "0"
    number = disk.stat().st_rdev
    made = tmp_path / "elsewhere" / "disk"
    script = 'mknod "$1" b "$2" "$3"; head -c 1 "$1" | wc -c'
    assert look(script, made, os.major(number), os.minor(number)).split()[0] == "0"


def test_kernel_settings_of_root_cannot_be_written(look: Look) -> None:
    """By core_pattern or uevent_helper root would be run again outside."""
    for path in ("/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper"):
        assert "opened" not in look('(exec 3>>"$1") && echo opened; true', path)


def test_bubblewrap_gets_neither_the_agents_environment_nor_shows_it(
    data: Path, tmp_path: Path
) -> None:
    try:
        adapter = choose("bubblewrap")
    except SettingsInvalid as error:
        pytest.skip(f"NOT RUN: {error.message}")
    workspace = data / "workspaces" / "task" / "1"
    plan = adapter.plan([data], [workspace], workspace)
    launch = Launch(
        argv=("sleep", "60"),
        environment={"PATH": os.environ["PATH"], "LD_PRELOAD": "", "PODIUM_TOKEN": SECRET},
        directory=workspace,
        lock=tmp_path / "lock",
        records=plan.records,
    )
    with start(launch, boottime() + 20) as supervisor:
        family: set[int] = set()
        while not any(b"sleep" in processes.read(f"/proc/{each}/comm") for each in family):
            family = processes.descendants(os.getpid())
        wrappers = [p for p in family if b"bwrap" in processes.read(f"/proc/{p}/comm")]
        assert wrappers
        for process in wrappers:
            assert b"LD_PRELOAD" not in processes.read(f"/proc/{process}/environ")
        for process in family:
            assert SECRET.encode() not in processes.read(f"/proc/{process}/cmdline")
        supervisor.say("stop", "0")
        supervisor.report()


def test_landlock_hides_paths_from_the_process_that_asks(data: Path) -> None:
    if landlock.abi() == 0:
        pytest.skip("NOT RUN: this kernel offers no Landlock")
    script = """
import os, sys
from podium.agents.runtimes.supervision.landlock import restrict
data = sys.argv[1].encode()
restrict([data, b"/no/such/place"], [data + b"/workspaces", data + b"/no/such/place"])
def tried(path):
    try:
        return os.path.isdir(path) and bool(os.listdir(path)) or open(path).read()
    except PermissionError:
        return "refused"
print(*(tried(path) for path in sys.argv[2:]))
"""
    paths = [data / "admin-token", data, data.parent, data / "workspaces", "/usr"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, [data, *paths])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["refused", "refused", "refused", "True", "True"]


def test_landlock_refuses_what_the_kernel_refuses() -> None:
    """An error of the kernel must not pass for a confinement."""
    if landlock.abi() == 0:
        pytest.skip("NOT RUN: this kernel offers no Landlock")
    ruleset = landlock._Ruleset()
    os.close(ruleset._descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        ruleset.grant(b"/usr")


@pytest.mark.parametrize(
    ("abi", "folder", "file"), [(1, 13, 3), (2, 14, 3), (3, 15, 4), (5, 16, 5)]
)
def test_landlock_asks_only_for_what_the_kernel_knows(abi: int, folder: int, file: int) -> None:
    rights = landlock._rights(abi)
    assert [right.bit_count() for right in rights] == [folder, file]


def test_landlock_is_for_linux_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock.sys, "platform", "darwin")
    assert landlock.abi() == 0


@pytest.fixture
def forgetful() -> Iterator[None]:
    """What was found out about this machine is found out anew, before and after."""
    probes = (confinement._bubblewrap, confinement._landlock)
    for probe in probes:
        probe.cache_clear()
    yield
    for probe in probes:
        probe.cache_clear()


@pytest.mark.usefixtures("forgetful")
def test_a_missing_bubblewrap_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsInvalid, match="bubblewrap is not installed"):
        choose("bubblewrap")


@pytest.mark.usefixtures("forgetful")
def test_an_unusable_bubblewrap_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It can be installed and forbidden, as in many containers."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SettingsInvalid, match="No permissions to create new namespace"):
        choose("bubblewrap")
    assert choose("auto").name != "bubblewrap"


@pytest.mark.usefixtures("forgetful")
def test_auto_says_why_there_is_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    found = choose("auto")
    assert found.name == "none"
    assert found.description == (
        "none: bubblewrap is not installed; this kernel offers no Landlock"
    )
    with pytest.raises(SettingsInvalid, match="no Landlock") as caught:
        choose("landlock")
    assert "PODIUM_CONFINEMENT" in (caught.value.hint or "")


async def test_none_is_a_choice_that_is_shown(tmp_path: Path) -> None:
    runtime = built_in(data_dir=tmp_path, confinement="none")["command"]
    conditions = await runtime.conditions(runtime.validate({"command": ["true"]}))
    assert conditions["confinement"] == "none"
    assert "PODIUM_CONFINEMENT" in conditions["confinement_detail"]
