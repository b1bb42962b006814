"""Schedules."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

from podium.client._async.resource import AsyncResource
from podium.client.models import Firing, Schedule, Times
from podium.client.wire import Page, Request, segment

if TYPE_CHECKING:
    from podium.client.inputs import Backfill, ScheduleEdit, ScheduleNew, ScheduleTiming


class AsyncSchedules(AsyncResource):
    """The schedules of one project: tasks that start by themselves, again and again."""

    async def create(self, **schedule: "Unpack[ScheduleNew]") -> Schedule:
        """Make a schedule; ``Conflict`` when the name is taken."""
        request = Request("POST", "schedules", self._query(), schedule, repeatable=False)
        return await self._transport.call(request, Schedule)

    def list(self, *, limit: int | None = None) -> AsyncIterator[Schedule]:
        """All schedules, by name."""
        return self._pages("schedules", Schedule, self._query(), limit)

    async def get(self, name: str) -> Schedule:
        """One schedule with its next time."""
        return await self._get(f"schedules/{segment(name)}", Schedule, self._query())

    async def update(self, name: str, **changes: "Unpack[ScheduleEdit]") -> Schedule:
        """Change, pause or resume a schedule; what is left out stays."""
        request = Request("PUT", f"schedules/{segment(name)}", self._query(), changes)
        return await self._transport.call(request, Schedule)

    async def delete(self, name: str) -> None:
        """Delete a schedule; its tasks stay."""
        await self._transport.send(Request("DELETE", f"schedules/{segment(name)}", self._query()))

    async def times(self, name: str, *, count: int = 10, after: datetime | None = None) -> Times:
        """The next times of a schedule, or those after a moment."""
        query = self._query(count=count, after=after)
        return await self._get(f"schedules/{segment(name)}/times", Times, query)

    async def preview(
        self, *, count: int = 10, after: datetime | None = None, **timing: "Unpack[ScheduleTiming]"
    ) -> Times:
        """The times of a schedule that is not made yet."""
        query = {"count": count, "after": after}
        return await self._transport.call(
            Request("POST", "schedules/preview", query, timing), Times
        )

    def firings(self, name: str, *, limit: int | None = None) -> AsyncIterator[Firing]:
        """What came of its times, the latest first."""
        return self._pages(f"schedules/{segment(name)}/firings", Firing, self._query(), limit)

    async def trigger(self, name: str) -> Firing:
        """Start a task of it now, beside whatever it has started."""
        path = f"schedules/{segment(name)}/trigger"
        request = Request("POST", path, self._query(), repeatable=False)
        return await self._transport.call(request, Firing)

    async def backfill(self, name: str, **span: "Unpack[Backfill]") -> Sequence[Firing]:
        """Start tasks for the times of a range that has passed which had none."""
        path = f"schedules/{segment(name)}/backfill"
        # Sent twice, the second would tell of nothing, as the first has started all.
        request = Request("POST", path, self._query(), span, repeatable=False)
        return (await self._transport.call(request, Page[Firing])).items

    async def to_backfill(self, name: str, **span: "Unpack[Backfill]") -> Sequence[datetime]:
        """The times for which ``backfill`` would start tasks."""
        path = f"schedules/{segment(name)}/backfill/preview"
        return (await self._transport.call(Request("POST", path, self._query(), span), Times)).items
