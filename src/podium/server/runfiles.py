"""The files by which processes find a running ``up``: ``run/up.lock`` and ``run/server.json``, with
what they ask besides: ``run/settings.json`` and, of one that has stopped, ``run/stopped.json``.
"""

import fcntl
import json
import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypedDict, cast

from podium.kernel.errors import SettingsInvalid
from podium.kernel.files import private_directory, write_private

_PROBE_SECONDS = 0.1
"""Who looks whether the lock is held holds it for a moment, so one refusal proves nothing."""


def home() -> Path:
    """The data directory as the environment names it, absolute."""
    return Path(os.environ.get("PODIUM_HOME") or "~/.podium").expanduser().absolute()


class KeptSettings(TypedDict):
    """By name of the setting a mark of its value; see ``in_force``."""

    key: str
    marks: Mapping[str, str]


@contextmanager
def used(data_dir: Path) -> Generator[None]:
    """While files are made in the data directory: that they cannot be is a ``SettingsInvalid``."""
    try:
        yield
    except OSError as error:
        why = "it is no directory" if data_dir.is_file() else error.strerror
        raise SettingsInvalid(
            f"The data directory {data_dir} cannot be used: {why}.",
            hint="Set PODIUM_HOME to a directory that you may write to, or that can be made.",
        ) from None


class RunFiles:
    """Lock and address of the ``up`` of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._lock_file = data_dir / "run" / "up.lock"
        self._server_file = data_dir / "run" / "server.json"
        self._settings_file = data_dir / "run" / "settings.json"
        self._stopped_file = data_dir / "run" / "stopped.json"
        self._descriptor: int | None = None

    def acquire(self) -> int | None:
        """Take the lock; its descriptor, or None when another process holds it.

        What a killed predecessor said of itself is removed. Raises ``SettingsInvalid`` when the
        data directory cannot be used. The lock belongs to the open file:
        a process that inherits the descriptor holds it too.
        """
        with used(self.data_dir):
            private_directory(self._lock_file.parent)
            descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _PROBE_SECONDS
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(_PROBE_SECONDS / 10)
        os.truncate(descriptor, 0)
        self._server_file.unlink(missing_ok=True)
        self._stopped_file.unlink(missing_ok=True)
        self._descriptor = descriptor
        return descriptor

    def adopt(self, descriptor: int) -> None:
        """Hold a lock that the process which started this one has taken."""
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - it takes no name
        self._descriptor = descriptor

    def sign(self) -> None:
        """Write this process's id into the lock file."""
        assert self._descriptor is not None, "the lock is not held"  # noqa: S101
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def publish(self, server: Mapping[str, object]) -> None:
        """Say that the server can be used now."""
        write_private(self._server_file, json.dumps(server) + "\n")

    def keep_settings(self, settings: KeptSettings) -> None:
        """Say what the settings are, before ``publish``."""
        write_private(self._settings_file, json.dumps(settings) + "\n")

    def kept_settings(self) -> KeptSettings | None:
        """What the settings are of whoever published last; None when that one did not say."""
        try:
            return cast("KeptSettings", json.loads(self._settings_file.read_bytes()))
        except FileNotFoundError:
            return None

    def leave_word(self, told: Mapping[str, object]) -> None:
        """Say how it ended to whoever stopped it."""
        write_private(self._stopped_file, json.dumps(told) + "\n")

    def release(self) -> None:
        """Say that the server is gone, and let another one start."""
        if self._descriptor is not None:
            self._server_file.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Process id of the ``up`` that holds the lock, as far as it has said."""
        with suppress(OSError, ValueError):
            return int(self._lock_file.read_text())
        return None

    def running(self) -> Mapping[str, object] | None:
        """What the holder of the lock published; None when it is not ready yet.

        Only to be asked after ``acquire`` was refused.
        """
        try:
            found: object = json.loads(self._server_file.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict):
            return None
        server = cast("Mapping[str, object]", found)
        return server if server.get("pid") == self.holder() else None

    def is_to_stay(self) -> bool:
        """Whether the holder of the lock goes on when it is idle, although it was to end then."""
        server = self.running()
        return server is not None and server.get("idle_seconds") is None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
