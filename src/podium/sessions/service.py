"""Use cases of sessions."""

from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.service import AgentService
from podium.events import store as events
from podium.events.live import Wakeups
from podium.events.model import NewEvent
from podium.kernel.errors import Conflict, IdempotencyMismatch, NotFound
from podium.principals.model import Principal
from podium.scheduler.model import CallKey, NewTask
from podium.scheduler.service import Scheduler, worker_channel
from podium.sessions import store
from podium.sessions.model import (
    Call,
    Entry,
    Held,
    Session,
    SessionClosed,
    SessionEnded,
    SessionFilter,
    transcript_channel,
)
from podium.sessions.views import SessionNew
from podium.storage.database import after_commit
from podium.tasks import drafting
from podium.tasks.model import TaskOfSession
from podium.tasks.service import TaskService

_MOST_UNANSWERED = 1000
_PAGE_BYTES = 8 * 2**20


class SessionService:
    """Begins sessions and talks to those that run. A session's id is that of its task, which is
    cancelled, explained and deleted like any other."""

    def __init__(
        self,
        agents: AgentService,
        tasks: TaskService,
        scheduler: Scheduler,
        wakeups: Wakeups,
        *,
        max_payload_bytes: int,
    ) -> None:
        self._agents = agents
        self._tasks = tasks
        self._scheduler = scheduler
        self._wakeups = wakeups
        self._max_bytes = max_payload_bytes

    async def configured(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, new: SessionNew
    ) -> Mapping[str, Any] | None:
        """The configuration of its own that a session asks for, if any; raises when its agent, or
        none of those that have its capabilities, can be talked to."""
        if new.agent is None:
            await self._agents.require_talker(conn, project_id, new.capabilities)
            return None
        return await self._agents.configured(conn, asker, project_id, new.agent, new.config)

    async def prepare(
        self,
        asker: Principal,
        project_id: UUID,
        new: SessionNew,
        config: Mapping[str, Any] | None,
    ) -> NewTask:
        """The task of a session, checked and about to be submitted. Uses connections of its own."""
        fields = new.model_dump(
            exclude_unset=True, exclude={"message", "data", "idle_timeout", "config", "input"}
        )
        if "input" in new.model_fields_set:
            fields["input"] = new.input
        if new.title is None and new.message:
            fields["title"] = drafting.title_of(new.model_copy(update={"input": new.message}))
        task = TaskOfSession.model_validate({**fields, "config": config})
        if not asker.has("tasks:execute") and await self._tasks.run_code(project_id, [task]):
            asker.demand("tasks:execute")
        return await self._tasks.prepare(project_id, asker.name, task)

    async def spawn(
        self,
        conn: AsyncConnection,
        asker: Principal,
        task: NewTask,
        new: SessionNew,
        key: str | None,
    ) -> Session:
        """Begin a session with a prepared task. The same call with the same key gives the session
        of the first."""
        call = None if key is None else await _call_key(task.project_id, new, key)
        (task_id,) = await self._scheduler.submit_in(conn, [task], call)
        if task_id == task.id:
            await store.insert(conn, task_id, task.project_id, new.idle_timeout)
            told = {"state": "initialising", "paused": False}
            begun = NewEvent("session.changed", task_id, task.project_id, asker.name, told)
            await events.append(conn, [begun])
            if new.message is not None:
                await self.send(conn, asker, task_id, new.message, new.data)
        return await self.get(conn, task_id)

    async def spawned_before(self, project_id: UUID, new: SessionNew, key: str) -> Sequence[UUID]:
        """The session that the same call with the same key began before, if it did."""
        made = await self._scheduler.made_before([await _call_key(project_id, new, key)])
        return made[0] if made else []

    async def get(self, conn: AsyncConnection, task_id: UUID) -> Session:
        if (found := await store.read(conn, task_id)) is None:
            raise _missing(task_id)
        return found

    async def list(
        self,
        conn: AsyncConnection,
        project_id: UUID,
        wanted: SessionFilter,
        before: UUID | None,
        limit: int,
    ) -> Sequence[Session]:
        """Sessions of the project, newest first."""
        return await store.read_page(conn, project_id, wanted, before, limit)

    async def transcript(
        self, conn: AsyncConnection, task_id: UUID, after: int, limit: int
    ) -> Sequence[Entry]:
        """What was said after the entry ``after``, in order: at least one entry if there is any,
        and fewer than ``limit`` where they are large."""
        return await store.entries(conn, task_id, after, limit, _PAGE_BYTES)

    async def send(
        self,
        conn: AsyncConnection,
        asker: Principal,
        task_id: UUID,
        text: str,
        data: Any,
        key: str | None = None,
    ) -> Entry:
        """Say something to the agent of a session, which gets it once it has answered what was said
        before. The same with the same key is said once, and gives the entry of the first time, also
        when the session has ended since."""
        drafting.json_text(text, "text", self._max_bytes)
        drafting.json_text(data, "data", self._max_bytes)
        held = await _locked(conn, task_id)
        call = None if key is None else Call(key, _input_hash(text, data))
        if call is not None and (said := await _said_before(conn, task_id, call)) is not None:
            return said
        _require_live(held)
        _require_not_closed(held)
        if await store.count_unanswered(conn, task_id, held.answered) >= _MOST_UNANSWERED:
            raise Conflict(
                f"{_MOST_UNANSWERED:,} inputs of session {task_id} wait to be answered.",
                hint="Let its agent answer some first.",
            )
        n = held.entries + 1
        entry = await store.add_input(conn, task_id, n, asker.name, text, data, call)
        await self._tell(
            conn, held, "session.said", asker, {"first": n, "last": n, "kind": "input"}
        )
        return entry

    async def pause(
        self, conn: AsyncConnection, asker: Principal, task_id: UUID, *, paused: bool
    ) -> Session:
        """Have the agent of a session stand still, or go on."""
        held = await _locked(conn, task_id)
        _require_live(held)
        if held.paused is not paused:
            await store.change(conn, task_id, {"paused": paused})
            told = {"state": held.state, "paused": paused}
            await self._tell(conn, held, "session.changed", asker, told)
        return await self.get(conn, task_id)

    async def close(self, conn: AsyncConnection, asker: Principal, task_id: UUID) -> Session:
        """Say nothing more to the agent of a session: it ends when all is answered."""
        held = await _locked(conn, task_id)
        _require_live(held)
        _require_not_closed(held)
        await store.change(conn, task_id, {"closed": True})
        await self._tell(conn, held, "session.closed", asker, {})
        return await self.get(conn, task_id)

    async def terminate(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, key: str, reason: str
    ) -> Sequence[UUID]:
        """End a session by its id, or all that have not ended of an agent by its name or id; gives
        those that were told to."""
        ids = await self._meant(conn, asker, project_id, key)
        results = await self._scheduler.cancel(conn, ids, asker.name, reason) if ids else {}
        return [each for each in ids if results.get(each) in ("cancelled", "cancelling")]

    async def _meant(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, key: str
    ) -> Sequence[UUID]:
        try:
            session_id = UUID(key)
        except ValueError:
            session_id = None
        if session_id is not None and await store.read(conn, session_id) is not None:
            asker.check_task(session_id, await self._tasks.project_of(conn, session_id))
            return [session_id]
        asker.demand_all()
        agent = await self._agents.get(conn, project_id, key)
        return await store.live_of(conn, agent.id)

    async def _tell(
        self, conn: AsyncConnection, held: Held, kind: str, asker: Principal, data: dict[str, Any]
    ) -> None:
        """Write the event, and after the commit tell those whom it concerns."""
        task_id = held.task_id
        await events.append(conn, [NewEvent(kind, task_id, held.project_id, asker.name, data)])
        after_commit(conn, partial(self._wakeups.tell, transcript_channel(task_id)))
        after_commit(conn, self._wakeups.feed)
        if held.worker_id is not None:
            after_commit(conn, partial(self._wakeups.tell, worker_channel(held.worker_id)))


