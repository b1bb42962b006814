"""Joins what was measured of lines and of branches, and fails unless enough of each was run.

``python scripts/check_coverage.py PERCENT FILE…``; empty files are of processes that were killed,
or became programs that are not Python's.
"""

import json
import sys
from pathlib import Path
from typing import Any

from slipcover import slipcover

_untyped: Any = slipcover


def main(percent: float, *files: Path) -> int:
    """Show what is missing where; the exit status."""
    joined, *others = (_read(file) for file in files if file.stat().st_size)
    for each in others:
        _untyped.merge_coverage(joined, each)
    _untyped.print_coverage(joined, skip_covered=True)
    enough = True
    for kind in ("lines", "branches"):
        ran, missed = (joined["summary"][f"{state}_{kind}"] for state in ("covered", "missing"))
        print(f"{kind}: {ran:,} of {ran + missed:,}, {100 * ran / (ran + missed):.1f} %")
        enough &= ran >= (ran + missed) * percent / 100
    return 0 if enough else 1


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise SystemExit(f"{file} is no measurement: {error}") from None


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *map(Path, sys.argv[2:])))
