"""Accepting tasks: checks all that can be checked, then hands them to the scheduler."""

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from podium.agents.model import CODE_RUNTIMES
from podium.agents.stickiness import Wish
from podium.kernel.errors import NotFound, within
from podium.kernel.ids import uuid7, uuid7s
from podium.scheduler.model import TALKS, CallKey, Demand, NewTask, SubmitCall, Submitted
from podium.scheduler.service import Scheduler
from podium.storage.database import Database
from podium.tasks import drafting, spans, store
from podium.tasks.model import BulkCreated, TaskInBulk, TaskNew, TaskOfSession

if TYPE_CHECKING:
    from podium.kernel.tracing import Tracing

_CHUNK = 500
_NO_LANE = 0
_SEE_TASKS = "`podium task list` shows those of the project."


class AgentDirectory(Protocol):
    """What tasks need to know of agents."""

    async def demand(
        self, project_id: UUID, agent: str | None, capabilities: Sequence[str]
    ) -> tuple[UUID | None, frozenset[str]]:
        """The named agent's id (None when capabilities were given) and the runtimes that the
        task may come to run on; ``NotFound`` for a name that is not registered."""
        ...

    async def stick(self, project_id: UUID, wishes: Sequence[Wish]) -> Mapping[Wish, UUID]:
        """The agent that each wish's key stays with; none where nobody has its capabilities."""
        ...


