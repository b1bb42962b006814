"""What a directory holds before a report is written to it."""

import json
import os
import re
from pathlib import Path
from typing import cast

from podium.checkup import git
from podium.checkup.context import CheckupError, Json, mapping, string
from podium.checkup.repository import Repository
from podium.checkup.text import clean, display

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def report_in(directory: Path) -> dict[str, Json] | None:
    """The report that a checkup wrote to a directory; None for none.

    Raises ``CheckupError`` (``out_taken``) for a report.json that no checkup wrote.
    """
    try:
        text = (directory / "report.json").read_text(encoding="utf-8")
        report = mapping(cast("object", json.loads(text)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _taken(directory, f"that cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        report = {}
    if mapping(report.get("generator")).get("name") != "podium checkup":
        raise _taken(directory, "that no checkup wrote")
    return report


def replaced(directory: Path, repository: Repository) -> str | None:
    """The place of another repository whose report one of ``repository`` would replace.

    None for an empty directory and for an earlier report of the same repository: one that lies in
    the same place, or that was moved since (its old place is gone, but the commit is known here).
    Raises ``CheckupError`` (``out_taken``) for a report.json that no checkup wrote.
    """
    report = report_in(directory)
    if report is None:
        return None
    of = mapping(report.get("repository"))
    place = string(of.get("top")) or string(of.get("path"))
    same = place == display(str(repository.top)) or _moved(of, place, repository)
    return None if same else place


def _taken(directory: Path, why: str) -> CheckupError:
    return CheckupError(
        "invalid_input",
        "out_taken",
        f"{clean(str(directory))} holds a report.json {why}",
        hint="Give another directory with --out.",
    )


def _moved(of: dict[str, Json], place: str, repository: Repository) -> bool:
    head = string(of.get("head"))
    if not _COMMIT.fullmatch(head) or os.path.exists(place):  # noqa: PTH110 - any text may stand there
        return False
    try:
        repository.git.run("cat-file", "-e", head)
    except git.GitFailed:
        return False
    return True
