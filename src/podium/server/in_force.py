"""Which settings of this environment a running ``up`` does not have.

It keeps no values, some of which are secrets, but a mark of each that tells only whether two are
the same: a keyed hash, whose key is made anew with each start.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from podium.kernel.settings import load_settings

if TYPE_CHECKING:
    from podium.kernel.settings import Settings
    from podium.server.runfiles import RunFiles


def keep(files: "RunFiles", settings: "Settings") -> None:
    """Let others compare their settings with those of this process."""
    key = os.urandom(16).hex()
    files.keep_settings({"key": key, "marks": _marks(settings, key)})


def not_in_force(files: "RunFiles") -> list[str]:
    """The settings that variables or ``settings.toml`` make here and that the running ``up`` has
    otherwise; none where none runs. Raises ``SettingsInvalid``."""
    server, kept = files.running(), files.kept_settings()
    if server is None or kept is None:
        return []
    settings = load_settings()
    here, there = _marks(settings, kept["key"]), kept["marks"]
    made = sorted(settings.model_fields_set)
    other = [name for name in made if name != "port" and here[name] != there.get(name)]
    # As with --port: 0 is any, and what counts is where it listens, which may be chosen.
    if "port" in made and settings.port not in {0, urlsplit(str(server["url"])).port}:
        other.append("port")
    return other


def _marks(settings: "Settings", key: str) -> Mapping[str, str]:
    return {name: _mark(getattr(settings, name), key) for name in type(settings).model_fields}


def _mark(value: object, key: str) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    text = json.dumps(plain, default=str)
    return hashlib.blake2b(text.encode(), key=bytes.fromhex(key), digest_size=16).hexdigest()
