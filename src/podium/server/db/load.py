"""Loads a copy into a database, in one transaction: whole, or not at all."""

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from podium.events import store as events
from podium.events.model import Cursor
from podium.kernel.ids import uuid7
from podium.scheduler import upkeep
from podium.server.db import checks, programs
from podium.server.db.contents import Contents
from podium.server.db.programs import Tool
from podium.server.db.progress import Progress
from podium.storage.address import Address
from podium.storage.database import Database, call_in
from podium.storage.migrate import LOCK, UNLIMITED

_CHUNK = 2**18
_TOO_NEW = b"SET transaction_timeout"  # of which PostgreSQL 15 and 16 do not know
_HEADER_ENDS = b"SELECT pg_catalog.set_config('search_path'"

_BEGIN = f"""
begin;
set local lock_timeout = '10s';
{UNLIMITED};
{LOCK};
"""
# Functions of ours are on record; what else there is in the schema is not ours to drop.
_CLEAR = """
do $clear$
declare
    name text;
begin
    if to_regclass('meta') is not null then
        for name in select p.oid::regprocedure::text from pg_proc p, meta m
                     where m.key = 'functions' and p.pronamespace = current_schema()::regnamespace
                       and m.value -> 'names' ? p.proname
        loop
            execute format('drop function %s cascade', name);
        end loop;
    end if;
    for name in select c.oid::regclass::text from pg_class c
                 where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
                   and not c.relispartition
                   and not exists (select from pg_depend d where d.objid = c.oid
                                                             and d.deptype = 'e')
    loop
        execute format('drop table if exists %s cascade', name);
    end loop;
    drop sequence if exists event_id, log_id;
end $clear$;
"""
_PRESENT = """
select (select value::text::int from meta where key = 'epoch') as epoch,
       (select (value ->> 'owner')::uuid from meta where key = 'artifacts') as owner
"""
_OWN = """
insert into meta (key, value) values ('artifacts', jsonb_build_object('owner', {owner}::uuid))
on conflict (key) do update set value = excluded.value;
"""
_HAND_OVER = """
update meta set value = jsonb_build_object('owner', gen_random_uuid(),
                                           'instead_of', value -> 'owner')
 where key = 'artifacts';
"""
_AFTER = """
reset search_path;
"""
_COUNT = """
do $check$
declare
    found bigint := (select count(*) from "{name}");
begin
    if found <> {rows} then
        raise exception 'table {name} has % rows, not {rows}', found;
    end if;
end $check$;
"""


class Present(NamedTuple):
    """What is in a database before a copy is loaded: its epoch, 0 for none, and as whose its
    artifacts are marked."""

    epoch: int = 0
    owner: UUID | None = None


async def require_target(address: Address, *, replace: bool) -> Present:
    """See that a copy may be loaded into a database, and what is there now."""
    checks.refuse_pooled(address)
    database = Database(address.dsn, pool_size=1, patience=None)
    try:
        async with database.connect() as conn:
            await checks.require_target(conn, replace=replace)
            if (await checks.schema(conn)).revision is None:
                return Present()
            (row,) = await call_in(conn, _PRESENT)
            return Present(row["epoch"], row["owner"])
    finally:
        await database.close()


async def load(
    address: Address,
    copy: Path,
    contents: Contents,
    present: Present,
    progress: Progress,
    *,
    moved: bool = False,
) -> int:
    """Put the copy in the place of all of Podium's that is in the database; the epoch it then has,
    which is above that of the copy and that of what was there.

    The artifacts stay marked as those of whom they were; with ``moved`` they pass from the one that
    was copied to the copy. So of two that are in use none removes what the other keeps.

    Leases of the copy's workers are over. Raises ``Unavailable`` when it cannot be done; then all
    is as it was.
    """
    raised = max(contents.epoch, present.epoch) + 1
    before = [_BEGIN, _CLEAR]
    after = [
        _AFTER,
        *(_COUNT.format(name=name, rows=table.rows) for name, table in contents.tables.items()),
        events.new_epoch(raised, Cursor.parse(contents.edge)),
        upkeep.END_LEASES,
        _HAND_OVER if moved else _OWN.format(owner=f"'{present.owner or uuid7()}'"),
        "commit;\n",
    ]
    total = sum(table.bytes for table in contents.tables.values())
    progress("database", 0, total)
    async with (
        programs.running(
            *("psql", "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"),
            *("--output=/dev/null", "--file=-"),
            address=address,
            stdin=PIPE,
        ) as psql,
        programs.running(
            *("pg_restore", "--file=-", "--no-owner", "--no-privileges", "--verbose", copy),
            on_table=_Share(contents, total, progress),
            stdout=PIPE,
        ) as reader,
    ):
        await _pass_on(reader, psql, before, after)
    progress("database", total, total)
    return raised


class _Share:
    """How much is loaded by the time that a table begins."""

    def __init__(self, contents: Contents, total: int, progress: Progress) -> None:
        self._contents, self._total, self._progress = contents, total, progress
        self._done = 0
        self._last = 0

    def __call__(self, table: str) -> None:
        self._done += self._last
        found = self._contents.tables.get(table)
        self._last = found.bytes if found else 0
        self._progress("database", self._done, self._total)


async def _pass_on(reader: Tool, psql: Tool, before: Sequence[str], after: Sequence[str]) -> None:
    """Have ``psql`` run what stands before, what ``reader`` gives, and what stands after.

    The commit is the last of it, and is not sent before ``reader`` has ended well.
    """
    source, sink = reader.process.stdout, psql.process.stdin
    assert source is not None, "it was started with a pipe"  # noqa: S101
    assert sink is not None, "it was started with a pipe"  # noqa: S101
    with suppress(BrokenPipeError, ConnectionResetError):  # it ended: it will say why
        sink.write("".join(before).encode())
        await _pass_header(source, sink)
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
        await reader.end()
        sink.write("".join(after).encode())
        await sink.drain()
    sink.close()
    await psql.end()


async def _pass_header(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """The settings at the head of the copy, without one that old servers refuse."""
    async for line in source:
        if not line.startswith(_TOO_NEW):
            sink.write(line)
        if line.startswith(_HEADER_ENDS):
            return
