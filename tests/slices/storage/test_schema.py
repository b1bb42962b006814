"""The tables that SQLAlchemy is told of are those that the migrations make."""

from typing import Any

from sqlalchemy import types
from sqlalchemy.dialects import postgresql

from podium import app as _all_slices
from podium.storage.database import Database, metadata


async def columns(database: Database) -> dict[str, dict[str, tuple[str, bool]]]:
    """Type and nullability of each column of each table, from PostgreSQL itself."""
    rows = await database.call(
        "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull"
        "  from pg_attribute a join pg_class c on c.oid = a.attrelid"
        " where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')"
        "   and a.attnum > 0 and not a.attisdropped"
    )
    found: dict[str, dict[str, tuple[str, bool]]] = {}
    for row in rows:
        found.setdefault(row["relname"], {})[row["attname"]] = (row["type"], not row["attnotnull"])
    return found


def declared(kind: types.TypeEngine[Any]) -> str:
    name = kind.compile(dialect=postgresql.dialect()).lower()
    return {"float": "double precision"}.get(name, name)


async def test_no_table_has_drifted(database: Database) -> None:
    real = await columns(database)
    assert len(metadata.tables) > 15, _all_slices
    differences: list[str] = []
    for table in metadata.tables.values():
        for column in table.columns:
            told = (declared(column.type), bool(column.nullable))
            is_so = real.get(table.name, {}).get(column.name)
            if told != is_so:
                differences.append(f"{table.name}.{column.name}: told {told}, is {is_so}")
        missing = real.get(table.name, {}).keys() - {column.name for column in table.columns}
        differences += [f"{table.name}.{name} is not told" for name in sorted(missing)]
    assert not differences, "; ".join(differences)
