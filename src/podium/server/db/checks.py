"""What is looked at before a database is copied or written over."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.errors import Conflict
from podium.storage.address import Address
from podium.storage.database import call_in, metadata, raw_connection
from podium.storage.embedded.cluster import MAJOR
from podium.storage.functions import DatabaseUnsupported

_OLDEST = 15
OTHER_TABLES = frozenset(
    {"alembic_version", "meta", "expiry", "leader", "idempotency", "turn", "sticky"}
)
"""Tables of Podium of which only SQL knows."""
_RELATIONS = """
    select c.relname as name from pg_class c
     where c.relnamespace = current_schema()::regnamespace and not c.relispartition
       and c.relkind in ('r', 'p', 'v', 'm', 'f')
       and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
     order by c.relname
"""
_MADE_BY_PEOPLE = ("task", "agent", "schedule", "template", "saved_filter", "task_limit")
"""Tables that are empty until somebody uses Podium; those of a former version have not all."""
_OTHERS = """
    select count(*) as n from pg_stat_activity
     where datname = current_database() and application_name = 'podium'
       and pid <> pg_backend_pid()
"""
_MAY_CREATE = "select has_schema_privilege(current_schema(), 'create') as may"
_STAND = """
    select pg_is_in_recovery() as replica, current_setting('server_version_num')::int as number,
           current_setting('server_version') as version
"""


@dataclass(frozen=True, slots=True)
class Schema:
    """Which schema a database has, and which Podium brought its functions; None for none."""

    revision: str | None
    podium: str | None


def refuse_pooled(address: Address) -> None:
    """``Conflict`` for the URL of a transaction pooler, through which no session lasts."""
    if address.pooled:
        raise _behind_a_pooler()


async def require_direct(conn: AsyncConnection) -> None:
    """``Conflict`` where something between gives out connections that are not of one session."""
    if await is_pooled(conn):
        raise _behind_a_pooler()


async def is_pooled(conn: AsyncConnection) -> bool:
    """Whether something between passes statements on: who greeted us is not who answers."""
    raw = cast("Any", await raw_connection(conn))
    (row,) = await raw.fetch("select pg_backend_pid() as pid")
    return row["pid"] != raw.get_server_pid()


def _behind_a_pooler() -> Conflict:
    return Conflict(
        "A pooler stands before this database: copies of it are made and loaded past that.",
        hint="Set PODIUM_DATABASE_URL for this command to the URL of PostgreSQL itself.",
    )


async def require_known_server(conn: AsyncConnection) -> str:
    """The server's version; ``DatabaseUnsupported`` where it is too old or too new for us."""
    (row,) = await call_in(conn, _STAND)
    if not _OLDEST <= row["number"] // 10000 <= MAJOR:
        raise DatabaseUnsupported(
            f"The server is PostgreSQL {row['version']}: this version of Podium copies those from "
            f"{_OLDEST} to {MAJOR}.",
            hint="Use a server of one of these, or the programs of its own version.",
        )
    return cast("str", row["version"]).split(" ", 1)[0]


async def schema(conn: AsyncConnection) -> Schema:
    (row,) = await call_in(conn, "select to_regclass('alembic_version') is not null as there")
    if not row["there"]:
        return Schema(None, None)
    found = await call_in(conn, "select version_num from alembic_version")
    podium = await call_in(
        conn, "select value ->> 'version' as version from meta where key = 'functions'"
    )
    return Schema(
        found[0]["version_num"] if found else None, podium[0]["version"] if podium else None
    )


async def require_target(conn: AsyncConnection, *, replace: bool) -> None:
    """``Conflict`` unless a copy may be loaded here: nothing that counts is in the way, or is to be
    replaced, nobody is at work, and this role may make tables."""
    await require_direct(conn)
    await require_known_server(conn)
    (stand,) = await call_in(conn, _STAND)
    (rights,) = await call_in(conn, _MAY_CREATE)
    if stand["replica"]:
        raise Conflict("This server is a replica: it takes no changes.", hint="Use its primary.")
    if not rights["may"]:
        raise Conflict(
            "This role may not make tables in the database.",
            hint="Make it the database's owner: alter database … owner to ….",
        )
    await _require_nobody(conn)
    await _require_free(conn, replace=replace)


async def _require_nobody(conn: AsyncConnection) -> None:
    (others,) = await call_in(conn, _OTHERS)
    if others["n"]:
        raise Conflict(
            f"Servers or workers of Podium use this database ({others['n']} connections).",
            hint="Stop them all first.",
        )


async def _require_free(conn: AsyncConnection, *, replace: bool) -> None:
    present = {row["name"] for row in await call_in(conn, _RELATIONS)}
    foreign = sorted(present - OTHER_TABLES - set(metadata.tables))
    if foreign:
        raise Conflict(
            f"The database holds tables that are not Podium's: {', '.join(foreign[:5])}.",
            hint="Give Podium a database of its own.",
        )
    if "alembic_version" not in present or replace:
        return
    if await _is_used(conn, present):
        raise Conflict(
            "The database is in use: it holds tasks, agents, projects or other things of yours.",
            hint="Choose an empty one, or give --replace to lose what it holds.",
        )


async def _is_used(conn: AsyncConnection, present: Collection[str]) -> bool:
    some = [f"exists (select from {table})" for table in _MADE_BY_PEOPLE if table in present]
    any_of = " or ".join([*some, "(select count(*) > 1 from project)"])
    (row,) = await call_in(conn, f"select {any_of} as used")
    return row["used"]
