"""Where the embedded servers keep what under the data directory, and where their sockets are."""

import hashlib
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from podium.kernel.errors import SettingsInvalid
from podium.kernel.files import private_directory

MAX_SOCKET_BYTES = 100
"""Longest path of a socket: 107 bytes on Linux, 103 on macOS, less a little."""

_PLAIN_PATH = re.compile(r"[\w ./+@=~-]+")
_LONGEST_SOCKET = ".s.PGSQL.5432"
_SHORT_ROOT = Path("/tmp")  # noqa: S108 - the only short directory that every platform has


@dataclass(frozen=True)
class Layout:
    """The places of one data directory. ``data_dir`` must be absolute."""

    data_dir: Path

    @property
    def postgres(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def postgres_draft(self) -> Path:
        """A cluster that is being made; it becomes ``postgres`` when it is whole."""
        return self.data_dir / ".postgres.new"

    @property
    def valkey(self) -> Path:
        return self.data_dir / "valkey"

    @property
    def run(self) -> Path:
        return self.data_dir / "run"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def servers_file(self) -> Path:
        """Passwords and URLs of the embedded servers, mode 0600."""
        return self.run / "servers.json"

    @property
    def sockets(self) -> Path:
        """Directory of the sockets: in the data directory if that path can name a socket.

        It cannot when it is too long, or has a character that connection URLs or the servers'
        configuration give a meaning to, such as a comma.
        """
        near = self.run / "sockets"
        fits = len(os.fsencode(near / _LONGEST_SOCKET)) <= MAX_SOCKET_BYTES
        if fits and _PLAIN_PATH.fullmatch(str(near)):
            return near
        name = hashlib.sha256(os.fsencode(self.data_dir.resolve())).hexdigest()[:16]
        return _SHORT_ROOT / f"podium-{os.geteuid()}" / name

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def remove_sockets(self) -> None:
        """Leave nothing outside the data directory, once no server runs."""
        if self.sockets.parent != self.run:
            with suppress(OSError):
                self.sockets.rmdir()

    def create(self) -> None:
        """Make the directories that are missing, readable by their owner only.

        Raises ``SettingsInvalid`` when this user may not.
        """
        try:
            for directory in (self.run, self.logs, self.valkey):
                private_directory(directory)
            if self.sockets.parent != self.run:
                _own_private(self.sockets.parent)
            private_directory(self.sockets)
        except OSError as error:
            raise SettingsInvalid(
                f"The data directory {self.data_dir} cannot be used: {error}.",
                hint="Start Podium as the user who owns it, or choose another by PODIUM_HOME.",
            ) from error


def _own_private(directory: Path) -> None:
    """Make ``directory`` in a place that others write to, or check that it is ours alone."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if not mine or stat.S_IMODE(found.st_mode) & 0o022:
            raise SettingsInvalid(
                f"{directory} is needed for the sockets of the embedded servers, "
                "but it belongs to another user or others may write to it.",
                hint="Remove it, or choose a data directory with a shorter path (PODIUM_HOME).",
            ) from None
