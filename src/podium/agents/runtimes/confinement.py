"""Keeps agent processes away from Podium's own files. The port and its three adapters.

Agents run as the user that Podium runs as, so file permissions do not part them. What is hidden
is Podium's data directory (databases, sockets, the admin token, other attempts' workspaces) and
the environment of Podium's processes. The rest of the machine stays as it is: this keeps an
agent from Podium, not from the user's files or the network.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from podium.agents.runtimes.launch import Launch, start
from podium.agents.runtimes.supervision import landlock as landlock_calls
from podium.kernel.clock import boottime
from podium.kernel.errors import SettingsInvalid

Mode = Literal["auto", "bubblewrap", "landlock", "none"]
Name = Literal["bubblewrap", "landlock", "none"]

_PROBE_SECONDS = 10
# Devices that agents use and that bubblewrap's own small /dev lacks.
_DEVICES = ("dri", "kvm", "fuse", "net", "kfd", "nvidia*")
_KERNEL_FILES = ("/sys", "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the supervisor is told, besides the command: records for its launch.

    ``variables`` are set in the agent's environment.
    """

    records: Sequence[tuple[str, str]] = ()
    variables: dict[str, str] = field(default_factory=dict[str, str])


class Confinement(Protocol):
    """A way to start a process that cannot see some paths.

    Guarantees: nothing started under ``plan`` can read or list what is in ``hidden``, save
    what is in ``allowed``, nor read the environment or memory of processes outside. Nothing on
    disk is changed. Adapters are stateless and may be used at once by many attempts.
    """

    name: Name
    description: str
    """For people: what is used and, for ``none``, why. Shown with attempts and by doctor."""

    def plan(self, hidden: Sequence[Path], allowed: Sequence[Path], scratch: Path) -> Plan:
        """How to hide ``hidden`` except ``allowed``; ``scratch`` is a folder the agent may use."""
        ...


class NoConfinement:
    """Agents see everything that Podium's user sees.

    ``chosen`` tells that somebody wanted it so, and not that the machine offers nothing.
    """

    name: Name = "none"

    def __init__(self, reason: str, *, chosen: bool) -> None:
        self.reason = reason
        self.chosen = chosen
        self.description = f"none: {reason}"

    def plan(self, hidden: Sequence[Path], allowed: Sequence[Path], scratch: Path) -> Plan:  # noqa: ARG002
        """Nothing to tell the supervisor."""
        return Plan()


class Bubblewrap:
    """Own mounts and process ids by ``bwrap``: hidden folders are empty, other processes unseen."""

    name: Name = "bubblewrap"

    def __init__(self, program: str, version: str) -> None:
        self._program = program
        self.description = version

    def plan(self, hidden: Sequence[Path], allowed: Sequence[Path], scratch: Path) -> Plan:  # noqa: ARG002
        """Arguments for bwrap; they travel by memory, see ``supervision.spawn``."""
        arguments = ["--bind", "/", "/", "--dev", "/dev", *self._devices()]
        for path in _resolved([*hidden, *_session_buses()]):
            masked = ["--tmpfs", path] if Path(path).is_dir() else ["--ro-bind", "/dev/null", path]
            arguments += masked
        arguments += [part for path in _resolved(allowed) for part in ("--bind", path, path)]
        for path in _resolved(hidden):
            arguments += ["--remount-ro", path] if Path(path).is_dir() else []
        arguments += ["--unshare-pid", "--proc", "/proc", "--die-with-parent"]
        arguments += self._without_powers_of_root()
        wrapper = (
            *(self._program, "--args", "{arguments}", "--json-status-fd", "{status}"),
            *("--chdir", "{directory}", "--"),
        )
        records = [("wrapper", part) for part in wrapper]
        return Plan([*records, *(("wrapper_argument", part) for part in arguments)])

    @staticmethod
    def _devices() -> list[str]:
        found = [str(path) for name in _DEVICES for path in sorted(Path("/dev").glob(name))]
        return [part for path in found for part in ("--dev-bind-try", path, path)]

    @staticmethod
    def _without_powers_of_root() -> list[str]:
        """As root bwrap keeps every capability, with which a mask could be unmounted again.

        Even without them root could have the kernel start a program outside, by core_pattern.
        """
        if os.geteuid() != 0:
            return []
        drops = [part for name in landlock_calls.DANGEROUS for part in ("--cap-drop", name)]
        locks = [part for path in _KERNEL_FILES for part in ("--ro-bind-try", path, path)]
        return [*drops, *locks]


