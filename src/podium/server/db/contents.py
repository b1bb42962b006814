"""What a copy of a database holds, as it is written beside the copy and checked when it is read."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Table(_Part):
    """Rows of a table, and about how many bytes they take."""

    rows: int
    bytes: int


UNKNOWN = "unknown"
"""The version of Podium that a database without functions is of."""


class Contents(_Part):
    """The database at one moment. ``edge`` is the cursor before which its events are complete."""

    podium: str
    schema_revision: str
    postgres: str
    epoch: int
    edge: str
    tables: dict[Annotated[str, Field(pattern="^[a-z0-9_]+$")], Table]


class File(_Part):
    """A file of a backup, by its name in it."""

    name: str
    size: int
    sha256: str


class Manifest(_Part):
    """All that a backup holds. ``missing`` are artifacts on record of which there was no file, and
    ``differing`` those whose file was not the one on record. With ``bucket``, its URL, artifacts
    are in that and not in the backup."""

    format: int = FORMAT
    made_at: str
    database: Contents
    files: list[File]
    missing: list[str]
    differing: list[str] = []
    bucket: str | None = None
