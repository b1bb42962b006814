"""Following events: what server-sent events and the WebSocket have in common."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from uuid import UUID

import orjson
import structlog

from podium.api.event_types import require_known
from podium.api.metrics import Metrics
from podium.events.live import Feed
from podium.events.model import Cursor, Event, EventFilter
from podium.kernel.errors import Unavailable
from podium.principals.model import Principal
from podium.principals.service import PrincipalService
from podium.projects.http import project_for
from podium.projects.service import ProjectService

_log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
STUCK_SECONDS = 30.0
"""A client whose socket accepts nothing for so long is hopeless."""
_WAIT_SECONDS = 2.0
"""How long one look at the feed waits; after each, the token is proven anew."""
_RENDERED = 20_000
_RENDERED_BYTES = 32 * 2**20
"""How many rendered events are kept, and what they may come to; slow followers have theirs
rendered anew."""
_UTC_Z = orjson.OPT_UTC_Z
ALL_PROJECTS = "*"


def _nothing() -> None:
    """Until somebody wants to know of activity."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks to follow. ``project`` ``*``: all that the token may see."""

    project: str | None
    after: Cursor | None
    types: tuple[str, ...]
    subjects: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in order, with the cursor to go on from; none at all is a heartbeat."""

    events: list[Event]
    cursor: Cursor


class EventStreams:
    """Opens streams for principals, and ends them when their token does or the server stops."""

    def __init__(
        self,
        feed: Feed,
        projects: ProjectService,
        principals: PrincipalService,
        metrics: Metrics,
    ) -> None:
        self.stopping = asyncio.Event()
        self._feed = feed
        self._projects = projects
        self._principals = principals
        self._metrics = metrics
        self._open = 0
        self._active: Callable[[], None] = _nothing
        self._rendered: OrderedDict[Cursor, bytes] = OrderedDict()
        self._rendered_bytes = 0

    def on_activity(self, told: Callable[[], None]) -> None:
        """Call ``told`` every few seconds while a stream is open."""
        self._active = told

    def stop(self) -> None:
        """End all streams soon; their clients come back with their cursors."""
        self.stopping.set()
        self._feed.release()

    async def filter_for(self, principal: Principal, wish: Wish) -> EventFilter:
        """What of the wish the principal may see; an error when it may see nothing of it,
        or when no event could be of a type that it names."""
        principal.demand("events:read")
        projects: frozenset[UUID] | None = None
        if wish.project != ALL_PROJECTS:
            projects = frozenset({(await project_for(principal, self._projects, wish.project)).id})
        elif principal.project_id is not None:
            projects = frozenset({principal.project_id})
        subjects = wish.subjects
        if principal.tasks is not None:
            for subject in subjects:
                principal.check_task(subject, principal.project_id)
            subjects = subjects or principal.tasks
        wanted = EventFilter(projects, wish.types, subjects)
        require_known(wanted.types)
        return wanted

    async def begin(self, after: Cursor | None) -> Cursor:
        """Where to start; ``Gone`` when the cursor lies before what is kept."""
        return await self._feed.begin(after)

    async def follow(
        self, kind: str, credential: str, cursor: Cursor, wanted: EventFilter
    ) -> AsyncGenerator[Batch]:
        """Batches of events and heartbeats until the server stops.

        Raises ``Unauthenticated`` within five seconds after the token was revoked or expired.
        While the database cannot be reached there are only heartbeats.
        """
        self._count(kind, 1)
        told = time.monotonic()
        try:
            while not self.stopping.is_set():
                events: list[Event] = []
                try:
                    events, cursor = await self._feed.after(cursor, wanted, seconds=_WAIT_SECONDS)
                    await self._principals.authenticate(credential)
                except Unavailable as error:
                    _log.warning("stream.waits", error=error.message)
                    await asyncio.sleep(1)
                self._active()
                if events or time.monotonic() - told >= HEARTBEAT_SECONDS:
                    told = time.monotonic()
                    yield Batch(events, cursor)
        finally:
            self._count(kind, -1)

    async def render(self, event: Event) -> bytes:
        """The event as JSON; made once for all who follow it."""
        known = self._rendered.get(event.cursor)
        if known is None:
            known = orjson.dumps(
                await self.view(event), default=str, option=_UTC_Z
            )  # asyncpg has its own UUID
            self._remember(event.cursor, known)
        return known

    def _remember(self, cursor: Cursor, text: bytes) -> None:
        if cursor in self._rendered:  # another follower rendered it meanwhile
            return
        self._rendered[cursor] = text
        self._rendered_bytes += len(text)
        while len(self._rendered) > _RENDERED or self._rendered_bytes > _RENDERED_BYTES:
            _, oldest = self._rendered.popitem(last=False)
            self._rendered_bytes -= len(oldest)

    async def view(self, event: Event) -> dict[str, object]:
        """The event with the name of its project, in the shape of ``events.views.Event``."""
        project = await self._projects.name(event.project_id) if event.project_id else None
        return {
            "cursor": str(event.cursor),
            "at": event.at,
            "project": project,
            "type": event.type,
            "version": event.version,
            "subject": str(event.subject),
            "actor": event.actor,
            "data": event.data,
        }

    def _count(self, kind: str, change: int) -> None:
        self._open += change
        if not self._open:
            self._rendered.clear()
            self._rendered_bytes = 0
        self._metrics.streams.labels(kind).inc(change)