class Landlock:
    """The kernel refuses hidden paths to the process and its children."""

    name: Name = "landlock"

    def __init__(self, abi: int) -> None:
        self.description = (
            f"landlock ABI {abi}: folders that hold Podium's data directory cannot be listed or "
            "written to directly by agents"
        )

    def plan(self, hidden: Sequence[Path], allowed: Sequence[Path], scratch: Path) -> Plan:
        """Paths for ``supervision.landlock``.

        Where the folder for temporary files holds a hidden path, nothing could be made in it:
        agents get one of their own.
        """
        hide = _resolved(hidden)
        temporary = Path(tempfile.gettempdir()).resolve()
        variables: dict[str, str] = {}
        if any(Path(path).is_relative_to(temporary) for path in hide):
            variables["TMPDIR"] = str(scratch)
        records = [*(("hide", path) for path in hide), *(("allow", p) for p in _resolved(allowed))]
        return Plan(records, variables)


def _resolved(paths: Sequence[Path]) -> list[str]:
    """Existing paths without symbolic links, outermost first."""
    return sorted({str(path.resolve()) for path in paths if path.exists()})


def _session_buses() -> list[Path]:
    """Sockets by which a process could have itself started again outside, by systemd."""
    if os.geteuid() == 0:
        return [Path("/run/systemd/private"), Path("/run/dbus/system_bus_socket")]
    runtime = Path(f"/run/user/{os.geteuid()}")
    return [runtime / "bus", runtime / "systemd"]


def choose(mode: Mode) -> Confinement:
    """The confinement for ``mode``, proven by running it once (some 30 ms; remembered).

    ``auto`` takes bubblewrap, then landlock, then none with the reasons. Raises
    ``SettingsInvalid`` when a named one does not work on this machine.
    """
    if mode == "none":
        return NoConfinement("chosen by the setting PODIUM_CONFINEMENT", chosen=True)
    reasons: list[str] = []
    for name, probe in (("bubblewrap", _bubblewrap), ("landlock", _landlock)):
        if mode in ("auto", name):
            found = probe()
            if not isinstance(found, str):
                return found
            reasons.append(found)
    if mode == "auto":
        return NoConfinement("; ".join(reasons), chosen=False)
    raise SettingsInvalid(
        f"Agents cannot be confined by {mode} on this machine: {reasons[0]}.",
        hint="Install or enable it, or set PODIUM_CONFINEMENT to auto or none.",
    )


@cache
def _bubblewrap() -> Confinement | str:
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed"
    version = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
    )
    confinement = Bubblewrap(str(Path(program).resolve()), version.stdout.strip())
    failure = _failure(confinement)
    return confinement if failure is None else f"bubblewrap does not work here ({failure})"


@cache
def _landlock() -> Confinement | str:
    abi = landlock_calls.abi()
    if abi == 0:
        return "this kernel offers no Landlock"
    confinement = Landlock(abi)
    failure = _failure(confinement)
    return confinement if failure is None else f"Landlock does not work here ({failure})"


def _failure(confinement: Confinement) -> str | None:
    """What went wrong when a process was kept from a file, or None when all was as it should."""
    with tempfile.TemporaryDirectory(prefix="podium-probe-") as name:
        hidden, allowed = Path(name) / "hidden", Path(name) / "hidden" / "allowed"
        allowed.mkdir(parents=True)
        for folder in (hidden, allowed):
            (folder / "file").write_text("x")
        plan = confinement.plan([hidden], [allowed], allowed)
        script = 'cat "$1/allowed/file" && ! cat "$1/file" 2>/dev/null'
        launch = Launch(
            argv=("/bin/sh", "-c", script, "sh", str(hidden)),
            environment={"PATH": os.environ.get("PATH", os.defpath)},
            directory=allowed,
            lock=Path(name) / "lock",
            records=plan.records,
        )
        process = start(launch, deadline=boottime() + _PROBE_SECONDS)
        with process:
            report, said = process.report(), process.output()
    if report.reason == "exited" and report.code == 0 and said == b"x":
        return None
    shown = said.decode(errors="replace").strip().partition("\n")[0]
    return shown or f"{report.reason}, exit status {report.code}, {os.strerror(report.errno)}"
