"""Brings a database to the schema of this version: Alembic's migrations, then our functions."""

import asyncio
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.errors import Unavailable
from podium.storage import functions
from podium.storage.database import Database, driver_errors
from podium.storage.functions import DatabaseUnsupported

_MIGRATIONS = Path(__file__).parent / "migrations"
_OLDEST_SERVER = 150000
_UNLIMITED = """
    select set_config(name, '0', true) from pg_settings
    where name in ('transaction_timeout', 'statement_timeout')
"""
_LOCK = "select pg_advisory_xact_lock(1886348393, 3)"


async def migrate(database: Database, slices: Sequence[str]) -> None:
    """Upgrade the schema and install the SQL functions of the named packages.

    One transaction under a lock: safe when several processes start at once, and an interrupted
    upgrade leaves nothing half-done. ``slices`` are packages with a folder ``sql``.
    """
    with driver_errors():
        async with database.engine.begin() as conn:
            await _require_supported(conn)
            await conn.execute(text(_UNLIMITED))
            await conn.execute(text(_LOCK))
            await conn.run_sync(_upgrade)
            await functions.install(conn, sql_files(slices))


async def require_migrated(database: Database, slices: Sequence[str] = ()) -> None:
    """Raise ``Unavailable`` unless the database answers and has this version's schema, and the
    functions of the named packages; ``DatabaseUnsupported`` when those are of a newer version."""
    head = await asyncio.to_thread(_head)
    async with database.connect() as conn:
        present = (await conn.execute(text("select to_regclass('alembic_version')"))).scalar_one()
        found = None
        if present:
            query = text("select version_num from alembic_version")
            found = (await conn.execute(query)).scalar_one_or_none()
        if found == head and slices:
            await functions.require_installed(conn, sql_files(slices))
    if found != head:
        raise Unavailable(
            f"The database has schema {found or 'none'}, this version needs {head}.",
            hint="`podium up` upgrades it, and so does `podium server`.",
        )


@cache
def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def sql_files(slices: Sequence[str]) -> list[str]:
    """The texts of the SQL files of these packages, in order of package, then file name."""
    scripts: list[str] = []
    for package in slices:
        folder = resources.files(package) / "sql"
        files = sorted(folder.iterdir(), key=lambda file: file.name)
        scripts += [file.read_text() for file in files if file.name.endswith(".sql")]
    return scripts


async def _require_supported(conn: AsyncConnection) -> None:
    version = int((await conn.execute(text("show server_version_num"))).scalar_one())
    if version < _OLDEST_SERVER:
        raise DatabaseUnsupported(
            f"PostgreSQL {version // 10000} is too old: Podium needs 15 or later.",
            hint="Point PODIUM_DATABASE_URL at a newer server, or unset it.",
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    has_table = connection.execute(text("select to_regclass('alembic_version')")).scalar_one()
    present: set[str] = set()
    if has_table:
        present.update(
            connection.execute(text("select version_num from alembic_version")).scalars()
        )
    if unknown := present - known:
        raise DatabaseUnsupported(
            f"The database was upgraded by a newer Podium (schema {', '.join(sorted(unknown))}).",
            hint="Install that version of Podium, or restore a backup made before the upgrade.",
        )
    command.upgrade(config, "head")
