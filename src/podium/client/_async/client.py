"""The client: one connection pool and a resource for each part of the API."""

import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from podium.client._async.registry import (
    AsyncAgents,
    AsyncAppliedThings,
    AsyncFilters,
    AsyncLimits,
    AsyncProjects,
    AsyncQueues,
    AsyncTokens,
    AsyncWorkers,
)
from podium.client._async.resource import AsyncResource
from podium.client._async.schedules import AsyncSchedules
from podium.client._async.sessions import AsyncSessions
from podium.client._async.streams import AsyncEventStream, AsyncFollower
from podium.client._async.tasks import AsyncTasks
from podium.client._async.templates import AsyncTemplates
from podium.client._async.transport import AsyncTransport
from podium.client.connection import Connection, data_dir, resolve
from podium.client.models import Diagnosis, Event, Overview, Setting, Status, Whoami
from podium.client.wire import Page, Request, several

_LARGEST_PAGE = 1000


class AsyncEvents(AsyncResource):
    """The events of one project."""

    def __call__(
        self,
        *,
        types: Sequence[str] = (),
        subjects: Sequence[str] = (),
        after: str | None = None,
        timeout: float | None = None,
        patience: float = 300.0,
    ) -> AsyncEventStream:
        """Follow events as they happen, from the cursor ``after`` on, else from now.

        ``types`` are names such as ``task.failed`` or prefixes such as ``task.*``. The stream
        ends after ``timeout`` seconds. It comes back by itself when the connection breaks or
        the server restarts; after ``patience`` seconds without one, or at its end if it never had
        one, it raises ``ConnectionFailed`` or what the server refused it with.
        """
        follower = AsyncFollower(
            self._transport,
            "events/stream",
            self._query(type=several(types), subject=several(subjects)),
            after=after,
            deadline=None if timeout is None else time.monotonic() + timeout,
            patience=patience,
        )
        return AsyncEventStream(follower)

    async def list(
        self,
        *,
        types: Sequence[str] = (),
        subjects: Sequence[str] = (),
        after: str | None = None,
        limit: int | None = None,
        last: int | None = None,
    ) -> AsyncIterator[Event]:
        """Events that have happened, oldest first: those after the cursor ``after``, at most
        ``limit``, or the ``last`` so many (10,000 at most)."""
        if last is not None:
            query = self._query(
                type=several(types), subject=several(subjects), after=after, last=last
            )
            for event in (await self._get("events", Page[Event], query)).items:
                yield event
            return
        left = limit
        while left is None or left > 0:
            size = _LARGEST_PAGE if left is None else min(left, _LARGEST_PAGE)
            query = self._query(
                type=several(types), subject=several(subjects), after=after, limit=size
            )
            page = await self._get("events", Page[Event], query)
            for event in page.items:
                yield event
            # A page may be short because looking on took long; at the end the cursor stays.
            if not page.items and page.next in {after, None}:
                return
            after = page.next
            left = None if left is None else left - len(page.items)


class AsyncInProject(AsyncResource):
    """Everything that the API offers, for the things of one project."""

    def __init__(self, transport: AsyncTransport, project: str | None) -> None:
        super().__init__(transport, project)
        self.tasks = AsyncTasks(transport, project)
        self.sessions = AsyncSessions(transport, project)
        self.schedules = AsyncSchedules(transport, project)
        self.templates = AsyncTemplates(transport, project)
        self.agents = AsyncAgents(transport, project)
        self.events = AsyncEvents(transport, project)
        self.queues = AsyncQueues(transport, project)
        self.limits = AsyncLimits(transport, project)
        self.filters = AsyncFilters(transport, project)
        self.projects = AsyncProjects(transport, project)
        self.applied = AsyncAppliedThings(transport, project)
        self.tokens = AsyncTokens(transport, project)
        self.workers = AsyncWorkers(transport, project)

    @property
    def connection(self) -> Connection:
        """The server that is used."""
        return self._transport.connection

    @property
    def project(self) -> str | None:
        """The project of every call; None: the one that the token is bound to, or ``default``."""
        return self._project

    async def status(self) -> Status:
        """Version, servers, workers and how many tasks are in which state."""
        return await self._get("status", Status)

    async def diagnosis(self) -> Diagnosis:
        """What the server knows to be wrong with the installation."""
        return await self._get("diagnosis", Diagnosis)

    async def overview(self, *, queue: str | None = None, most: int = 50) -> Overview:
        """What goes on in the project, or in all that the token reaches: counts, queues, workers,
        and at most ``most`` of the tasks that run and of the newest ones."""
        return await self._get("overview", Overview, self._query(queue=queue, most=most))

    async def settings(self) -> Sequence[Setting]:
        """The server's settings; secrets are masked."""
        return await self._items("settings", Setting)

    async def clock_skew(self) -> float:
        """Seconds that the server's clock is ahead of this machine's, give or take one."""
        from email.utils import parsedate_to_datetime

        asked = time.time()
        answer = await self._transport.send(Request("GET", "/health/live"))
        now = (asked + time.time()) / 2
        told = answer.headers.get("date")
        return parsedate_to_datetime(told).timestamp() - now if told else 0.0

    async def whoami(self) -> Whoami:
        """Who the token is and what it may do."""
        return await self._get("whoami", Whoami)


class AsyncPodium(AsyncInProject):
    """A client of one Podium server.

    Without ``url`` and ``token`` it takes ``PODIUM_URL`` and ``PODIUM_TOKEN``, and without those
    the server that runs on the data directory ``home`` (``PODIUM_HOME``, ``~/.podium``).
    ``project`` is the project of every call: by default ``PODIUM_PROJECT``, else the one that the
    token is bound to, else ``default``. ``timeout`` is how long, in seconds, the server may stay
    silent within one answer; ``retries`` how often a request that may be repeated is sent again.
    Raises ``NoServer`` when nothing says where to go, and ``Unauthenticated`` without a token.

    Use it as a context manager, or call ``aclose``.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        project: str | None = None,
        home: Path | str | None = None,
        timeout: float = 30.0,
        retries: int = 4,
    ) -> None:
        home = data_dir(home)
        transport = AsyncTransport(resolve(url, token, home), home, timeout, retries)
        super().__init__(transport, project or os.environ.get("PODIUM_PROJECT") or None)

    def in_project(self, name: str) -> AsyncInProject:
        """The same for another project, over the same connections."""
        return AsyncInProject(self._transport, name)

    async def aclose(self) -> None:
        """Close all connections; every call from then on raises ``ClientClosed``."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
