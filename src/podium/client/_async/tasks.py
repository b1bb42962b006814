"""Tasks: create, look, change, follow."""

import os
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Unpack
from uuid import UUID, uuid4

from podium.client._async.runtime import in_thread
from podium.client._async.streams import AsyncEventStream, AsyncFollower
from podium.client._async.task_sets import AsyncTaskSets
from podium.client.errors import WaitTimeout
from podium.client.models import (
    Artifact,
    Attempt,
    BulkCreated,
    Cancelled,
    Event,
    Explanation,
    LogItem,
    Task,
    TaskSummary,
)
from podium.client.wire import LogPage, Request, decode, idempotency, segment

if TYPE_CHECKING:
    from podium.client.inputs import TaskEdit, TaskInBulk, TaskNew

ENDED: Final = frozenset({"succeeded", "failed", "cancelled", "dead"})
ENDING: Final = ("task.completed", "task.failed", "task.cancelled", "task.dead")

TaskId = str | UUID


class AsyncTasks(AsyncTaskSets):
    """The tasks of one project."""

    async def create(
        self, *, idempotency_key: str | None = None, **task: "Unpack[TaskNew]"
    ) -> Task:
        """Submit one task.

        With ``idempotency_key`` the same call made again within a day gives the first call's
        task. Without one the SDK makes a key, so that its own retries submit nothing twice.
        """
        headers = idempotency(idempotency_key)
        request = Request("POST", "tasks", self._query(), task, headers)
        return await self._transport.call(request, Task)

    async def create_many(
        self, tasks: "Iterable[TaskInBulk]", *, idempotency_key: str | None = None
    ) -> BulkCreated:
        """Submit up to 10,000 tasks in one call, in chunks of 500 that are each all or nothing.

        A task may name another one of the call in ``depends_on`` by the ``ref`` it was given.
        After a failure the same call with the same key takes up where it stopped.
        """
        body = {"tasks": list(tasks)}
        headers = idempotency(idempotency_key)
        request = Request("POST", "tasks/bulk", self._query(), body, headers)
        return await self._transport.call(request, BulkCreated)

    async def find(self, beginning: str, *, limit: int = 2) -> Sequence[TaskSummary]:
        """The newest tasks, ``limit`` at most, whose ids begin with these hexadecimal digits."""
        digits = beginning.replace("-", "").lower()
        # Ids sort by their digits, and a page begins below its cursor.
        last = int(digits.ljust(32, "f"), 16)
        query = self._query(cursor=str(UUID(int=min(last + 1, 2**128 - 1))), limit=limit)
        found = await self._items("tasks", TaskSummary, query)
        return [task for task in found if task.id.replace("-", "").startswith(digits)]

    async def get(self, task_id: TaskId) -> Task:
        """The task as it is now."""
        return await self._get(_path(task_id), Task)

    async def update(self, task_id: TaskId, **changes: "Unpack[TaskEdit]") -> Task:
        """Change a task that has not begun to run; ``Conflict`` when it has.

        Fields that are not given stay. ``timeouts``, ``retry`` and ``labels`` are replaced whole,
        and what they leave out takes its default; the queue timeout counts from the change.
        """
        request = Request("PUT", _path(task_id), {}, changes)
        return await self._transport.call(request, Task)

    async def delete(self, task_id: TaskId) -> None:
        """Remove an ended task with its logs and artifacts; ``Conflict`` before. Its events can
        still be read, and a last one, ``task.deleted``, tells who did it."""
        await self._transport.send(Request("DELETE", _path(task_id)))

    async def cancel(self, task_id: TaskId, reason: str | None = None) -> str:
        """Cancel a task.

        Gives ``cancelled``, ``cancelling`` when an attempt still has to stop, or ``ended`` when
        there was nothing left to cancel.
        """
        body = {} if reason is None else {"reason": reason}
        request = Request("POST", _path(task_id, "cancel"), {}, body)
        return (await self._transport.call(request, Cancelled)).result

    async def retry(self, task_id: TaskId) -> Task:
        """Run a failed, dead or cancelled task again; ``Conflict`` for any other, and for one that
        a failed dependency would cancel at once."""
        request = Request("POST", _path(task_id, "retry"), repeatable=False)
        return await self._transport.call(request, Task)

    async def history(self, task_id: TaskId) -> Sequence[Event]:
        """Every transition of the task, oldest first."""
        return [each async for each in self._pages(_path(task_id, "history"), Event, {}, None)]

    async def attempts(self, task_id: TaskId) -> Sequence[Attempt]:
        """Every attempt of the task, oldest first."""
        return await self._items(_path(task_id, "attempts"), Attempt)

    async def explain(self, task_id: TaskId) -> Explanation:
        """Why the task is not running, or why it runs on its agent."""
        return await self._get(_path(task_id, "explain"), Explanation)

    async def logs(
        self,
        task_id: TaskId,
        *,
        follow: bool = False,
        attempt: int | None = None,
        after: int | str | None = None,
    ) -> AsyncGenerator[LogItem]:
        """What the task's agents wrote, after the line ``after``.

        With ``follow`` it goes on until the task ends, across broken connections.
        """
        read = self._follow_logs if follow else self._stored_logs
        async with aclosing(read(task_id, attempt, after)) as lines:
            async for line in lines:
                yield line

    async def artifacts(self, task_id: TaskId) -> Sequence[Artifact]:
        """The files that were kept with the task."""
        return await self._items(_path(task_id, "artifacts"), Artifact)

    async def read_artifact(
        self, task_id: TaskId, name: str, *, attempt: int | None = None
    ) -> bytes:
        """A whole artifact, in memory."""
        path = _path(task_id, "artifacts", name)
        answer = await self._transport.send(Request("GET", path, {"attempt": attempt}))
        return answer.content

    async def download(
        self, task_id: TaskId, name: str, target: Path | str, *, attempt: int | None = None
    ) -> Path:
        """Write an artifact to the file ``target``, which appears when it is complete."""
        path = Path(target)
        part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
        request = Request("GET", _path(task_id, "artifacts", name), {"attempt": attempt})
        try:
            with await in_thread(part.open, "xb") as file:
                await self._write(file, request)
            await in_thread(os.replace, part, path)
        finally:
            await in_thread(part.unlink, missing_ok=True)
        return path

    async def wait(
        self,
        task_id: TaskId,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the sync form has it too
    ) -> Task:
        """The task once it has ended, in whichever way; ``WaitTimeout`` after ``timeout`` s.

        Driven by the task's events: nothing is asked again and again.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        task = await self.get(task_id)
        if task.state in ENDED:
            return task
        query = self._query(subject=str(task_id), type=ENDING)
        follower = AsyncFollower(self._transport, "events/stream", query, deadline=deadline)
        async with AsyncEventStream(follower) as events:
            # Once the stream is open no end is missed: what ended before is seen by looking.
            task = await self.get(task_id)
            if task.state in ENDED:
                return task
            async for _ in events:
                task = await self.get(task_id)
                if task.state in ENDED:  # or it was retried meanwhile
                    return task
        raise WaitTimeout(
            f"Task {task_id} has not ended within {timeout:g} s.",
            hint=f"It goes on; 'podium task explain {task_id}' says what it waits for.",
        )

    async def _write(self, file: BinaryIO, request: Request) -> None:
        async with aclosing(self._transport.download(request)) as chunks:
            async for chunk in chunks:
                await in_thread(file.write, chunk)

    async def _stored_logs(
        self, task_id: TaskId, attempt: int | None, after: int | str | None
    ) -> AsyncGenerator[LogItem]:
        while True:
            query = {"attempt": attempt, "after": after, "limit": 1000}
            page = await self._get(_path(task_id, "logs"), LogPage, query)
            for line in page.items:
                yield line
            if page.next is None:
                return
            after = page.next

    async def _follow_logs(
        self, task_id: TaskId, attempt: int | None, after: int | str | None
    ) -> AsyncGenerator[LogItem]:
        follower = AsyncFollower(
            self._transport,
            _path(task_id, "logs", "stream"),
            {},
            after=None if after is None else str(after),
        )
        async with aclosing(follower.messages()) as messages:
            async for message in messages:
                if message.event == "end":
                    return
                if message.event == "log":
                    line = decode(message.data, LogItem)
                    if attempt in {None, line.attempt}:
                        yield line


def _path(task_id: TaskId, *rest: str) -> str:
    return "/".join(["tasks", *map(segment, (task_id, *rest))])
