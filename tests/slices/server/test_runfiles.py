"""The lock and the address of the ``up`` of a data directory."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from podium.client.connection import local_server
from podium.server.runfiles import RunFiles, home

SERVER = {"pid": os.getpid(), "url": "http://127.0.0.1:1"}


@pytest.fixture
def held(tmp_path: Path) -> RunFiles:
    files = RunFiles(tmp_path)
    assert files.acquire() is not None
    files.sign()
    return files


def test_one_holder_at_a_time(held: RunFiles, tmp_path: Path) -> None:
    other = RunFiles(tmp_path)
    assert other.acquire() is None
    assert other.holder() == os.getpid()
    held.release()
    held.release()
    assert other.acquire() is not None
    other.release()


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from podium.server.runfiles import RunFiles;"
        "files = RunFiles(Path(sys.argv[1])); print(files.acquire() is not None, flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert RunFiles(tmp_path).acquire() is None
        holder.kill()
    files = RunFiles(tmp_path)
    assert files.acquire() is not None
    files.release()


def test_somebody_who_only_looks_is_no_holder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    looker = os.open(tmp_path / "run" / "up.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(looker, fcntl.LOCK_SH)
    timer = threading.Timer(0.03, os.close, [looker])
    timer.start()
    files = RunFiles(tmp_path)
    assert files.acquire() is not None
    timer.join()
    files.release()


def test_a_lock_may_be_handed_on(tmp_path: Path) -> None:
    first = RunFiles(tmp_path)
    descriptor = first.acquire()
    assert descriptor is not None
    copy = os.dup(descriptor)
    os.set_inheritable(copy, True)  # noqa: FBT003 - it takes no name
    second = RunFiles(tmp_path)
    second.adopt(copy)
    assert not os.get_inheritable(copy)
    os.close(descriptor)
    assert RunFiles(tmp_path).acquire() is None
    second.release()
    files = RunFiles(tmp_path)
    assert files.acquire() is not None
    files.release()


def test_the_address_is_private_and_believed_only_while_the_lock_is_held(
    held: RunFiles, tmp_path: Path
) -> None:
    place = tmp_path / "run" / "server.json"
    assert held.running() is None
    held.publish(SERVER)
    assert place.stat().st_mode & 0o777 == 0o600
    assert RunFiles(tmp_path).running() == SERVER == local_server(tmp_path)
    text = place.read_text()
    held.release()
    assert not place.exists()
    assert local_server(tmp_path) is None
    place.write_text(text)  # as a killed server leaves it
    assert local_server(tmp_path) is None
    successor = RunFiles(tmp_path)
    assert successor.acquire() is not None
    assert not place.exists()
    successor.release()


@pytest.mark.parametrize("content", ["", "[]", "nonsense", json.dumps({"pid": 1})])
def test_an_address_of_another_process_is_not_believed(
    held: RunFiles, tmp_path: Path, content: str
) -> None:
    (tmp_path / "run" / "server.json").write_text(content)
    assert held.running() is None
    held.release()


def test_nobody_has_signed(tmp_path: Path) -> None:
    assert RunFiles(tmp_path).holder() is None


def test_home_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PODIUM_HOME", "here")
    assert home() == tmp_path / "here"
    monkeypatch.setenv("PODIUM_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / ".podium"
