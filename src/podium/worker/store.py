"""What attempts write besides their end: logs, artifacts, credentials, late usage."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from podium.kernel.errors import TooLarge
from podium.kernel.ids import uuid7
from podium.storage.artifacts import Stored
from podium.storage.database import Database

_LOG = (
    "insert into log (task_id, attempt, stream, text)"
    " select x.task_id, x.attempt, x.stream, x.text"
    " from unnest($2::uuid[], $3::int[], $4::text[], $5::text[]) with ordinality"
    " as x (task_id, attempt, stream, text, n)"
    " where exists (select from running r where r.task_id = x.task_id"
    "               and r.attempt = x.attempt and r.worker_id = $1)"
    " order by x.n"
)
_ARTIFACT = (
    "insert into artifact (id, task_id, attempt, name, content_type, size, sha256)"
    " select $1, r.task_id, r.attempt, $5, $6, $7, $8 from running r"
    " where r.task_id = $2 and r.attempt = $3 and r.worker_id = $4"
    " on conflict (task_id, attempt, name) do update set content_type = excluded.content_type,"
    " size = excluded.size, sha256 = excluded.sha256 returning id"
)
_LATE_USAGE = (
    "with x as (select * from unnest($1::uuid[], $2::int[], $3::text[])"
    "                     as x (task_id, attempt, usage)),"
    " added as (update attempt set usage = x.usage::jsonb from x"
    "           where attempt.task_id = x.task_id and attempt.attempt = x.attempt"
    "             and attempt.usage is null)"
    " select task_id, attempt from x where not exists ("
    "   select from running r where r.task_id = x.task_id and r.attempt = x.attempt)"
)
_ISOLATED = (
    "update running set token_hash = $4, confinement = $5"
    " where task_id = $1 and attempt = $2 and worker_id = $3"
)
_LIVE = "select task_id, attempt from running where task_id = any ($1)"
_DEPENDENCIES = (
    "with edge as (select depends_on, array_agg(task_id) as dependents, array_agg(name) as names"
    "              from dependency where task_id = any ($1) group by depends_on)"
    " select e.dependents, e.names, t.id, t.outcome, t.output::text, t.error::text,"
    " extract(epoch from a.started_at - a.queued_at)::float8 as queued_seconds,"
    " extract(epoch from a.finished_at - a.started_at)::float8 as run_seconds"
    " from edge e join task t on t.id = e.depends_on"
    " left join attempt a on a.task_id = t.id and a.attempt = t.attempt"
    " where not exists ("
    "   select from ("  # the sum runs, so that no more is unpacked than it takes to know
    "     select sum(cardinality(e.dependents)::bigint * (coalesce(octet_length(t.output::text), 0)"
    "         + coalesce(octet_length(t.error::text), 0)))"
    "            over (rows unbounded preceding) as bytes"
    "     from edge e join task t on t.id = e.depends_on) x"
    "   where x.bytes > $2)"
)
_HAVE_DEPENDENCIES = (
    "select exists (select from dependency d join task t on t.id = d.depends_on"
    "               where d.task_id = any ($1)) as have"
)
DEPENDENCIES_BYTES = 32 * 1024 * 1024
"""Bytes of JSON that the dependencies of a task may hand on to it, all together. Nor are more read
at once."""

Key = tuple[UUID, int]
"""Task and number of an attempt."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A piece of an attempt's output."""

    task_id: UUID
    attempt: int
    stream: str
    text: str


async def append_logs(database: Database, worker_id: UUID, lines: Sequence[LogLine]) -> None:
    """Keep the output of live attempts; that of stale ones is dropped."""
    await database.call(
        _LOG,
        worker_id,
        [line.task_id for line in lines],
        [line.attempt for line in lines],
        [line.stream for line in lines],
        [line.text for line in lines],
    )


async def record_artifact(
    database: Database,
    worker_id: UUID,
    task_id: UUID,
    attempt: int,
    name: str,
    content_type: str,
    stored: Stored,
) -> bool:
    """Enter a kept file; False when the attempt is stale."""
    rows = await database.call(
        _ARTIFACT,
        uuid7(),
        task_id,
        attempt,
        worker_id,
        name,
        content_type,
        stored.size,
        stored.sha256,
    )
    return bool(rows)


async def add_late_usage(database: Database, spent: Mapping[Key, str]) -> set[Key]:
    """Add what stale attempts spent to their records. Gives those for which that is done: all that
    do not count as running any more."""
    rows = await database.call(
        _LATE_USAGE,
        [task_id for task_id, _ in spent],
        [attempt for _, attempt in spent],
        list(spent.values()),
    )
    return {(row["task_id"], row["attempt"]) for row in rows}


async def mark_isolated(
    database: Database,
    worker_id: UUID,
    task_id: UUID,
    attempt: int,
    token_hash: bytes,
    confinement: str,
) -> None:
    """Note the credential of an attempt and how its processes are confined."""
    await database.call(_ISOLATED, task_id, attempt, worker_id, token_hash, confinement)


async def live_attempts(database: Database, tasks: Collection[UUID]) -> set[Key]:
    """The attempts of these tasks that run, on whatever worker."""
    rows = await database.call(_LIVE, list(tasks)) if tasks else []
    return {(row["task_id"], row["attempt"]) for row in rows}


async def dependencies(database: Database, tasks: Sequence[UUID]) -> Sequence[Mapping[str, Any]]:
    """What the dependencies of these tasks came to, each once with its ``dependents`` and the
    ``names`` that these call it by, JSON as text. Raises ``TooLarge``, without reading them, when
    all that, once for each dependent, is more than ``DEPENDENCIES_BYTES``."""
    rows = await database.call(_DEPENDENCIES, tasks, DEPENDENCIES_BYTES)
    if not rows:  # or those that they had were deleted
        [found] = await database.call(_HAVE_DEPENDENCIES, tasks)
        if found["have"]:
            raise TooLarge(
                f"The task's dependencies hand on more than {DEPENDENCIES_BYTES:,} bytes of "
                "outputs and errors."
            )
    return rows
