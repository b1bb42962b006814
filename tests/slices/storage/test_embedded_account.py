"""The account that the embedded servers run as when Podium runs as root."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from podium.kernel.errors import SettingsInvalid
from podium.storage.embedded import account as accounts
from podium.storage.embedded.account import Account, server_account

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root on Linux needs an account"
)

STRANGER = Account(uid=65534, gid=65534)
OTHER = Account(uid=65533, gid=65533)


def succeeds_as(account: Account, *argv: str | Path) -> bool:
    done = subprocess.run(
        argv,
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


def can_reach(account: Account, path: Path) -> bool:
    return succeeds_as(account, "test", "-r", path)


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A file that anybody may read, in directories that only root may enter."""
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    (tmp_path / "a").chmod(0o700)
    place.chmod(0o700)
    (place / "file").write_text("")
    return place / "file"


def test_a_way_is_opened_for_one_account_alone(deep: Path) -> None:
    assert not can_reach(STRANGER, deep)
    STRANGER.open_way(deep)
    assert can_reach(STRANGER, deep)
    assert not can_reach(OTHER, deep)
    assert stat.S_IMODE(deep.parent.stat().st_mode) & 0o007 == 0
    assert not succeeds_as(STRANGER, "ls", deep.parent)  # it may pass through, not look around
    OTHER.open_way(deep)
    assert can_reach(STRANGER, deep)
    assert can_reach(OTHER, deep)


def test_without_access_lists_everybody_may_pass(
    deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError("not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    STRANGER.open_way(deep)
    assert stat.S_IMODE(deep.parent.stat().st_mode) == 0o701


def test_taking_a_directory_takes_what_is_in_it(deep: Path) -> None:
    (deep.parent / "link").symlink_to("/etc/passwd")
    STRANGER.take(deep.parent)
    assert deep.stat().st_uid == deep.parent.stat().st_uid == 65534
    assert (deep.parent / "link").lstat().st_uid == 65534
    assert Path("/etc/passwd").stat().st_uid == 0


def test_a_program_that_was_unpacked_for_root_alone_can_be_run(tmp_path: Path) -> None:
    install = tmp_path / "install"
    (install / "bin").mkdir(parents=True)
    program, library = install / "bin" / "tool", install / "library.so"
    program.write_text("#!/bin/sh\nexit 0\n")
    library.write_text("")
    for path, mode in ((program, 0o700), (library, 0o600), (program.parent, 0o700)):
        path.chmod(mode)
    assert not can_reach(STRANGER, program)
    STRANGER.open_program(program, install, tmp_path / "no-libraries")
    assert succeeds_as(STRANGER, program)
    assert stat.S_IMODE(library.stat().st_mode) == 0o604
    STRANGER.open_program(program, install)


def test_a_cluster_of_an_ordinary_user_is_run_as_that_user(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    os.chown(tmp_path / "postgres", 65534, 65534)
    assert server_account(tmp_path / "postgres") == STRANGER


def test_an_account_that_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "NAME", "podium-no-such-user")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsInvalid, match="podium-no-such-user could not be made"):
        server_account(tmp_path / "postgres")
    refuses = tmp_path / "useradd"
    refuses.write_text("#!/bin/sh\necho it is locked >&2\nexit 1\n")
    refuses.chmod(0o755)
    with pytest.raises(SettingsInvalid, match="it is locked"):
        server_account(tmp_path / "postgres")


def test_other_platforms_do_not_run_servers_as_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SettingsInvalid, match="do not run as root"):
        server_account(tmp_path / "postgres")


def test_an_ordinary_user_needs_no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert server_account(tmp_path / "postgres") is None
