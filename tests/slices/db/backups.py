"""Backups as the commands make and restore them."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from podium.server.db import commands
from slices.db.conftest import Place


def quiet(_step: str, _done: int, _of: int) -> None:
    """Nobody looks how far it is."""


async def back_up(place: Place, file: Path, *, verify: bool = False) -> Any:
    return await commands.backup(place.settings, file, quiet, verify=verify)


async def restore(
    place: Place, file: Path, *, replacing: bool = False, dry_run: bool = False
) -> Any:
    """Once nobody of the test uses the database any more."""
    await place.database.engine.dispose()
    return await commands.restore(place.settings, file, quiet, replace=replacing, dry_run=dry_run)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def change_manifest(path: Path, change: Callable[[Any], object]) -> None:
    """Write the file anew with another manifest."""
    parts: list[tuple[tarfile.TarInfo, Path]] = []
    folder = path.parent / "unpacked"
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
        parts = [(member, folder / member.name) for member in tar.getmembers()]
    manifest = folder / "manifest.json"
    told = json.loads(manifest.read_text())
    change(told)
    manifest.write_text(json.dumps(told))
    with tarfile.open(path, "w") as tar:
        for member, file in parts:
            tar.add(file, member.name)
