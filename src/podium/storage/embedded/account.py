"""The unprivileged account that the embedded servers run as when Podium runs as root.

PostgreSQL refuses to run as root. The account needs to reach its own directories and the
binaries, so each directory above them lets this account, and no other, pass through.
"""

import os
import pwd
import stat
import struct
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from podium.kernel.errors import SettingsInvalid

NAME = "pgserver"

_ACL = "system.posix_acl_access"
_ACL_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_PASS = 0o1  # to pass through a directory: its x bit


@dataclass(frozen=True)
class Account:
    """A user of the operating system."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Give ``path`` and all below it to this account."""
        os.chown(path, self.uid, self.gid, follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            for child in path.iterdir():
                self.own(child)

    def take(self, directory: Path) -> None:
        """Own ``directory`` and be able to reach it."""
        self.own(directory)
        self.open_way(directory)

    def open_way(self, path: Path) -> None:
        """Let this account pass through each directory above ``path``."""
        for directory in path.parents:
            if not directory.stat().st_mode & stat.S_IXOTH:
                _let_pass(directory, self.uid)

    def open_program(self, program: Path, *trees: Path) -> None:
        """Let this account run ``program``, whose files may have been unpacked for root alone."""
        self.open_way(program)
        if program.stat().st_mode & stat.S_IXOTH and program.parent.stat().st_mode & stat.S_IXOTH:
            return
        for tree in filter(Path.exists, trees):
            for path in (tree, *tree.rglob("*")):
                mode = path.stat().st_mode
                path.chmod(stat.S_IMODE(mode) | (mode & 0o500) >> 6)


def server_account(cluster: Path) -> Account | None:
    """The account to run servers as; None when this process is not root and runs them itself.

    That is the owner of ``cluster`` when an ordinary user made it, else a system user, which is
    created when it is missing. Raises ``SettingsInvalid`` where that cannot be.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    if sys.platform != "linux":
        raise SettingsInvalid(
            "The embedded servers do not run as root on this platform.",
            hint="Start Podium as an ordinary user, or set PODIUM_DATABASE_URL.",
        )
    return _find() or _create()


def _find() -> Account | None:
    with suppress(KeyError):
        entry = pwd.getpwnam(NAME)
        return Account(entry.pw_uid, entry.pw_gid)
    return None


def _create() -> Account:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        trouble = done.stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        trouble = str(error)
    if account := _find():  # also when another process was quicker
        return account
    raise SettingsInvalid(
        f"PostgreSQL does not run as root, and the user {NAME} could not be made: {trouble}",
        hint=f"Create a system user named {NAME}, start Podium as an ordinary user, "
        "or set PODIUM_DATABASE_URL.",
    )


def _let_pass(directory: Path, uid: int) -> None:
    """Grant ``uid`` alone the x bit by an access list; where there are none, grant it to all."""
    if sys.platform != "linux":
        return
    try:
        granted = _acl_with(_read_acl(directory), uid)
        os.setxattr(directory, _ACL, granted)
    except OSError:
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IXOTH)


def _read_acl(directory: Path) -> list[tuple[int, int, int]]:
    """Entries (tag, permissions, id) of the access list; those of the mode if there is none."""
    if sys.platform == "linux":
        with suppress(OSError):
            return list(struct.iter_unpack("<HHI", os.getxattr(directory, _ACL)[4:]))
    mode = directory.stat().st_mode
    return [
        (_USER_OBJ, mode >> 6 & 7, _NO_ID),
        (_GROUP_OBJ, mode >> 3 & 7, _NO_ID),
        (_OTHER, mode & 7, _NO_ID),
    ]


def _acl_with(entries: Iterable[tuple[int, int, int]], uid: int) -> bytes:
    table = {(tag, who): permissions for tag, permissions, who in entries}
    table[_USER, uid] = table.get((_USER, uid), 0) | _PASS
    mask = table.get((_MASK, _NO_ID), table[_GROUP_OBJ, _NO_ID])
    table[_MASK, _NO_ID] = mask | _PASS
    packed = (struct.pack("<HHI", tag, table[tag, who], who) for tag, who in sorted(table))
    return struct.pack("<I", _ACL_VERSION) + b"".join(packed)