class Intake:
    """Accepts single tasks and whole graphs of them; what it gave back is durable."""

    def __init__(
        self,
        database: Database,
        scheduler: Scheduler,
        agents: AgentDirectory,
        *,
        max_payload_bytes: int,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._database = database
        self._scheduler = scheduler
        self._agents = agents
        self._max_bytes = max_payload_bytes
        self._tracing = tracing

    async def run_code(self, project_id: UUID, requests: Sequence[TaskNew]) -> bool:
        """Whether one of these tasks may come to run code on a worker's machine.

        Capabilities that no agent has now count too: the agent that will have them may be one
        that runs code.
        """
        demands = {(request.agent, _needs(request)) for request in requests}
        for agent, capabilities in demands:
            _, runtimes = await self._agents.demand(project_id, agent, capabilities)
            if not runtimes or runtimes & CODE_RUNTIMES:
                return True
        return False

    async def prepare(self, project_id: UUID, who: str, request: TaskNew) -> NewTask:
        """The task of a request, checked and about to be submitted."""
        task = drafting.draft(
            request,
            task_id=uuid7(),
            project_id=project_id,
            lane_id=await self._lane(project_id, request, await self._stuck(project_id, [request])),
            created_by=who,
            dependencies=drafting.edges(request.depends_on, {}),
            max_bytes=self._max_bytes,
            trace=self._tracing.place() if self._tracing else None,
        )
        if wrong := await drafting.schema_error([request], [task]):
            raise wrong[1]
        return task

    async def check(self, project_id: UUID, request: TaskNew) -> None:
        """Raise what ``accept`` would, and write nothing. A queue that takes no tasks, which is
        found by a row that this would have to make, is not seen."""
        await self._demand(project_id, request)
        task = drafting.draft(
            request,
            task_id=uuid7(),
            project_id=project_id,
            lane_id=_NO_LANE,
            created_by="",
            dependencies=drafting.edges(request.depends_on, {}),
            max_bytes=self._max_bytes,
        )
        if wrong := await drafting.schema_error([request], [task]):
            raise wrong[1]
        outside = _outside([request], {})
        with _naming_missing([(None, request)]):
            async with self._database.connect() as conn:
                await self._scheduler.require_accepting(conn, [task])
                known = await store.known(conn, project_id, [task_id for task_id, _, _ in outside])
        for task_id, _, position in outside:
            if task_id not in known:
                raise _no_dependency(task_id, f"depends_on.{position}")

    async def accept(
        self, project_id: UUID, who: str, request: TaskNew, key: str | CallKey | None
    ) -> tuple[NewTask, Submitted]:
        """Accept one task; another id than its own is that of the first time the key came."""
        if self._tracing is None:
            return await self._accept(project_id, who, request, key)
        with spans.submitting(self._tracing, [request]) as span:
            task, made = await self._accept(project_id, who, request, key)
            span.set_attribute("messaging.message.id", str(made.ids[0]))
            return task, made

    async def _accept(
        self, project_id: UUID, who: str, request: TaskNew, key: str | CallKey | None
    ) -> tuple[NewTask, Submitted]:
        task = await self.prepare(project_id, who, request)
        call_key = await _call_key(project_id, request, key) if isinstance(key, str) else key
        with _naming_missing([(None, request)]):
            made = await self._scheduler.submit(SubmitCall([task], call_key))
        return task, made

    async def accepted_before(self, project_id: UUID, request: TaskNew, key: str) -> UUID | None:
        """The task that the same call was given when it came before."""
        return await self.accepted_by(await _call_key(project_id, request, key))

    async def accepted_by(self, key: CallKey) -> UUID | None:
        """The task that the call with this key was given when it came before."""
        made = await self._scheduler.made_before([key])
        return made[0][0] if made else None

    async def accepted_many_before(
        self, project_id: UUID, requests: Sequence[TaskInBulk], key: str
    ) -> BulkCreated | None:
        """The tasks that the same call was given when it came before, if all of them were."""
        call_hash = await drafting.request_hash(requests)
        chunks = range(0, len(requests), _CHUNK)
        made = await self._scheduler.made_before(
            [_chunk_key(project_id, key, number, call_hash) for number in range(len(chunks))]
        )
        if made is None:
            return None
        by_place = dict(zip(drafting.ordered(requests), chain.from_iterable(made), strict=True))
        ids = [by_place[place] for place in range(len(requests))]
        refs = {name: ids[place] for name, place in drafting.refs_of(requests).items()}
        return BulkCreated(ids=ids, refs=refs)

    async def accept_many(
        self, project_id: UUID, who: str, requests: Sequence[TaskInBulk], key: str | None
    ) -> BulkCreated:
        """Accept many tasks, dependencies before dependents, in chunks that commit one by one."""
        if self._tracing is None:
            return await self._accept_many(project_id, who, requests, key)
        with spans.submitting(self._tracing, requests):
            return await self._accept_many(project_id, who, requests, key)

    async def _accept_many(
        self, project_id: UUID, who: str, requests: Sequence[TaskInBulk], key: str | None
    ) -> BulkCreated:
        drafting.check_edges(requests)
        order = drafting.ordered(requests)
        ids = uuid7s(len(requests))
        refs = {name: ids[place] for name, place in drafting.refs_of(requests).items()}
        tasks = await self._drafts(project_id, who, requests, ids, refs)
        call_hash = await drafting.request_hash(requests) if key is not None else b""
        outside = _outside(requests, refs)
        if (outside or len(tasks) > _CHUNK) and not await self._begun_before(
            project_id, key, call_hash
        ):
            await self._check_all(project_id, tasks, requests, outside)
        renamed = False
        for number, start in enumerate(range(0, len(order), _CHUNK)):
            chunk = order[start : start + _CHUNK]
            call = [tasks[place] for place in chunk]
            if renamed:  # an earlier chunk was accepted by an earlier call, with ids of its own
                call = [_again(tasks[place], requests[place], refs) for place in chunk]
            made = await self._submit_chunk(
                call,
                None if key is None else _chunk_key(project_id, key, number, call_hash),
                [(place, requests[place]) for place in chunk],
            )
            for place, task_id in zip(chunk, made.ids, strict=True):
                renamed = renamed or ids[place] != task_id
                ids[place] = task_id
                if ref := requests[place].ref:
                    refs[ref] = task_id
        return BulkCreated(ids=ids, refs=refs)

    async def _begun_before(self, project_id: UUID, key: str | None, call_hash: bytes) -> bool:
        """Whether this call goes on with one that was cut off: its dependencies were there then."""
        if key is None:
            return False
        first = _chunk_key(project_id, key, 0, call_hash)
        return await self._scheduler.made_before([first]) is not None

    async def _submit_chunk(
        self,
        tasks: Sequence[NewTask],
        key: CallKey | None,
        requests: Sequence[tuple[int, TaskNew]],
    ) -> Submitted:
        with _naming_missing(requests):
            return await self._scheduler.submit(SubmitCall(tasks, key))

    async def _drafts(
        self,
        project_id: UUID,
        who: str,
        requests: Sequence[TaskInBulk],
        ids: Sequence[UUID],
        refs: Mapping[str, UUID],
    ) -> list[NewTask]:
        lanes: dict[tuple[str | None, tuple[str, ...], str, UUID | None], int] = {}
        stuck = await self._stuck(project_id, requests)
        trace = spans.place(self._tracing, len(requests)) if self._tracing else None
        tasks: list[NewTask] = []
        for place, request in enumerate(requests):
            with within(f"tasks.{place}"):
                agent = stuck.get(_wish(request)) if request.sticky else None
                wanted = (request.agent, _needs(request), request.queue, agent)
                if wanted not in lanes:
                    lanes[wanted] = await self._lane(project_id, request, stuck)
                task = drafting.draft(
                    request,
                    task_id=ids[place],
                    project_id=project_id,
                    lane_id=lanes[wanted],
                    created_by=who,
                    dependencies=drafting.edges(request.depends_on, refs),
                    max_bytes=self._max_bytes,
                    trace=trace,
                )
            tasks.append(task)
            if place % _CHUNK == 0:
                await asyncio.sleep(0)  # let other requests have their turn
        if wrong := await drafting.schema_error(requests, tasks):
            with within(f"tasks.{wrong[0]}"):
                raise wrong[1]
        return tasks

    async def _stuck(self, project_id: UUID, requests: Sequence[TaskNew]) -> Mapping[Wish, UUID]:
        """The agents that tasks with keys stay with."""
        wishes = {_wish(request) for request in requests if request.sticky}
        return await self._agents.stick(project_id, list(wishes)) if wishes else {}

    async def _lane(self, project_id: UUID, request: TaskNew, stuck: Mapping[Wish, UUID]) -> int:
        agent_id = await self._demand(project_id, request)
        prefers = stuck.get(_wish(request)) if request.sticky else None
        demand = Demand(project_id, request.queue, agent_id, _needs(request), prefers)
        return await self._scheduler.lane(demand)

    async def _demand(self, project_id: UUID, request: TaskNew) -> UUID | None:
        """The id of the agent that the task names; ``NotFound`` when it is not registered."""
        try:
            agent_id, _ = await self._agents.demand(project_id, request.agent, _needs(request))
        except NotFound as error:
            error.context = {**error.context, "field": "agent"}
            raise
        return agent_id

    async def _check_all(
        self,
        project_id: UUID,
        tasks: Sequence[NewTask],
        requests: Sequence[TaskInBulk],
        outside: Sequence[tuple[UUID, int, int]],
    ) -> None:
        """Tell of a dependency or a limit that does not exist, and of a queue that takes no tasks,
        before anything is accepted."""
        with _naming_missing(list(enumerate(requests))):
            async with self._database.connect() as conn:
                await self._scheduler.require_accepting(conn, tasks)
                known = await store.known(conn, project_id, [task_id for task_id, _, _ in outside])
        for task_id, place, position in outside:
            if task_id not in known:
                raise _no_dependency(task_id, f"tasks.{place}.depends_on.{position}")


def _no_dependency(task_id: UUID, field: str) -> NotFound:
    return NotFound(
        f"Task {task_id} does not exist in this project.",
        hint=_SEE_TASKS,
        missing=str(task_id),
        field=field,
    )


def _needs(request: TaskNew) -> tuple[str, ...]:
    """What its agent must be capable of, in order; nothing where it is named."""
    talks = (TALKS,) if isinstance(request, TaskOfSession) and request.agent is None else ()
    return tuple(sorted({*request.capabilities, *talks}))


def _wish(request: TaskNew) -> Wish:
    return request.sticky or "", frozenset(_needs(request))


def _outside(requests: Sequence[TaskNew], refs: Mapping[str, UUID]) -> list[tuple[UUID, int, int]]:
    """Dependencies that are no tasks of the call: of which task, and where it names them."""
    return [
        (UUID(name), place, position)
        for place, request in enumerate(requests)
        for position, name in enumerate(request.depends_on)
        if name not in refs
    ]


async def _call_key(project_id: UUID, request: TaskNew, key: str) -> CallKey:
    return CallKey(project_id, key, await drafting.request_hash([request]))


def _chunk_key(project_id: UUID, key: str, number: int, call_hash: bytes) -> CallKey:
    """The key of one chunk. It holds a character that no header can, so that it is nobody's own."""
    hashed = sha256(call_hash + number.to_bytes(4, "big")).digest()
    return CallKey(project_id, f"{key}\x1f{number}", hashed)


def _again(task: NewTask, request: TaskNew, refs: Mapping[str, UUID]) -> NewTask:
    return task._replace(dependencies=drafting.edges(request.depends_on, refs))


@contextmanager
def _naming_missing(requests: Iterable[tuple[int | None, TaskNew]]) -> Generator[None]:
    """An error about a dependency or a limit that does not exist tells which field names it, and
    what to do."""
    try:
        yield
    except NotFound as error:
        missing = str(error.context.get("missing"))
        for place, request in requests:
            if found := _names(request, missing):
                field, error.hint = found
                field = field if place is None else f"tasks.{place}.{field}"
                error.context = {**error.context, "field": field}
                break
        raise


def _names(request: TaskNew, missing: str) -> tuple[str, str] | None:
    """The field of the request that names what does not exist, and what to do."""
    if missing in request.depends_on:
        return f"depends_on.{request.depends_on.index(missing)}", _SEE_TASKS
    if missing in request.limits:
        return (
            f"limits.{request.limits.index(missing)}",
            f"Set it first: podium limit set {missing} --concurrency 1",
        )
    return None
