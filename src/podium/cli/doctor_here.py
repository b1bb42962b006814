"""What the doctor can check without a server."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence

from podium import __version__
from podium.cli import local
from podium.cli.failures import Failure
from podium.cli.finding import Finding
from podium.cli.text import size
from podium.client.connection import data_dir, local_server

_PREFIX = "PODIUM_"
_NO_SETTINGS = {
    *("PODIUM_URL", "PODIUM_TOKEN", "PODIUM_PROJECT", "PODIUM_EMBEDDED", "PODIUM_NO_INPUT"),
    *("PODIUM_TASK_ID", "PODIUM_ATTEMPT", "PODIUM_WORKSPACE", "PODIUM_INPUT"),
}
"""Variables that clients read, a server gives to its children, or a worker to its agents."""

_LITTLE_BYTES = 2 * 2**30
_LEAST_BYTES = 2**28


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("versions", "ok", f"Podium {__version__} on Python {version}")


def git() -> Finding:
    found = shutil.which("git")
    if found:
        return Finding("git", "ok", found)
    advice = "Install git: checkups and workspaces need it."
    return Finding("git", "warning", "git was not found on PATH.", advice, "git_missing")


def home() -> Finding:
    place = data_dir()
    if not place.exists():
        return Finding("data directory", "ok", f"{place} will be made by the first 'podium up'.")
    if not place.is_dir():
        advice = "Set PODIUM_HOME to a directory."
        return Finding(
            "data directory",
            "failed",
            f"{place} is no directory.",
            advice,
            "data_directory_unusable",
        )
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        advice = "Run Podium as the user it belongs to, or set PODIUM_HOME."
        return Finding(
            "data directory",
            "failed",
            f"{place} cannot be written.",
            advice,
            "data_directory_unusable",
        )
    if place.stat().st_mode & 0o022:
        advice = f"chmod go-w {place}"
        return Finding(
            "data directory",
            "warning",
            f"{place} can be changed by others.",
            advice,
            "data_directory_open",
        )
    return Finding("data directory", "ok", str(place))


def disk() -> Finding:
    place = data_dir()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    advice = "Free some space, or set PODIUM_HOME to another disk."
    if free < _LEAST_BYTES:
        return Finding("disk", "failed", f"Only {size(free)} are free.", advice, "disk_short")
    if free < _LITTLE_BYTES:
        return Finding("disk", "warning", f"Only {size(free)} are free.", advice, "disk_short")
    return Finding("disk", "ok", f"{size(free)} free")


def admin_token() -> Finding:
    path = data_dir() / "admin-token"
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return Finding("admin token", "ok", "It will be made by the first 'podium up'.")
    except OSError as error:
        advice = "Run Podium as the user it belongs to."
        return Finding(
            "admin token", "failed", f"{path}: {error.strerror}", advice, "admin_token_unreadable"
        )
    if mode & 0o077:
        advice = f"chmod 600 {path}; then make a new one, since others may have read this one."
        return Finding(
            "admin token", "failed", f"{path} can be read by others.", advice, "admin_token_open"
        )
    return Finding("admin token", "ok", f"{path}, only for its owner")


def settings() -> Finding:
    try:
        known = [str(setting["env"]) for setting in local.settings()]
        own = not os.environ.get("PODIUM_URL") and local_server()
        missing = local.not_in_force() if own else []
    except Failure as failure:
        return Finding(
            "settings", "failed", failure.message, failure.hint or "", "settings_unusable"
        )
    unknown = [
        name
        for name in sorted(os.environ)
        if name.upper().startswith(_PREFIX) and name.upper() not in {*known, *_NO_SETTINGS}
    ]
    if unknown:
        detail = f"Nothing reads {', '.join(unknown)}."
        return Finding("settings", "warning", detail, _meant(unknown, known), "settings_unknown")
    if missing:
        return Finding(
            "settings",
            "warning",
            local.runs_without(missing),
            local.TO_APPLY,
            "settings_not_in_force",
        )
    return Finding("settings", "ok", f"{len(known)} settings are valid")


def _meant(unknown: Sequence[str], known: Sequence[str]) -> str:
    from difflib import get_close_matches

    # What all names begin with would make any two of them alike.
    endings = [name.removeprefix(_PREFIX) for name in known]
    close = [
        f"{_PREFIX}{match}"
        for name in unknown
        for match in get_close_matches(name.upper().removeprefix(_PREFIX), endings, n=1)
    ]
    return f"Did you mean {', '.join(close)}?" if close else "'podium config docs' has them all."


CHECKS: tuple[Callable[[], Finding], ...] = (python, git, home, disk, admin_token, settings)
