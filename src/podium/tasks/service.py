"""What can be done with tasks."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import Event, NewEvent
from podium.kernel.errors import Conflict, InvalidInput, NotFound
from podium.kernel.ids import uuid7
from podium.scheduler import store as scheduling
from podium.scheduler.model import (
    CallKey,
    Demand,
    Edge,
    NewTask,
    SubmitCall,
)
from podium.scheduler.service import Scheduler
from podium.storage.artifacts import ArtifactStore
from podium.storage.database import Database
from podium.tasks import drafting, store, views
from podium.tasks.model import (
    ArtifactView,
    AttemptView,
    BulkCreated,
    LogItem,
    Task,
    TaskEdit,
    TaskInBulk,
    TaskNew,
    TaskSummary,
)
from podium.tasks.store import TaskFilter

_CHUNK = 500
_HISTORY = 10_000


class AgentDirectory(Protocol):
    """What tasks need to know of agents."""

    async def demand(
        self, project_id: UUID, agent: str | None, capabilities: Sequence[str]
    ) -> tuple[UUID | None, frozenset[str]]:
        """The named agent's id (None when capabilities were given) and the runtimes that the
        task may come to run on; ``NotFound`` for a name that is not registered."""
        ...


class TaskService:
    """Creates, reads and changes tasks of one project at a time.

    Methods that take a connection leave the commit to their caller; ``create`` and
    ``create_many`` share commits with other callers and are durable when they return.
    """

    def __init__(
        self,
        database: Database,
        scheduler: Scheduler,
        agents: AgentDirectory,
        artifacts: ArtifactStore,
        *,
        max_payload_bytes: int,
    ) -> None:
        self._database = database
        self._scheduler = scheduler
        self._agents = agents
        self._artifacts = artifacts
        self._max_bytes = max_payload_bytes

    async def runtimes(self, project_id: UUID, requests: Sequence[TaskNew]) -> frozenset[str]:
        """The runtimes that these tasks may come to run on, to judge whether one may ask so."""
        demands = {(request.agent, tuple(sorted(request.capabilities))) for request in requests}
        found: frozenset[str] = frozenset()
        for agent, capabilities in demands:
            _, runtimes = await self._agents.demand(project_id, agent, capabilities)
            found |= runtimes
        return found

    async def create(
        self, project_id: UUID, project: str, who: str, request: TaskNew, key: str | None
    ) -> Task:
        """Accept one task. With a key, the same request gives the same task for a day."""
        dependencies = drafting.edges(request.depends_on, {})
        task = await self._draft(uuid7(), project_id, who, request, dependencies)
        call_key = None
        if key is not None:
            body = request.model_dump(mode="json", exclude_unset=True)
            call_key = CallKey(project_id, key, drafting.request_hash(body))
        [made] = await self._scheduler.submit(SubmitCall([task], call_key))
        if made != task.id or dependencies or self._scheduler.gates:
            return await self._read(made)
        return views.accepted(task, request, project)

    async def create_many(
        self, project_id: UUID, who: str, requests: Sequence[TaskInBulk], key: str | None
    ) -> BulkCreated:
        """Accept many tasks, dependencies before dependents, in chunks that commit one by one.

        With a key, a call that broke off goes on where it was when it is made again.
        """
        order = drafting.ordered(requests)
        ids = drafting.new_ids(len(requests))
        refs = {name: ids[place] for name, place in drafting.refs_of(requests).items()}
        for number, start in enumerate(range(0, len(order), _CHUNK)):
            chunk = order[start : start + _CHUNK]
            tasks = [
                await self._draft_of_bulk(place, ids[place], project_id, who, requests, refs)
                for place in chunk
            ]
            made = await self._scheduler.submit(
                SubmitCall(tasks, self._chunk_key(project_id, key, number, requests, chunk))
            )
            for place, task_id in zip(chunk, made, strict=True):
                ids[place] = task_id
                if ref := requests[place].ref:
                    refs[ref] = task_id
        return BulkCreated(ids=ids, refs=refs)

    async def _draft_of_bulk(
        self,
        place: int,
        task_id: UUID,
        project_id: UUID,
        who: str,
        requests: Sequence[TaskInBulk],
        refs: Mapping[str, UUID],
    ) -> NewTask:
        request = requests[place]
        try:
            dependencies = drafting.edges(request.depends_on, refs)
            return await self._draft(task_id, project_id, who, request, dependencies)
        except (InvalidInput, NotFound) as error:
            field = str(error.context.get("field", "")).strip("/")
            error.context = {**error.context, "field": f"tasks/{place}/{field}".rstrip("/")}
            raise

    def _chunk_key(
        self,
        project_id: UUID,
        key: str | None,
        number: int,
        requests: Sequence[TaskInBulk],
        chunk: Sequence[int],
    ) -> CallKey | None:
        if key is None:
            return None
        body = [requests[place].model_dump(mode="json", exclude_unset=True) for place in chunk]
        hashed = drafting.request_hash(body, len(requests))
        return CallKey(project_id, f"{key}#{number}", hashed)

    async def _draft(
        self,
        task_id: UUID,
        project_id: UUID,
        who: str,
        request: TaskNew,
        dependencies: tuple[Edge, ...],
    ) -> NewTask:
        capabilities = tuple(sorted(set(request.capabilities)))
        agent_id, _ = await self._agents.demand(project_id, request.agent, capabilities)
        lane_id = await self._scheduler.lane(
            Demand(project_id, request.queue, agent_id, capabilities)
        )
        return drafting.draft(
            request,
            task_id=task_id,
            project_id=project_id,
            lane_id=lane_id,
            created_by=who,
            dependencies=dependencies,
            max_bytes=self._max_bytes,
        )

    async def project_of(self, conn: AsyncConnection, task_id: UUID) -> UUID:
        """The project that owns the task."""
        if (found := await store.project_of(conn, task_id)) is None:
            raise _missing(task_id)
        return found

    async def _read(self, task_id: UUID) -> Task:
        async with self._database.connect() as conn:
            return await self.get(conn, task_id)

    async def get(self, conn: AsyncConnection, task_id: UUID) -> Task:
        """All that is known of a task."""
        row = await store.get(conn, task_id)
        if row is None:
            raise _missing(task_id)
        depends = row.spec.get("depends", False)
        dependencies = await store.depends_on(conn, task_id) if depends else ()
        names = await store.names(conn, row.project_id, row.running_agent_id)
        return views.task(row, dependencies, names)

    async def page(
        self,
        conn: AsyncConnection,
        project_id: UUID,
        project: str,
        wanted: TaskFilter,
        before: UUID | None,
        limit: int,
    ) -> list[TaskSummary]:
        """Tasks of a project, newest first."""
        rows = await store.page(conn, project_id, wanted, before, limit)
        return [views.summary(row, project) for row in rows]

    async def edit(self, conn: AsyncConnection, task_id: UUID, change: TaskEdit, who: str) -> Task:
        """Change a task that has not begun."""
        if not await store.lock_waiting(conn, task_id):
            row = await store.get(conn, task_id)
            if row is None:
                raise _missing(task_id)
            raise Conflict(
                f"Task {task_id} is {row.state} and cannot be edited any more.",
                hint="Only tasks that have not begun can be edited.",
                state=row.state,
            )
        fields = change.model_fields_set
        row = await store.get(conn, task_id)
        if row is None:
            raise _missing(task_id)
        if change.priority is not None and change.priority != row.priority:
            await scheduling.reprioritise(conn, task_id, change.priority)
        if values := self._edited(row.spec, change):
            await store.update(conn, task_id, values)
        if "timeouts" in fields and change.timeouts is not None:
            await scheduling.expire_in(conn, task_id, change.timeouts.queue)
        data = {"fields": sorted(fields)}
        await events.append(
            conn, [NewEvent("task.updated", task_id, row.project_id, actor=who, data=data)]
        )
        return await self.get(conn, task_id)

    def _edited(self, spec: Mapping[str, Any], change: TaskEdit) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if change.title is not None:
            values["title"] = change.title
        if change.labels is not None:
            values["labels"] = change.labels
        if "input" in change.model_fields_set:
            drafting.json_text(change.input, "input", self._max_bytes)
            if schema := spec.get("input_schema"):
                drafting.check_input(change.input, schema)
            values["input"] = change.input
        new = dict(spec)
        if change.timeouts is not None:
            new["timeouts"] = change.timeouts.model_dump(exclude_none=True)
        if change.retry is not None:
            new["retry"] = change.retry.model_dump(exclude_defaults=True)
        if new != spec:
            values["spec"] = new
        return values

    async def delete(self, conn: AsyncConnection, task_id: UUID) -> None:
        """Remove an ended task with its attempts, logs and artifacts; events stay."""
        if not await store.delete_ended(conn, task_id):
            await self.project_of(conn, task_id)
            raise Conflict(
                f"Task {task_id} has not ended.",
                hint=f"Cancel it first: POST tasks/{task_id}/cancel.",
            )
        await self._artifacts.delete(task_id)

    async def cancel(self, conn: AsyncConnection, task_id: UUID, who: str, reason: str) -> str:
        """cancelled (it waited), cancelling (its agent was asked to stop) or ended (before)."""
        results = await self._scheduler.cancel(conn, [task_id], who, reason)
        if task_id not in results:
            raise _missing(task_id)
        return results[task_id]

    async def retry(self, conn: AsyncConnection, task_id: UUID, who: str) -> Task:
        """Give a failed, dead or cancelled task another life."""
        if not await self._scheduler.retry(conn, [task_id], who):
            row = await store.get(conn, task_id)
            if row is None:
                raise _missing(task_id)
            raise Conflict(
                f"Task {task_id} is {row.state}; only failed, dead and cancelled tasks can be "
                "retried.",
                state=row.state,
            )
        return await self.get(conn, task_id)

    async def history(self, conn: AsyncConnection, task_id: UUID) -> list[Event]:
        """Every transition of the task, oldest first."""
        return await events.history(conn, task_id, _HISTORY)

    async def attempts(self, conn: AsyncConnection, task_id: UUID) -> list[AttemptView]:
        return [views.attempt(row) for row in await store.attempts(conn, task_id)]

    async def logs(
        self, conn: AsyncConnection, task_id: UUID, after: int, attempt: int | None, limit: int
    ) -> list[LogItem]:
        rows = await store.logs(conn, task_id, after, attempt, limit)
        return [LogItem.model_validate(row, from_attributes=True) for row in rows]

    async def state(self, conn: AsyncConnection, task_id: UUID) -> str:
        """Where the task is now."""
        if (row := await store.get(conn, task_id)) is None:
            raise _missing(task_id)
        return row.state

    async def any_open(self) -> bool:
        """Whether some task of the installation has not ended."""
        async with self._database.connect() as conn:
            return await store.any_open(conn)

    async def agent_id(self, project_id: UUID, name: str) -> UUID | None:
        """The id of a registered agent."""
        return (await self._agents.demand(project_id, name, ()))[0]

    async def artifact(
        self, conn: AsyncConnection, task_id: UUID, name: str, attempt: int | None
    ) -> ArtifactView:
        """The named file of one attempt, or of the newest that kept it."""
        for row in await store.artifacts(conn, task_id):
            if row.name == name and attempt in (None, row.attempt):
                return views.artifact(row)
        raise NotFound(
            f"Task {task_id} has no artifact {name!r}.",
            hint=f"GET tasks/{task_id}/artifacts lists them.",
        )

    async def artifacts(self, conn: AsyncConnection, task_id: UUID) -> list[ArtifactView]:
        return [views.artifact(row) for row in await store.artifacts(conn, task_id)]


def _missing(task_id: UUID) -> NotFound:
    return NotFound(f"There is no task {task_id}.", hint="`podium task list` shows the tasks.")
