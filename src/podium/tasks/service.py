"""What can be done with tasks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.model import CODE_RUNTIMES
from podium.events import store as events
from podium.events.model import Cursor, Event, NewEvent
from podium.kernel.errors import Conflict, NotFound, Unavailable
from podium.kernel.redaction import redact_text
from podium.scheduler import store as scheduling
from podium.scheduler.model import CallKey, NewTask, TaskState
from podium.scheduler.service import Scheduler
from podium.storage.artifacts import ArtifactStore
from podium.storage.database import Database
from podium.tasks import drafting, store, views
from podium.tasks.intake import AgentDirectory, Intake
from podium.tasks.model import (
    ArtifactView,
    AttemptView,
    BulkCreated,
    LogItem,
    Task,
    TaskEdit,
    TaskInBulk,
    TaskNew,
)

if TYPE_CHECKING:
    from podium.kernel.tracing import Tracing

_log = structlog.get_logger(__name__)
_LOOKS = 20
_DEPENDENCIES_NAMED = 5
_EDITABLE = frozenset({TaskState.PENDING.value, TaskState.QUEUED.value})


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
        tracing: "Tracing | None" = None,
    ) -> None:
        self._database = database
        self._scheduler = scheduler
        self._intake = Intake(
            database, scheduler, agents, max_payload_bytes=max_payload_bytes, tracing=tracing
        )
        self._artifacts = artifacts
        self._max_bytes = max_payload_bytes

    # -- accepting ---------------------------------------------------------------------------

    async def run_code(self, project_id: UUID, requests: Sequence[TaskNew]) -> bool:
        """Whether one of these tasks may come to run code on a worker's machine."""
        return await self._intake.run_code(project_id, requests)

    async def check(self, project_id: UUID, request: TaskNew) -> None:
        """Raise what ``create`` would, but for what only accepting it tells; write nothing."""
        await self._intake.check(project_id, request)

    async def create(
        self, project_id: UUID, project: str, who: str, request: TaskNew, key: str | CallKey | None
    ) -> Task:
        """Accept one task. With a key, the same request gives the same task for a day; a
        ``CallKey`` says itself which requests are the same."""
        task, made = await self._intake.accept(project_id, who, request, key)
        if made.ids != [task.id] or task.dependencies or self._scheduler.may_be_held(task):
            async with self._database.connect() as conn:
                return await self.get(conn, made.ids[0])
        return views.accepted(task, request, project, made.at)

    async def prepare(self, project_id: UUID, who: str, request: TaskNew) -> NewTask:
        """The task of a request, checked as ``create`` does, which the caller hands to the
        scheduler, once or with other ids many times."""
        return await self._intake.prepare(project_id, who, request)

    async def created_before(self, project_id: UUID, request: TaskNew, key: str) -> Task | None:
        """The task that the same request with the same key gave before."""
        return await self._made(await self._intake.accepted_before(project_id, request, key))

    async def created_by(self, key: CallKey) -> Task | None:
        """The task that the call with this key gave before."""
        return await self._made(await self._intake.accepted_by(key))

    async def _made(self, task_id: UUID | None) -> Task | None:
        if task_id is None:
            return None
        async with self._database.connect() as conn:
            return await self.get(conn, task_id)

    async def created_many_before(
        self, project_id: UUID, requests: Sequence[TaskInBulk], key: str
    ) -> BulkCreated | None:
        """The tasks that the same call with the same key gave before, if it gave all of them."""
        return await self._intake.accepted_many_before(project_id, requests, key)

    async def create_many(
        self, project_id: UUID, who: str, requests: Sequence[TaskInBulk], key: str | None
    ) -> BulkCreated:
        """Accept many tasks, dependencies before dependents, in chunks that commit one by one.

        All of them are checked before the first is accepted. With a key, a call that broke off
        goes on where it was when it is made again.
        """
        return await self._intake.accept_many(project_id, who, requests, key)

    # -- reading -----------------------------------------------------------------------------

    async def project_of(self, conn: AsyncConnection, task_id: UUID) -> UUID:
        """The project that owns the task."""
        if (found := await store.owner(conn, task_id)) is None:
            raise _missing(task_id)
        return found

    async def get(self, conn: AsyncConnection, task_id: UUID) -> Task:
        """All that is known of a task."""
        row = await store.get(conn, task_id)
        if row is None:
            raise _missing(task_id)
        dependencies: Sequence[Any] = ()
        if row.spec.get("depends"):
            dependencies = await store.depends_on(conn, task_id)
        return views.task(row, dependencies, await store.paces(conn, [row]))

    # -- changing ----------------------------------------------------------------------------

    async def check_input(self, task_id: UUID, value: Any) -> None:
        """Raise unless ``value`` may become the input of the task. Apart from ``edit``, because it
        can take seconds, and a transaction would hold up others for so long."""
        async with self._database.connect() as conn:
            row = await store.get(conn, task_id)
        if row is not None and (schema := row.spec.get("input_schema")):
            await drafting.check_input(value, schema, self._max_bytes)

    async def edit(self, conn: AsyncConnection, task_id: UUID, change: TaskEdit, who: str) -> Task:
        """Change a pending or queued task. Between two attempts a task is pending, too.

        A new input has passed ``check_input``.
        """
        row = await self._hold(conn, task_id)
        values = self._edited(row, change)
        changed = set(values) - {"spec"}
        if change.priority is not None and change.priority != row.priority:
            await self._scheduler.reprioritise(conn, [task_id], change.priority)
            changed.add("priority")
        if change.timeouts is not None:
            changed.add("timeouts")
        if "deadline" in change.model_fields_set:
            changed.add("deadline")
        if change.retry is not None:
            changed.add("retry")
        if values:
            await store.update(conn, task_id, values)
        if changed & {"timeouts", "deadline"}:
            await self._scheduler.renew_expiry(conn, task_id)
        if changed:
            data = {"fields": sorted(changed)}
            event = NewEvent("task.updated", task_id, row.project_id, actor=who, data=data)
            await events.append(conn, [event])
            self._scheduler.feed_after(conn)
        return await self.get(conn, task_id)

    async def _hold(self, conn: AsyncConnection, task_id: UUID) -> Any:
        """The row of a task that is kept from starting until the transaction ends."""
        for _ in range(_LOOKS):
            held = await scheduling.hold_waiting(conn, task_id)
            row = await store.get(conn, task_id)
            if row is None:
                raise _missing(task_id)
            if held:
                return row
            if row.state not in _EDITABLE:
                raise Conflict(
                    f"Task {task_id} is {row.state} and cannot be edited.",
                    hint="Only pending and queued tasks can be edited.",
                    state=row.state,
                )
        raise Conflict(  # it moved on each time between two looks
            f"Task {task_id} is being changed by others.", hint="Try again."
        )

    def _edited(self, row: Any, change: TaskEdit) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if change.title is not None:
            values["title"] = redact_text(change.title)
        if change.labels is not None:
            values["labels"] = change.labels
        if "input" in change.model_fields_set:
            drafting.json_text(change.input, "input", self._max_bytes)
            values["input"] = change.input
        spec = dict(row.spec)
        if change.timeouts is not None:
            spec["timeouts"] = change.timeouts.model_dump(exclude_none=True)
        if "deadline" in change.model_fields_set:
            spec.pop("deadline", None)
            if change.deadline is not None:
                spec["deadline"] = change.deadline.isoformat()
        if change.retry is not None:
            spec["retry"] = change.retry.model_dump(exclude_defaults=True)
        if spec != row.spec:
            values["spec"] = spec
        return values

    async def runs_code(self, conn: AsyncConnection, task_id: UUID) -> bool:
        """Whether the task may come to run code on a worker's machine."""
        runtimes = await store.runtimes(conn, task_id)
        return not runtimes or bool(runtimes & CODE_RUNTIMES)

    async def delete(self, conn: AsyncConnection, task_id: UUID, who: str) -> store.Deleted:
        """Remove an ended task with its attempts; its logs and files stay until ``delete_kept``,
        and its events, of which this is the last, until they are forgotten.

        Refused while a task that has not ended depends on it: that one may be held by it, and
        will be given its output. Ended tasks lose their dependency on it; one that is retried
        later runs as if it had never had it.
        """
        if not await store.lock_ended(conn, task_id):
            await self.project_of(conn, task_id)
            raise Conflict(
                f"Task {task_id} has not ended.",
                hint=f"Cancel it first: `podium task cancel {task_id}`.",
            )
        if dependents := await store.open_dependents(conn, task_id, 10):
            first = dependents[0]
            raise Conflict(
                f"Task {first.id} ({first.title}) depends on task {task_id} and has not ended.",
                hint="Wait for it, or cancel it first.",
                dependents=[str(each.id) for each in dependents],
            )
        project_id = await self.project_of(conn, task_id)
        deleted = await store.delete(conn, [task_id])
        await events.append(conn, [NewEvent("task.deleted", task_id, project_id, actor=who)])
        self._scheduler.feed_after(conn)
        return deleted

    async def delete_kept(self, deleted: store.Deleted) -> None:
        """Remove the logs and artifacts of tasks whose deletion is committed: there can be much of
        them, and nobody who follows events must wait for that. What cannot be removed stays behind,
        artifacts until the sweep, logs until their retention ends; nobody can reach it any more."""
        try:
            await self._artifacts.remove(deleted.files)
        except Unavailable as error:
            _log.warning("task.files_left_behind", most=len(deleted.files), error=error.message)
        for task_id in deleted.ids:
            try:
                await store.delete_logs(self._database, task_id)
            except Unavailable as error:
                _log.warning("task.logs_left_behind", task_id=str(task_id), error=error.message)

    async def cancel(self, conn: AsyncConnection, task_id: UUID, who: str, reason: str) -> str:
        """cancelled (it waited), cancelling (its agent was asked to stop) or ended (before)."""
        results = await self._scheduler.cancel(conn, [task_id], who, redact_text(reason))
        if task_id not in results:
            raise _missing(task_id)
        return results[task_id]

    async def retry(self, conn: AsyncConnection, task_id: UUID, who: str) -> Task:
        """Give a failed, dead or cancelled task another life.

        Raises ``Conflict``, for the caller to roll back, when a dependency that did not succeed
        would cancel it at once.
        """
        if not await self._scheduler.retry(conn, [task_id], who):
            row = await store.get(conn, task_id)
            if row is None:
                raise _missing(task_id)
            raise Conflict(
                f"Task {task_id} is {row.state}; only failed, dead and cancelled tasks can be "
                "retried.",
                hint="Cancel a task that is open first; create another one like a task that "
                "succeeded.",
                state=row.state,
            )
        task = await self.get(conn, task_id)
        if task.state == TaskState.CANCELLED:
            raise _cancelled_anew(task)
        return task

    async def history(
        self, conn: AsyncConnection, task_id: UUID, after: Cursor, limit: int
    ) -> tuple[list[Event], bool, str]:
        """Transitions of the task, oldest first, whether there are more, and the name of its
        project."""
        if (project := await store.project_name(conn, task_id)) is None:
            raise _missing(task_id)
        found, more = await events.history(conn, task_id, after, limit)
        return found, more, project

    async def attempts(self, conn: AsyncConnection, task_id: UUID) -> list[AttemptView]:
        return [views.attempt(row) for row in await store.attempts(conn, task_id)]

    async def logs(
        self, conn: AsyncConnection, task_id: UUID, after: int, attempt: int | None, limit: int
    ) -> list[LogItem]:
        rows = await store.logs(conn, task_id, after, attempt, limit)
        return [LogItem.model_validate(row, from_attributes=True) for row in rows]

    async def has_ended(self, conn: AsyncConnection, task_id: UUID) -> bool:
        """Whether the task has ended, or is gone."""
        return await store.has_ended(conn, task_id) is not False

    async def any_open(self) -> bool:
        """Whether some task of the installation has not ended."""
        async with self._database.connect() as conn:
            return await store.any_open(conn)

    async def artifact(
        self, conn: AsyncConnection, task_id: UUID, name: str, attempt: int | None
    ) -> ArtifactView:
        """The named file of one attempt, or of the newest that kept it."""
        for row in await store.artifacts(conn, task_id, name):
            if attempt in (None, row.attempt):
                return views.artifact(row)
        raise NotFound(
            f"Task {task_id} has no artifact {name!r}.",
            hint=f"`podium task artifacts {task_id}` lists them.",
        )

    async def artifacts(self, conn: AsyncConnection, task_id: UUID) -> list[ArtifactView]:
        return [views.artifact(row) for row in await store.artifacts(conn, task_id)]


def _missing(task_id: UUID) -> NotFound:
    return NotFound(f"There is no task {task_id}.", hint="`podium task list` shows the tasks.")


def _cancelled_anew(task: Task) -> Conflict:
    """Why a retry would do nothing: its dependencies are as they were."""
    failed = [
        each
        for each in task.depends_on
        if each.state in (TaskState.FAILED, TaskState.DEAD, TaskState.CANCELLED)
    ]
    named = failed[:_DEPENDENCIES_NAMED]
    which = ", ".join(f"{each.id} ({each.state})" for each in named)
    if len(failed) > len(named):
        which += f" and {len(failed) - len(named)} others"
    ids = " ".join(str(each.id) for each in named)
    return Conflict(
        f"Task {task.id} would be cancelled again at once: it depends on {which}.",
        hint=f"Retry what it depends on first: `podium task retry {ids}`.",
        state=task.state,
    )
