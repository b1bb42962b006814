"""What a directory holds before a report is written to it."""

import json
from pathlib import Path
from typing import cast

from podium.checkup import git
from podium.checkup.context import Json, mapping, string
from podium.checkup.repository import Repository
from podium.checkup.text import display


def held(directory: Path, repository: Repository) -> str | None:
    """What a report of ``repository`` would replace in ``directory``, for people.

    None for nothing and for an earlier report of the same repository: one that lies in the same
    place, or that was moved since (its old place is gone, but the commit is known here).
    """
    try:
        text = (directory / "report.json").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return "a report.json that cannot be read"
    try:
        report = mapping(cast("object", json.loads(text)))
    except (ValueError, RecursionError):
        report = {}
    if mapping(report.get("generator")).get("name") != "podium checkup":
        return "a report.json that no checkup wrote"
    of = mapping(report.get("repository"))
    place = string(of.get("top")) or string(of.get("path"))
    if place == display(str(repository.top)) or _moved(of, place, repository):
        return None
    return f"the report of {place}"


def _moved(of: dict[str, Json], place: str, repository: Repository) -> bool:
    head = string(of.get("head"))
    if not head or Path(place).exists():
        return False
    try:
        repository.git.run("cat-file", "-e", head)
    except git.GitFailed:
        return False
    return True
