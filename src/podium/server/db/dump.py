"""A copy of a database at one moment, made by ``pg_dump`` while others go on writing."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.kernel.errors import NotFound
from podium.server.db import checks, programs
from podium.server.db.contents import UNKNOWN, Contents, Table
from podium.server.db.progress import Progress
from podium.storage.address import Address
from podium.storage.database import Database, call_in, driver_errors, raw_connection
from podium.storage.migrate import UNLIMITED
from podium.tasks import store as tasks

_TABLES = """
    select c.relname as name, pg_table_size(c.oid) as bytes
      from pg_class c where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
       and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
     order by c.relname
"""
_OPTIONS = (
    *("--format=custom", "--no-owner", "--no-privileges", "--no-publications"),
    *("--no-subscriptions", "--no-security-labels", "--no-password", "--verbose"),
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a database, for as long as the block lasts that it is from."""

    address: Address
    name: str
    contents: Contents
    kept: Sequence[tasks.Kept]
    """The artifacts on record."""

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.contents.tables.values())


@asynccontextmanager
async def snapshot(address: Address) -> AsyncGenerator[Snapshot]:
    """Hold a moment of the database, to which a dump, counts and lists then belong together.

    Raises ``DatabaseUnsupported`` where the server is too new for our programs, ``Conflict``
    behind a pooler, ``NotFound`` where there is nothing of Podium.
    """
    checks.refuse_pooled(address)
    database = Database(address.dsn, pool_size=1, patience=None)
    try:
        with driver_errors():
            async with database.engine.connect() as conn:
                await checks.require_direct(conn)
                version = await checks.require_known_server(conn)
                name = await _export(conn)
                contents = await _contents(conn, version)
                yield Snapshot(address, name, contents, await tasks.all_artifacts(conn))
    finally:
        await database.close()


async def _export(conn: AsyncConnection) -> str:
    """Begin a transaction at a moment when no writer of events is under way, for all that the
    moment has to be complete; who comes meanwhile waits for some milliseconds."""
    await conn.commit()
    raw = await raw_connection(conn)
    await raw.execute("set lock_timeout = '20s'; select pg_advisory_lock(1886348393, 1)")
    await conn.execution_options(isolation_level="REPEATABLE READ")
    name = (await conn.execute(text("select pg_export_snapshot()"))).scalar_one()
    await conn.execute(text("select pg_advisory_unlock(1886348393, 1)"))
    await conn.execute(text(UNLIMITED))
    return name


async def _contents(conn: AsyncConnection, version: str) -> Contents:
    found = await checks.schema(conn)
    if found.revision is None:
        raise NotFound(
            "The database holds nothing of Podium.", hint="See that it is the right one."
        )
    edge = (await events.edge(conn)).cursor
    return Contents(
        podium=found.podium or UNKNOWN,
        schema_revision=found.revision,
        postgres=version,
        epoch=edge.epoch,
        edge=str(edge),
        tables=await _tables(conn),
    )


async def _tables(conn: AsyncConnection) -> dict[str, Table]:
    """Every table with its rows, partitions each by itself."""
    sizes: Mapping[str, int] = {row["name"]: row["bytes"] for row in await call_in(conn, _TABLES)}
    counted: dict[str, Table] = {}
    for name, size in sizes.items():
        query = f'select count(*) as rows from "{name}"'  # noqa: S608 - names of our own tables
        (row,) = await call_in(conn, query)
        counted[name] = Table(rows=row["rows"], bytes=size)
    return counted


async def dump(moment: Snapshot, target: Path, progress: Progress) -> None:
    """Write the database of a moment to a file, which may be there and is then written over."""
    done = 0
    current: str | None = None

    def on_table(name: str) -> None:
        nonlocal done, current
        done += _size(moment.contents, current)
        current = name
        progress("database", done, moment.bytes)

    options = (*_OPTIONS, f"--snapshot={moment.name}", "--file", target)
    progress("database", 0, moment.bytes)
    async with programs.running(
        "pg_dump", *options, address=moment.address, on_table=on_table
    ) as tool:
        await tool.end()
    progress("database", moment.bytes, moment.bytes)


def _size(contents: Contents, name: str | None) -> int:
    table = contents.tables.get(name) if name else None
    return table.bytes if table else 0
