# Generated from ../_async/task_sets.py by scripts/generate_client.py; change that file.
"""Many tasks: lists, counts, exports, and changes of all that match."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

from podium.client._sync.resource import Resource
from podium.client.models import BulkChanged, Task, TaskCount, TaskSummary
from podium.client.wire import Page, Request, decode, several

if TYPE_CHECKING:
    from podium.client.inputs import TaskQuery

_WINDOW = 200


class TaskSets(Resource):
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
    ) -> Iterator[TaskSummary]:
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

    def count(
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
        return self._get("tasks/count", TaskCount, query | {"most": most})

    def export(
        self,
        *,
        states: Sequence[str] = (),
        agent: str | None = None,
        queue: str | None = None,
        labels: Mapping[str, str] | None = None,
        search: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Iterator[Task]:
        """All tasks that match with their input, output and error, newest first."""
        query = self._wanted(states, agent, queue, labels, search, created_after, created_before)
        rest = b""
        with closing(self._transport.download(Request("GET", "tasks/export", query))) as chunks:
            for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield decode(line, Task)

    def cancel_matching(
        self, wanted: "TaskQuery", *, reason: str | None = None, dry_run: bool = False
    ) -> Iterator[BulkChanged]:
        """Cancel the tasks that match and have not ended, some hundred at a time; gives what
        became of each step. With ``dry_run`` it only tells which would be meant."""
        more = {} if reason is None else {"reason": reason}
        return self._steps("cancel", wanted, more, dry_run=dry_run)

    def retry_matching(
        self, wanted: "TaskQuery", *, dry_run: bool = False
    ) -> Iterator[BulkChanged]:
        """The same for running those again that failed, are dead or were cancelled."""
        return self._steps("retry", wanted, {}, dry_run=dry_run)

    def reprioritise_matching(
        self, wanted: "TaskQuery", priority: int, *, dry_run: bool = False
    ) -> Iterator[BulkChanged]:
        """The same for giving those that have not ended another priority."""
        return self._steps("reprioritise", wanted, {"priority": priority}, dry_run=dry_run)

    def delete_matching(
        self, wanted: "TaskQuery", *, dry_run: bool = False
    ) -> Iterator[BulkChanged]:
        """The same for deleting those that have ended, with all that was kept."""
        return self._steps("delete", wanted, {}, dry_run=dry_run)

    def _steps(
        self, what: str, wanted: "TaskQuery", more: Mapping[str, object], *, dry_run: bool
    ) -> Iterator[BulkChanged]:
        cursor: str | None = None
        while True:
            body = {"filter": wanted, "cursor": cursor, "dry_run": dry_run, **more}
            request = Request("POST", f"tasks/{what}", self._query(), body)
            step = self._transport.call(request, BulkChanged)
            yield step
            if (cursor := step.next) is None:
                return

    def _windows(self, query: Mapping[str, object], limit: int | None) -> Iterator[TaskSummary]:
        """Every item of a list that goes on by offset, up to ``limit``."""
        seen = 0
        while limit is None or seen < limit:
            size = _WINDOW if limit is None else min(limit - seen, _WINDOW)
            window = {**query, "offset": seen, "limit": size}
            page = self._get("tasks", Page[TaskSummary], window)
            yield from page.items
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
