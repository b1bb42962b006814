"""Many tasks: lists, counts, exports, and changes of all that match."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from podium.client._async.resource import AsyncResource
from podium.client.models import BulkChanged, Task, TaskCount, TaskSummary
from podium.client.wire import Page, Request, decode, several

if TYPE_CHECKING:
    from podium.client.inputs import TaskQuery

_WINDOW = 200


class AsyncTaskSets(AsyncResource):
    """Tasks of one project by what they have in common."""

    def list(
        self,
        *,
        states: Sequence[str] = (),
        agent: str | None = None,
        queue: str | None = None,
        labels: Mapping[str, str] | None = None,
        search: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        sort: str = "newest",
        limit: int | None = None,
    ) -> AsyncIterator[TaskSummary]:
        """Tasks, newest first; all that match, page after page, or the first ``limit``.

        ``search`` looks for words of the title, the labels, the input, the output and the error.
        ``sort`` is newest, oldest, finished, longest or priority; the last three put the 10,000
        newest that match in their order, and end with them.
        """
        query = self._wanted(
            states, agent, queue, labels, search, created_after, created_before
        ) | {"sort": sort}
        if sort in {"newest", "oldest"}:
            return self._pages("tasks", TaskSummary, query, limit)
        return self._windows(query, limit)

    async def count(
        self,
        *,
        states: Sequence[str] = (),
        agent: str | None = None,
        queue: str | None = None,
        labels: Mapping[str, str] | None = None,
        search: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        most: int | None = None,
    ) -> TaskCount:
        """How many tasks match; counted up to ``most``, by default 10,000."""
        query = self._wanted(states, agent, queue, labels, search, created_after, created_before)
        return await self._get("tasks/count", TaskCount, query | {"most": most})

    async def export(
        self,
        *,
        states: Sequence[str] = (),
        agent: str | None = None,
        queue: str | None = None,
        labels: Mapping[str, str] | None = None,
        search: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> AsyncIterator[Task]:
        """All tasks that match with their input, output and error, newest first."""
        query = self._wanted(states, agent, queue, labels, search, created_after, created_before)
        rest = b""
        async with aclosing(
            self._transport.download(Request("GET", "tasks/export", query))
        ) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield decode(line, Task)

    def cancel_matching(
        self, wanted: "TaskQuery", *, reason: str | None = None, dry_run: bool = False
    ) -> AsyncIterator[BulkChanged]:
        """Cancel the tasks that match and have not ended, some hundred at a time; gives what
        became of each step. With ``dry_run`` it only tells which would be meant."""
        more = {} if reason is None else {"reason": reason}
        return self._steps("cancel", wanted, more, dry_run=dry_run)

    def retry_matching(
        self, wanted: "TaskQuery", *, dry_run: bool = False
    ) -> AsyncIterator[BulkChanged]:
        """The same for running those again that failed, are dead or were cancelled."""
        return self._steps("retry", wanted, {}, dry_run=dry_run)

    def reprioritise_matching(
        self, wanted: "TaskQuery", priority: int, *, dry_run: bool = False
    ) -> AsyncIterator[BulkChanged]:
        """The same for giving those that have not ended another priority."""
        return self._steps("reprioritise", wanted, {"priority": priority}, dry_run=dry_run)

    def delete_matching(
        self, wanted: "TaskQuery", *, dry_run: bool = False
    ) -> AsyncIterator[BulkChanged]:
        """The same for deleting those that have ended, with all that was kept."""
        return self._steps("delete", wanted, {}, dry_run=dry_run)

    async def _steps(
        self, what: str, wanted: "TaskQuery", more: Mapping[str, object], *, dry_run: bool
    ) -> AsyncIterator[BulkChanged]:
        cursor: str | None = None
        while True:
            body = {"filter": wanted, "cursor": cursor, "dry_run": dry_run, **more}
            request = Request("POST", f"tasks/{what}", self._query(), body)
            step = await self._transport.call(request, BulkChanged)
            yield step
            if (cursor := step.next) is None:
                return

    async def _windows(
        self, query: Mapping[str, object], limit: int | None
    ) -> AsyncIterator[TaskSummary]:
        """Every item of a list that goes on by offset, up to ``limit``."""
        seen = 0
        while limit is None or seen < limit:
            size = _WINDOW if limit is None else min(limit - seen, _WINDOW)
            window = {**query, "offset": seen, "limit": size}
            page = await self._get("tasks", Page[TaskSummary], window)
            for item in page.items:
                yield item
            seen += len(page.items)
            if len(page.items) < size:
                return

    def _wanted(
        self,
        states: Sequence[str],
        agent: str | None,
        queue: str | None,
        labels: Mapping[str, str] | None,
        search: str | None,
        created_after: datetime | None,
        created_before: datetime | None,
    ) -> dict[str, object]:
        return self._query(
            state=several(states),
            agent=agent,
            queue=queue,
            label=[f"{key}:{value}" for key, value in (labels or {}).items()],
            search=search,
            created_after=created_after,
            created_before=created_before,
        )
