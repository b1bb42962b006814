"""Writes the database's URL into ``settings.toml``."""

import json
import re
import tomllib
from pathlib import Path

from podium.kernel.errors import SettingsInvalid
from podium.kernel.files import write_private

_LINE = re.compile(r"^[ \t]*database_url[ \t]*=.*$", re.MULTILINE)


def keep_url(data_dir: Path, url: str) -> Path:
    """Set ``database_url`` in the settings of a data directory, which only its owner then may read.

    All else in the file stays as it is written. Raises ``SettingsInvalid`` when it is no TOML.
    """
    path = data_dir / "settings.toml"
    text = path.read_text() if path.exists() else ""
    line = f"database_url = {json.dumps(url, ensure_ascii=False)}"  # TOML reads it, too
    # Before all else: what follows the head of a table belongs to that.
    changed = _LINE.sub(lambda _: line, text) if _LINE.search(text) else f"{line}\n{text}"
    try:
        tomllib.loads(changed)
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(
            f"{path} cannot be changed: {error}.",
            hint="The database was copied; set PODIUM_DATABASE_URL yourself.",
        ) from error
    write_private(path, changed)
    return path
