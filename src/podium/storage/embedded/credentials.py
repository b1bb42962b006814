"""Passwords of the embedded servers, kept in ``run/servers.json``."""

import json
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from podium.kernel.files import write_private
from podium.storage.embedded.paths import Layout

ROLE = "podium"
DATABASE = "podium"
SUPERUSER = "postgres"
MAINTENANCE_DATABASE = "postgres"


@dataclass(frozen=True)
class Credentials:
    """Random passwords: of Podium's role, of PostgreSQL's superuser, of Valkey."""

    postgres: str
    superuser: str
    valkey: str

    @classmethod
    def new(cls) -> "Credentials":
        return cls(*(secrets.token_hex(24) for _ in range(3)))

    @classmethod
    def load(cls, path: Path) -> "Credentials | None":
        """Those of the last start; None when the file is missing or damaged."""
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            words = json.loads(path.read_text())["passwords"]
            return cls(**{name: str(word) for name, word in words.items()})
        return None

    def database_url(self, layout: Layout) -> str:
        return _postgres_url(f"{ROLE}:{self.postgres}", DATABASE, layout)

    def superuser_url(self, layout: Layout) -> str:
        """For what Podium's own role may not do, such as a base backup."""
        return _postgres_url(f"{SUPERUSER}:{self.superuser}", MAINTENANCE_DATABASE, layout)

    def valkey_url(self, layout: Layout) -> str:
        return f"unix://:{self.valkey}@{quote(str(layout.valkey_socket))}"

    def save(self, layout: Layout) -> None:
        """Write the file, mode 0600, in one step."""
        content = {
            "database_url": self.database_url(layout),
            "superuser_url": self.superuser_url(layout),
            "valkey_url": self.valkey_url(layout),
            "passwords": asdict(self),
        }
        write_private(layout.servers_file, json.dumps(content, indent=2) + "\n")


def _postgres_url(login: str, database: str, layout: Layout) -> str:
    return f"postgresql://{login}@/{database}?host={quote(str(layout.sockets))}"
