"""The tables of sessions and of what is said in them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.store import agent
from podium.projects.store import project
from podium.scheduler.tables import attempt, lane, running, wait, worker
from podium.sessions.model import (
    Begun,
    Call,
    Entry,
    Held,
    Session,
    SessionFilter,
    SessionState,
    Standing,
)
from podium.storage.database import Database, call_in, metadata
from podium.tasks.tables import LAST_ATTEMPT, task

session = sa.Table(
    "session",
    metadata,
    sa.Column("task_id", sa.Uuid, primary_key=True),
    sa.Column("project_id", sa.Uuid, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("closed", sa.Boolean, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("entries", sa.Integer, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("inputs", sa.Integer, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("answered", sa.Integer, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("idle_seconds", sa.Double),
    sa.Column("attempt", sa.Integer),
    sa.Column("over", sa.Integer),
    sa.Column(
        "changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.FetchedValue()
    ),
)
session_entry = sa.Table(
    "session_entry",
    metadata,
    sa.Column("task_id", sa.Uuid, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("author", sa.Text),
    sa.Column("attempt", sa.Integer),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("data", JSONB),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.FetchedValue()),
    sa.Column("call_key", sa.Text),
    sa.Column("call_hash", sa.LargeBinary),
)

_STATE = sa.case(
    (task.c.outcome == "succeeded", SessionState.COMPLETED.value),
    (task.c.outcome == "cancelled", SessionState.TERMINATED.value),
    (task.c.outcome.is_not(None), SessionState.FAILED.value),
    (wait.c.parked.is_(True), SessionState.WAITING.value),
    # What the agent of the last attempt was at says nothing of one that was just claimed.
    (session.c.attempt.is_distinct_from(running.c.attempt), SessionState.INITIALISING.value),
    else_=session.c.state,
)
_UNANSWERED = (
    sa.select(sa.func.count())
    .where(
        session_entry.c.task_id == session.c.task_id,
        session_entry.c.n > session.c.answered,
        session_entry.c.kind == "input",
    )
    .scalar_subquery()
)
_asked = agent.alias("asked")
_runs = agent.alias("runs")
_LIVE_STATES = frozenset(SessionState) - {
    SessionState.COMPLETED,
    SessionState.FAILED,
    SessionState.TERMINATED,
}
_SESSIONS = (
    sa.select(
        task.c.id,
        project.c.name.label("project"),
        task.c.title,
        sa.func.coalesce(_runs.c.name, _asked.c.name).label("agent"),
        lane.c.queue,
        _STATE.label("state"),
        session.c.paused,
        session.c.closed,
        session.c.entries,
        _UNANSWERED.label("unanswered"),
        session.c.idle_seconds,
        task.c.labels,
        sa.case(
            (task.c.outcome.is_not(None), task.c.attempt),
            else_=sa.func.coalesce(running.c.attempt, LAST_ATTEMPT, 0),
        ).label("attempt"),
        task.c.error,
        task.c.created_at,
        task.c.created_by,
        sa.func.coalesce(running.c.started_at, task.c.started_at).label("started_at"),
        task.c.finished_at,
        session.c.changed_at,
        running.c.worker_id,
        worker.c.name.label("worker_name"),
        worker.c.host.label("worker_host"),
    )
    .select_from(
        session.join(task, task.c.id == session.c.task_id)
        .join(project, project.c.id == session.c.project_id)
        .join(lane, lane.c.id == task.c.lane_id)
        .outerjoin(running, running.c.task_id == task.c.id)
        .outerjoin(wait, wait.c.task_id == task.c.id)
        .outerjoin(worker, worker.c.id == running.c.worker_id)
        .outerjoin(
            attempt,
            sa.and_(attempt.c.task_id == task.c.id, attempt.c.attempt == task.c.attempt),
        )
        .outerjoin(_asked, _asked.c.id == lane.c.agent_id)
        .outerjoin(_runs, _runs.c.id == sa.func.coalesce(running.c.agent_id, attempt.c.agent_id))
    )
    .order_by(session.c.task_id.desc())
)


async def insert(
    conn: AsyncConnection, task_id: UUID, project_id: UUID, idle_seconds: float | None
) -> None:
    await conn.execute(
        sa.insert(session).values(task_id=task_id, project_id=project_id, idle_seconds=idle_seconds)
    )


async def read(conn: AsyncConnection, task_id: UUID) -> Session | None:
    row = (await conn.execute(_SESSIONS.where(session.c.task_id == task_id))).one_or_none()
    return None if row is None else _session(row)


async def read_page(
    conn: AsyncConnection, project_id: UUID, wanted: SessionFilter, before: UUID | None, limit: int
) -> Sequence[Session]:
    """Sessions of a project, newest first."""
    query = _SESSIONS.where(session.c.project_id == project_id)
    if before is not None:
        query = query.where(session.c.task_id < before)
    if wanted.states:
        query = query.where(_STATE.in_([each.value for each in wanted.states]))
        if not set(wanted.states) - _LIVE_STATES:
            query = query.where(task.c.outcome.is_(None))
    if wanted.agent is not None:
        query = query.where(sa.func.coalesce(_runs.c.name, _asked.c.name) == wanted.agent)
    if wanted.labels:
        query = query.where(task.c.labels.contains(wanted.labels))
    return [_session(row) for row in await conn.execute(query.limit(limit))]


async def live_of(conn: AsyncConnection, agent_id: UUID) -> Sequence[UUID]:
    """Sessions of an agent that have not ended nor been told to: those that it runs, and those that
    ask for it."""
    query = sa.select(session.c.task_id).select_from(
        session.join(task, task.c.id == session.c.task_id)
        .join(lane, lane.c.id == task.c.lane_id)
        .outerjoin(running, running.c.task_id == task.c.id)
    )
    ours = sa.func.coalesce(running.c.agent_id, lane.c.agent_id) == agent_id
    open_ = sa.and_(task.c.outcome.is_(None), running.c.cancel.is_(None))
    return (await conn.execute(query.where(open_, ours))).scalars().all()


async def lock(conn: AsyncConnection, task_id: UUID) -> Held | None:
    """The session, kept from changing and its task from ending until the transaction ends."""
    # The task first, as whoever deletes it does.
    kept = sa.select(task.c.outcome).where(task.c.id == task_id).with_for_update(read=True)
    ended = (await conn.execute(kept)).one_or_none()
    held = sa.select(session).where(session.c.task_id == task_id).with_for_update()
    row = (await conn.execute(held)).one_or_none()
    if ended is None or row is None:
        return None
    # Read after the lock was had, and so as it is now.
    columns = (running.c.worker_id, running.c.attempt, running.c.cancel)
    runs = (await conn.execute(sa.select(*columns).where(running.c.task_id == task_id))).first()
    return Held(
        task_id=task_id,
        project_id=row.project_id,
        state=row.state,
        paused=row.paused,
        closed=row.closed,
        entries=row.entries,
        inputs=row.inputs,
        answered=row.answered,
        outcome=ended.outcome,
        over=runs is not None and (runs.attempt == row.over or runs.cancel is not None),
        worker_id=None if runs is None else runs.worker_id,
    )


async def add_input(
    conn: AsyncConnection,
    task_id: UUID,
    n: int,
    author: str,
    text: str,
    data: Any,
    call: Call | None,
) -> Entry:
    """Add what somebody said to a session that is locked, as its entry ``n``."""
    new = sa.insert(session_entry).values(
        task_id=task_id, n=n, kind="input", author=author, text=text, data=data
    )
    if call is not None:
        new = new.values(call_key=call.key, call_hash=call.request_hash)
    row = (await conn.execute(new.returning(*_ENTRY))).one()
    moved = sa.update(session).where(session.c.task_id == task_id).values(entries=n, inputs=n)
    await conn.execute(moved)
    return Entry(*row)


async def read_input(conn: AsyncConnection, task_id: UUID, key: str) -> tuple[bytes, Entry] | None:
    """The input that came with this key, after the hash of what was sent."""
    query = sa.select(session_entry.c.call_hash, *_ENTRY).where(
        session_entry.c.task_id == task_id, session_entry.c.call_key == key
    )
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        return None
    request_hash, *entry = cast("tuple[Any, ...]", row)
    return request_hash, Entry(*entry)


async def change(conn: AsyncConnection, task_id: UUID, values: Mapping[str, Any]) -> None:
    await conn.execute(sa.update(session).where(session.c.task_id == task_id).values(**values))


_ENTRY = tuple(
    session_entry.c[name] for name in ("n", "kind", "author", "attempt", "text", "data", "at")
)


_ENTRIES = (
    "select n, kind, author, attempt, text, data, at from ("
    "  select *, sum(size) over (order by n) - size as before from ("
    "    select *, octet_length(text) + coalesce(octet_length(data::text), 0) as size"
    "      from session_entry where task_id = $1 and n > $2 order by n limit $3) y) x"
    " where before < $4 order by n"
)


async def entries(
    conn: AsyncConnection, task_id: UUID, after: int, limit: int, most_bytes: int
) -> Sequence[Entry]:
    """What was said after the entry ``after``, in order: at least one entry if there is any, and
    no more once there are so many bytes."""
    rows = await call_in(conn, _ENTRIES, task_id, after, limit, most_bytes)
    return [Entry(**row) for row in rows]


async def count_unanswered(conn: AsyncConnection, task_id: UUID, answered: int) -> int:
    """Inputs after the entry ``answered``."""
    query = sa.select(sa.func.count()).where(
        session_entry.c.task_id == task_id,
        session_entry.c.n > answered,
        session_entry.c.kind == "input",
    )
    return (await conn.execute(query)).scalar_one()


_BEGIN = "select * from begin_session($1, $2, $3)"
_TELL = "select tell_session($1, $2, $3, $4, $5, $6, $7, $8) as live"
_CLOSE = "select close_idle_session($1, $2, $3, $4, $5) as closed"
_LEAVE = "select leave_session($1, $2, $3, $4, $5, $6)"
_STANDING = "select task_id, inputs, paused, closed from session where task_id = any ($1)"
_INPUTS = (
    "select n, kind, text, data, author from session_entry"
    " where task_id = $1 and kind = 'input' and n > $2 order by n limit $3"
)
_EARLIER = (
    "select n, kind, text, data, author from ("
    "  select *, sum(octet_length(text) + coalesce(octet_length(data::text), 0))"
    "            over (order by n desc) as bytes from ("
    "    select * from session_entry where task_id = $1"
    "       and (n <= $2 or kind <> 'input') order by n desc limit $3) y) x"
    " where bytes <= $4 order by n"
)


async def begin(
    database: Database, worker_id: UUID, task_id: UUID, attempt_number: int
) -> Begun | None:
    """An attempt begins; None when it is stale."""
    rows = await database.call(_BEGIN, worker_id, task_id, attempt_number)
    return Begun(**rows[0]) if rows else None


async def tell(
    database: Database,
    worker_id: UUID,
    task_id: UUID,
    attempt_number: int,
    said: Sequence[tuple[str, str, str | None]],
    state: str | None,
    answered: int | None,
) -> bool:
    """Keep what an agent said (kind, text, data as JSON), the state it is in, and up to which input
    it has answered; False when the attempt is stale."""
    rows = await database.call(
        _TELL,
        worker_id,
        task_id,
        attempt_number,
        [kind for kind, _, _ in said],
        [text for _, text, _ in said],
        [data for _, _, data in said],
        state,
        answered,
    )
    return rows[0]["live"]


async def close_idle(
    database: Database, worker_id: UUID, task_id: UUID, attempt_number: int, knows: int, note: str
) -> bool:
    """Close a session whose agent was idle for too long; False when there is an input after the
    entry that it ``knows``."""
    rows = await database.call(_CLOSE, worker_id, task_id, attempt_number, knows, note)
    return rows[0]["closed"]


async def leave(
    database: Database,
    worker_id: UUID,
    task_id: UUID,
    attempt_number: int,
    next_state: str | None,
    heard: int,
    *,
    dealt_with: bool,
) -> None:
    """The agent of an attempt has ended: another one follows, until when the session is in this
    state, or none does (None), and the session takes nothing more. ``heard`` is the last input that
    it was given, which it may have ``dealt_with``, too."""
    await database.call(_LEAVE, worker_id, task_id, attempt_number, next_state, heard, dealt_with)


async def standing(database: Database, ids: Sequence[UUID]) -> list[Standing]:
    """How these sessions stand."""
    return [Standing(**row) for row in await database.call(_STANDING, list(ids))]


async def inputs(
    database: Database, task_id: UUID, after: int, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Inputs after the entry ``after``, in order."""
    return await database.call(_INPUTS, task_id, after, limit)


async def earlier(
    database: Database, task_id: UUID, answered: int, limit: int, most_bytes: int
) -> Sequence[Mapping[str, Any]]:
    """The newest that was said, in order, without inputs after the entry ``answered``."""
    return await database.call(_EARLIER, task_id, answered, limit, most_bytes)


def _session(row: Any) -> Session:
    values: dict[str, Any] = row._asdict()
    values["state"] = SessionState(row.state)
    return Session(**values)