async def _call_key(project_id: UUID, new: SessionNew, key: str) -> CallKey:
    # A task with the same fields is another request.
    request = b"session\n" + await drafting.request_hash([new])
    return CallKey(project_id, key, sha256(request).digest())


def _input_hash(text: str, data: Any) -> bytes:
    """What tells two inputs under one key apart; blind to the order of members."""
    return sha256(orjson.dumps([text, data], option=orjson.OPT_SORT_KEYS)).digest()


async def _said_before(conn: AsyncConnection, task_id: UUID, call: Call) -> Entry | None:
    """What was said with this key before; ``IdempotencyMismatch`` when that was something else."""
    found = await store.read_input(conn, task_id, call.key)
    if found is None:
        return None
    request_hash, entry = found
    if request_hash != call.request_hash:
        raise IdempotencyMismatch(
            f"Idempotency key {call.key!r} came before with another input of this session.",
            hint="Send the same input again, or choose a new key.",
            key=call.key,
        )
    return entry


async def _locked(conn: AsyncConnection, task_id: UUID) -> Held:
    """The session, which stays as it is until the transaction ends."""
    if (held := await store.lock(conn, task_id)) is None:
        raise _missing(task_id)
    return held


def _require_live(held: Held) -> None:
    if held.outcome is not None:
        what = f"has ended: its task is {held.outcome}"
    elif held.over:
        what = "ends: its agent has ended, or is told to"
    else:
        return
    raise SessionEnded(
        f"Session {held.task_id} {what}.",
        hint="Start another one: `podium session start`.",
    )


def _require_not_closed(held: Held) -> None:
    if held.closed:
        raise SessionClosed(
            f"Session {held.task_id} is closed: it ends once all is answered.",
            hint="Start another one: `podium session start`.",
        )


def _missing(task_id: UUID) -> NotFound:
    return NotFound(
        f"There is no session {task_id}.",
        hint="`podium session list` shows those that there are.",
        session=str(task_id),
    )
