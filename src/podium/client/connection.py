"""Which server to talk to: what the caller says, then the environment, then the local server."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from podium.client.errors import NoServer, Unauthenticated

API = "/api/v1/orchestration"


@dataclass(frozen=True, slots=True)
class Connection:
    """``url`` has no path and no trailing slash; ``local`` is set when it was discovered, and
    ``administrator`` when the token is that of the local administrator, read from its file."""

    url: str
    token: str
    local: bool = False
    administrator: bool = False


def data_dir(home: Path | str | None = None) -> Path:
    """The data directory: ``home``, else ``PODIUM_HOME``, else ``~/.podium``."""
    return Path(home or os.environ.get("PODIUM_HOME") or "~/.podium").expanduser().absolute()


def local_server(home: Path | str | None = None) -> Mapping[str, object] | None:
    """What ``server.json`` says of the server of this data directory; None when none runs."""
    run = data_dir(home) / "run"
    try:
        found = json.loads((run / "server.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    server = cast("dict[str, object]", found)
    process, url = server.get("pid"), server.get("url")
    if not isinstance(process, int) or not isinstance(url, str):
        return None
    return server if _runs(process) and _is_held(run / "up.lock") else None


def resolve(
    url: str | None = None, token: str | None = None, home: Path | str | None = None
) -> Connection:
    """The connection to use, or ``NoServer`` or ``Unauthenticated``, which say what is missing.

    The local administrator's token is only ever sent to the server of the same data directory.
    """
    url = url or os.environ.get("PODIUM_URL") or None
    token = token or os.environ.get("PODIUM_TOKEN") or None
    server = local_server(home)
    local = _base(str(server["url"])) if server else None
    if url and (token or _base(url) != local):
        if not token:
            raise Unauthenticated(
                f"There is no token for {url}.",
                hint="Set PODIUM_TOKEN to one that 'podium token create' gave. On the machine of a "
                "'podium server' the administrator's is in admin-token of its data directory.",
            )
        return Connection(_base(url), _sendable(token))
    if not local:
        raise NoServer(
            f"No Podium server runs on {data_dir(home)}, and PODIUM_URL is not set.",
            hint="Start one with 'podium up --detach', or set PODIUM_URL and PODIUM_TOKEN. For a "
            f"'podium server' of this machine the token is in {data_dir(home) / 'admin-token'}.",
        )
    return Connection(
        local, _sendable(token or admin_token(home)), local=True, administrator=not token
    )


def found_again(connection: Connection, home: Path | str | None) -> Connection:
    """The connection to where the local server is now: it may have been restarted elsewhere.

    Whoever somebody's token stands for, it stays that one; only the local administrator's is
    read anew. Raises ``Unauthenticated`` when that cannot be read.
    """
    server = local_server(home) if connection.local else None
    if not server:
        return connection
    token = _sendable(admin_token(home)) if connection.administrator else connection.token
    return replace(connection, url=_base(str(server["url"])), token=token)


def admin_token(home: Path | str | None = None) -> str:
    """The token of the local administrator, or ``Unauthenticated`` when it cannot be read."""
    path = data_dir(home) / "admin-token"
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise Unauthenticated(
            f"The local administrator's token cannot be read: {path}: {error}.",
            hint="Run this as the user who started the server, or set PODIUM_TOKEN.",
        ) from None


def _sendable(token: str) -> str:
    if not token or not all("!" <= character <= "~" for character in token):
        raise Unauthenticated(
            "The token is empty or has characters that no token has.",
            hint="Set PODIUM_TOKEN to the text that 'podium token create' printed, and no more.",
        )
    return token


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NoServer(
            f"{url!r} is no server URL.", hint="Give it as http://127.0.0.1:8250 or https://host."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix(API)
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"


def _runs(process: int) -> bool:
    if process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_held(lock: Path) -> bool:
    """Whether a server holds the lock: after a crash its process id may be another's."""
    import fcntl

    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # it is held, or belongs to a user whose files we may not open
        return True
    return False
