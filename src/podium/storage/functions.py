"""The SQL functions of this version: replaced by newer ones, never by older.

What is installed is on record in ``meta``: the version of Podium that brought it, and a digest of
its text. Of two builds of one version the one that starts last installs its own.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import asyncpg
import orjson
from packaging.version import Version
from sqlalchemy.ext.asyncio import AsyncConnection

from podium import __version__
from podium.kernel.errors import PodiumError, Unavailable
from podium.storage.database import call_in, raw_connection

_NAME = re.compile(r"^\s*create or replace function (\w+)", re.MULTILINE | re.IGNORECASE)
_READ = "select value::text from meta where key = 'functions'"
_WRITE = (
    "insert into meta (key, value) values ('functions', $1::text::jsonb)"
    " on conflict (key) do update set value = excluded.value"
)
_PRESENT = (
    "select oid::regprocedure::text as signature, xmin::text as written from pg_proc"
    " where pronamespace = current_schema()::regnamespace and proname = any ($1)"
)


class DatabaseUnsupported(PodiumError):
    """The database server, or the schema in it, is not one that this version can use."""

    code = "database_unsupported"
    title = "Database cannot be used"
    advice = "Use a database or a Podium of another version, as the hint says."


@dataclass(frozen=True, slots=True)
class Functions:
    """A set of functions, and the version of Podium that brought it."""

    version: str
    digest: str
    names: list[str]

    @classmethod
    def of(cls, scripts: Sequence[str]) -> "Functions":
        """Those that the scripts of this version create."""
        text = "\0".join(scripts)
        names = sorted(set(_NAME.findall(text)))
        return cls(__version__, hashlib.sha256(text.encode()).hexdigest(), names)


async def install(conn: AsyncConnection, scripts: Sequence[str]) -> None:
    """Install these functions unless they are there, and drop those that they take the place of.

    Raises ``DatabaseUnsupported`` when those of a newer version are there.
    """
    wanted, found = Functions.of(scripts), await _installed(conn)
    if found is not None and found.digest == wanted.digest:
        return
    _refuse_newer(found)
    names = [*wanted.names, *(found.names if found else ())]
    before = await _present(conn, names)
    try:
        async with conn.begin_nested():
            await _run(conn, scripts)
    except asyncpg.InvalidFunctionDefinitionError:  # one gives another type than it did
        await _drop(conn, before)
        await _run(conn, scripts)
    else:
        after = await _present(conn, names)
        await _drop(conn, [each for each in before if before[each] == after.get(each)])
    await call_in(conn, _WRITE, orjson.dumps(asdict(wanted)).decode())


async def are_installed(conn: AsyncConnection, scripts: Sequence[str]) -> bool:
    """Whether these functions are in the database; ``DatabaseUnsupported`` when newer ones are."""
    found = await _installed(conn)
    _refuse_newer(found)
    return found is not None and found.digest == Functions.of(scripts).digest


async def require_installed(conn: AsyncConnection, scripts: Sequence[str]) -> None:
    """Raise ``DatabaseUnsupported`` when the functions of a newer version are in the database,
    and ``Unavailable`` when it has no or other ones."""
    wanted, found = Functions.of(scripts), await _installed(conn)
    if found is None or found.digest != wanted.digest:
        _refuse_newer(found)
        raise Unavailable(
            f"The functions in the database are of {_podium(found)}, this is {_podium(wanted)}.",
            hint="`podium up` upgrades them, and so does `podium server`.",
        )


def require_not_newer(version: str) -> None:
    """``DatabaseUnsupported`` for what a newer version of Podium wrote."""
    if Version(version) > Version(__version__):
        raise DatabaseUnsupported(
            f"It was written by Podium {version}; this is Podium {__version__}.",
            hint=f"Upgrade this one to {version}, or take a backup made before that.",
        )


def _refuse_newer(found: Functions | None) -> None:
    if found is not None and Version(found.version) > Version(__version__):
        raise DatabaseUnsupported(
            f"The database was upgraded by {_podium(found)}; this is Podium {__version__}.",
            hint=f"Upgrade this one to {found.version}, or restore a backup made before that.",
        )


def _podium(functions: Functions | None) -> str:
    if functions is None:
        return "no Podium"
    return f"Podium {functions.version} ({functions.digest[:8]})"


async def _installed(conn: AsyncConnection) -> Functions | None:
    rows = await call_in(conn, _READ)
    return Functions(**orjson.loads(rows[0]["value"])) if rows else None


async def _present(conn: AsyncConnection, names: Sequence[str]) -> Mapping[str, Any]:
    """The functions of these names by signature, and which transaction wrote each."""
    rows = await call_in(conn, _PRESENT, names)
    return {row["signature"]: row["written"] for row in rows}


async def _drop(conn: AsyncConnection, signatures: Sequence[str] | Mapping[str, Any]) -> None:
    if signatures:
        await (await raw_connection(conn)).execute(f"drop function {', '.join(signatures)}")


async def _run(conn: AsyncConnection, scripts: Sequence[str]) -> None:
    raw = await raw_connection(conn)
    for script in scripts:
        await raw.execute(script)
