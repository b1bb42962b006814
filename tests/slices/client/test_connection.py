"""Which server is used, and that a token goes nowhere else."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from podium.client import Podium
from podium.client.connection import Connection, found_again, resolve
from podium.client.errors import ConnectionFailed, NoServer, Unauthenticated
from slices.client.standin import IGNORED, StandIn, answer

LOCAL = "http://127.0.0.1:8250"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PODIUM_URL", "PODIUM_TOKEN", "PODIUM_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PODIUM_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def locks() -> Iterator[None]:
    yield
    while _HELD:
        _HELD.pop().close()


_HELD: list[IO[bytes]] = []


def running(home: Path, pid: int | None = None, url: str = LOCAL) -> None:
    """What a server of this data directory does: its file, its lock, the token."""
    (home / "run").mkdir()
    (home / "run" / "server.json").write_text(json.dumps({"pid": pid or os.getpid(), "url": url}))
    (home / "admin-token").write_text("podium_local_secret\n")
    lock = (home / "run" / "up.lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    _HELD.append(lock)


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_URL", "http://other:1")
    monkeypatch.setenv("PODIUM_TOKEN", "other")
    assert resolve("https://podium.example/", "mine") == Connection(
        "https://podium.example", "mine"
    )
    assert resolve() == Connection("http://other:1", "other")


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://HOST:8250/", "http://host:8250"),
        ("https://podium.example/behind/a/path", "https://podium.example/behind/a/path"),
        ("http://[::1]:8250", "http://[::1]:8250"),
        ("http://127.0.0.1:8250/api/v1/orchestration/", "http://127.0.0.1:8250"),
    ],
)
def test_a_url_is_brought_into_one_form(given: str, base: str) -> None:
    assert resolve(given, "token").url == base


@pytest.mark.parametrize("given", ["podium.example", "ftp://host", "http://", "http://host:port"])
def test_what_is_no_url_is_refused(given: str) -> None:
    with pytest.raises(NoServer, match="no server URL"):
        resolve(given, "token")


def test_the_local_server_is_found_with_its_administrator(home: Path) -> None:
    running(home)
    assert resolve() == Connection(LOCAL, "podium_local_secret", local=True, administrator=True)


def test_a_token_of_ones_own_goes_to_the_local_server(home: Path) -> None:
    running(home)
    assert resolve(token="mine") == Connection(LOCAL, "mine", local=True)


def test_the_local_token_goes_to_no_other_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(home)
    monkeypatch.setenv("PODIUM_URL", "http://evil.example:8250")
    with pytest.raises(Unauthenticated, match="no token for"):
        resolve()
    monkeypatch.setenv("PODIUM_URL", LOCAL)
    assert resolve().token == "podium_local_secret"


def test_without_any_server_the_error_says_what_to_do(home: Path) -> None:
    with pytest.raises(NoServer) as caught:
        resolve()
    assert str(home) in caught.value.message
    assert "podium up" in (caught.value.hint or "")
    assert isinstance(caught.value, ConnectionFailed)


def test_what_a_dead_server_left_is_not_used(home: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    running(home, pid=gone.pid)
    with pytest.raises(NoServer, match="No Podium server runs"):
        resolve()


def test_a_process_that_got_the_id_of_a_dead_server_is_no_server(home: Path) -> None:
    running(home)
    _HELD.pop().close()
    with pytest.raises(NoServer, match="No Podium server runs"):
        resolve()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": 0, "url": "http://127.0.0.1:1"}'])
def test_a_broken_server_file_is_no_server(home: Path, content: str) -> None:
    running(home)
    (home / "run" / "server.json").write_text(content)
    with pytest.raises(NoServer, match="No Podium server runs"):
        resolve()


def test_an_unreadable_administrator_token_is_told(home: Path) -> None:
    running(home)
    (home / "admin-token").unlink()
    with pytest.raises(Unauthenticated, match="cannot be read"):
        resolve()


@pytest.mark.parametrize("token", ["a b", "a\nHost: evil", "tökén", " "])
def test_a_token_that_cannot_be_one_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        resolve(LOCAL, token)
    assert token.strip() == "" or token not in str(caught.value)


def test_a_home_given_in_code_is_used(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    running(other, url="http://127.0.0.1:9999")
    assert resolve(home=other).url == "http://127.0.0.1:9999"


def moved(home: Path, url: str = "http://127.0.0.1:9999") -> None:
    """What a restart on another port leaves, with the administrator's token made anew."""
    (home / "run" / "server.json").write_text(json.dumps({"pid": os.getpid(), "url": url}))
    (home / "admin-token").write_text("podium_new_secret")


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_token_of_ones_own_outlives_a_restart_of_the_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    running(home)
    if by == "environment":
        monkeypatch.setenv("PODIUM_TOKEN", "mine")
    first = resolve(token="mine" if by == "argument" else None)
    monkeypatch.delenv("PODIUM_TOKEN", raising=False)
    moved(home)
    assert found_again(first, home) == Connection("http://127.0.0.1:9999", "mine", local=True)


def test_the_administrator_stays_the_administrator(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(home)
    first = resolve()
    monkeypatch.setenv("PODIUM_TOKEN", "another")
    moved(home)
    assert found_again(first, home) == Connection(
        "http://127.0.0.1:9999", "podium_new_secret", local=True, administrator=True
    )


def test_a_server_that_was_named_is_not_looked_for(home: Path) -> None:
    named = resolve("https://podium.example", "mine")
    running(home)
    assert found_again(named, home) == named


def test_what_is_sent_again_is_sent_as_the_same_one(home: Path) -> None:
    told = {"principal": "token:mine", "kind": "token", "project": None, "scopes": []}
    with StandIn(IGNORED, answer(told)) as server:
        running(home, url=server.url)
        with Podium(token="mine", home=home) as client:
            client.whoami()
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer mine"] * 2
