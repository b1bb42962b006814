"""Brings a database to the schema of this version: Alembic's migrations, then our functions."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationInfo
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.errors import Unavailable
from podium.storage import functions
from podium.storage.address import SESSION_SETTINGS
from podium.storage.database import Database, driver_errors
from podium.storage.functions import DatabaseUnsupported

_MIGRATIONS = Path(__file__).parent / "migrations"
_OLDEST_SERVER = 150000
UNLIMITED = """
    select set_config(name, '0', true) from pg_settings
    where name in ('transaction_timeout', 'statement_timeout',
                   'idle_in_transaction_session_timeout')
"""
"""Lets a transaction take as long as it needs."""
LOCK = "select pg_advisory_xact_lock(1886348393, 3)"
_KEPT_SETTINGS = text(
    "select unnest(setconfig) from pg_db_role_setting where setrole = current_user::regrole"
    " and setdatabase = (select oid from pg_database where datname = current_database())"
)
_KEEP_SETTING = text(
    "select format('alter role %I in database %I set %I = %L', current_user, current_database(),"
    " cast(:name as text), cast(:value as text))"
)


def _no_step(_step: "Step") -> None:
    """Nobody asks."""


async def migrate(
    database: Database, slices: Sequence[str], on_step: Callable[["Step"], None] = _no_step
) -> None:
    """Upgrade the schema and install the SQL functions of the named packages.

    One transaction under a lock: safe when several processes start at once, and an interrupted
    upgrade leaves nothing half-done. ``slices`` are packages with a folder ``sql``. ``on_step`` is
    called after each migration.
    """
    with driver_errors():
        async with database.engine.begin() as conn:
            await _require_supported(conn)
            await conn.execute(text(UNLIMITED))
            await conn.execute(text(LOCK))
            await conn.run_sync(_upgrade, on_step)
            await functions.install(conn, sql_files(slices))
            if database.address.pooled:
                await _keep_settings(conn)


async def require_migrated(database: Database, slices: Sequence[str] = ()) -> None:
    """Raise ``Unavailable`` unless the database answers and has this version's schema, and the
    functions of the named packages; ``DatabaseUnsupported`` when either is of a newer version."""
    wanted = await asyncio.to_thread(head)
    async with database.connect() as conn:
        present = (await conn.execute(text("select to_regclass('alembic_version')"))).scalar_one()
        found = None
        if present:
            query = text("select version_num from alembic_version")
            found = (await conn.execute(query)).scalar_one_or_none()
        if found == wanted and slices:
            await functions.require_installed(conn, sql_files(slices))
    if found != wanted:
        if found is not None:
            await asyncio.to_thread(require_known, found)
        raise Unavailable(
            f"The database has schema {found or 'none'}, this version needs {wanted}.",
            hint="`podium up` upgrades it, and so does `podium server`.",
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: its revision, and what it brings."""

    revision: str
    about: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The schema that a database has (None: none), that which this version needs, and the
    migrations between. ``functions`` says whether those of this version are installed."""

    found: str | None
    wanted: str
    pending: list[Step]
    functions: bool


async def standing(conn: AsyncConnection, slices: Sequence[str]) -> Standing:
    """How far a database is. Raises ``DatabaseUnsupported`` when its schema or its functions are
    of a newer version."""
    present = (await conn.execute(text("select to_regclass('alembic_version')"))).scalar_one()
    found = None
    if present:
        query = text("select version_num from alembic_version")
        found = (await conn.execute(query)).scalar_one_or_none()
    script = ScriptDirectory.from_config(_config())
    if found is not None:
        _refuse_unknown(script, {found})
    steps = [_step(each) for each in script.iterate_revisions("head", found or "base")]
    same = present and await functions.are_installed(conn, sql_files(slices))
    return Standing(found, str(script.get_current_head()), steps[::-1], bool(same))


def require_known(revision: str) -> None:
    """``DatabaseUnsupported`` for the schema of a newer version than this."""
    _refuse_unknown(ScriptDirectory.from_config(_config()), {revision})


def _step(script: Script) -> Step:
    return Step(script.revision, script.doc.removesuffix("."))


@cache
def head() -> str | None:
    """The schema that this version needs."""
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


async def _keep_settings(conn: AsyncConnection) -> None:
    """Give this role's sessions in this database what they need, which a pooler passes on to none.

    Each that PostgreSQL opens from now on has it.
    """
    kept = set((await conn.execute(_KEPT_SETTINGS)).scalars())
    for name, value in SESSION_SETTINGS.items():
        if f"{name}={value}" not in kept:
            (statement,) = (await conn.execute(_KEEP_SETTING, {"name": name, "value": value})).one()
            await conn.execute(text(statement))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection, on_step: Callable[[Step], None]) -> None:
    config = _config()
    script = ScriptDirectory.from_config(config)

    def on_version_apply(*, step: MigrationInfo, **_: object) -> None:
        if step.up_revision_id is not None:
            on_step(_step(script.get_revision(step.up_revision_id)))

    config.attributes.update(connection=connection, on_version_apply=on_version_apply)
    has_table = connection.execute(text("select to_regclass('alembic_version')")).scalar_one()
    present: set[str] = set()
    if has_table:
        present.update(
            connection.execute(text("select version_num from alembic_version")).scalars()
        )
    _refuse_unknown(script, present)
    command.upgrade(config, "head")


def _refuse_unknown(script: ScriptDirectory, present: set[str]) -> None:
    known = {each.revision for each in script.walk_revisions()}
    if unknown := present - known:
        raise DatabaseUnsupported(
            f"The database was upgraded by a newer Podium (schema {', '.join(sorted(unknown))}).",
            hint="Install that version of Podium, or restore a backup made before the upgrade.",
        )
