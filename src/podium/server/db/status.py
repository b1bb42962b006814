"""What there is to know about a database, for people who look after it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.errors import PodiumError
from podium.server.db import checks
from podium.storage import migrate
from podium.storage.database import Database, call_in

_LARGEST = 10
_SERVER = """
    select current_setting('server_version') as version, pg_is_in_recovery() as replica,
           pg_database_size(current_database()) as bytes,
           (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as encrypted,
           (select count(*) from pg_stat_replication) as replicas
"""
# A table that is split by days counts as one.
_TABLES = """
    select coalesce(i.inhparent, c.oid)::regclass::text as name,
           sum(pg_total_relation_size(c.oid))::bigint as bytes,
           sum(greatest(c.reltuples, 0))::bigint as rows
      from pg_class c left join pg_inherits i on i.inhrelid = c.oid
     where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
     group by 1 order by 2 desc, 1 limit $1
"""
# What sessions of other roles are is null but for those who may read all statistics.
_CONNECTIONS = """
    select count(*) as used,
           count(*) filter (where datname = current_database() and application_name = 'podium'
                              and pid <> pg_backend_pid()) as podium,
           current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int as most
      from pg_stat_activity
     where usename is not null and coalesce(backend_type, 'client backend') = 'client backend'
"""


async def describe(database: Database, slices: Sequence[str]) -> Mapping[str, Any]:
    """The server, the schema, the sizes and the connections of a database."""
    async with database.connect() as conn:
        (server,) = await call_in(conn, _SERVER)
        schema = await _schema(conn, slices)
        tables = await call_in(conn, _TABLES, _LARGEST)
        (connections,) = await call_in(conn, _CONNECTIONS)
        return {
            "postgres": cast("str", server["version"]).split(" ", 1)[0],
            "replica": server["replica"],
            "replicas": server["replicas"],
            "encrypted": bool(server["encrypted"]),
            "pooler": await checks.is_pooled(conn),
            "bytes": server["bytes"],
            "schema": schema,
            "tables": [dict(row) for row in tables],
            "connections": dict(connections),
        }


async def _schema(conn: AsyncConnection, slices: Sequence[str]) -> Mapping[str, Any]:
    try:
        found = await migrate.standing(conn, slices)
    except PodiumError as error:  # of a newer version: all else can be told
        (row,) = await call_in(conn, "select version_num from alembic_version")
        return {
            "revision": row["version_num"],
            "wanted": migrate.head(),
            "pending": [],
            "functions": False,
            "epoch": await _epoch(conn),
            "trouble": error.message,
        }
    return {
        "revision": found.found,
        "wanted": found.wanted,
        "pending": [asdict(step) for step in found.pending],
        "functions": found.functions,
        "epoch": await _epoch(conn) if found.found else None,
        "trouble": None,
    }


async def _epoch(conn: AsyncConnection) -> int:
    (row,) = await call_in(conn, "select value::text::int as epoch from meta where key = 'epoch'")
    return row["epoch"]
