"""Keeps an overview current: events say when to look, and one call at most each second looks."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from podium.client.errors import ApiError, Forbidden, PodiumError

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.models import Event, Overview

State = Literal["connecting", "live", "timed", "reconnecting", "stale"]

_TYPES = ("task.*", "queue.*", "worker.*")
_ENDS = frozenset({"task.completed", "task.failed", "task.dead", "task.cancelled"})
_APART = 1.0
"""Seconds between two calls, at least."""
_QUIET = 5.0
"""Seconds after which it looks though nothing happened: leases are renewed without an event."""
_STALE = 12.0
_AGAIN = 0.5
_WINDOW = 60.0
"""Seconds over which ends are counted."""
_REFUSED = frozenset({400, 401, 403, 404, 422})


class Watch:
    """The newest overview of a project, or of all, and how it stands with the server.

    ``woken`` is a file descriptor that can be read from once there is something new. ``failed`` is
    why nothing can ever be shown, such as a token that may not see it.
    """

    def __init__(self, client: "Podium", queue: str | None, most: int) -> None:
        self.overview: Overview | None = None
        self.failed: PodiumError | None = None
        self.trouble = ""
        self._client = client
        self._queue = queue
        self._most = most
        self._events = client.in_project(client.project or client.whoami().project or "*")
        self._followed: bool | None = False
        """Whether events come; None: they may not be seen."""
        self._looked_at = time.monotonic()
        self._ended: deque[float] = deque()
        self._since = time.monotonic()
        self._happened = threading.Event()
        self._stopped = threading.Event()
        self.woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self.woken, False)

    def start(self) -> None:
        """Look, from threads that end with the process."""
        for work in (self._follow, self._look):
            threading.Thread(target=self._until_stopped, args=(work,), daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._happened.set()

    @property
    def state(self) -> State:
        """How current the overview is."""
        if self.overview is None:
            return "reconnecting" if self.trouble else "connecting"
        if self.trouble or self._followed is False:
            return "reconnecting"
        if time.monotonic() - self._looked_at > _STALE:
            return "stale"
        return "timed" if self._followed is None else "live"

    @property
    def age(self) -> float:
        """Seconds since the server told what is shown."""
        return time.monotonic() - self._looked_at

    @property
    def per_minute(self) -> float | None:
        """Tasks that ended in a minute, over the last one; None where that is not seen."""
        now = time.monotonic()
        while self._ended and self._ended[0] < now - _WINDOW:
            self._ended.popleft()
        seen = min(_WINDOW, now - self._since)
        return None if self._followed is None else len(self._ended) * _WINDOW / max(seen, 5.0)

    def tell(self) -> None:
        """Let whoever waits for ``woken`` go on."""
        with suppress(BlockingIOError):  # it is full: they have been told already
            os.write(self._wake, b"x")

    def _until_stopped(self, work: Callable[[], None]) -> None:
        """Once it is stopped its connections may be closed under it."""
        try:
            work()
        except Exception:
            if not self._stopped.is_set():
                raise

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._events.events(types=_TYPES, patience=0.0) as stream:
                    self._followed = True
                    self._happen()
                    for event in stream:
                        self._count(event)
            except Forbidden:
                self._followed = None
                return
            except PodiumError:  # the calls tell of the trouble
                pass
            if self._stopped.is_set():
                return
            self._followed = False
            self._happen()
            time.sleep(_AGAIN)

    def _count(self, event: "Event") -> None:
        if event.type in _ENDS:
            self._ended.append(time.monotonic())
        self._happened.set()

    def _happen(self) -> None:
        self._happened.set()
        self.tell()

    def _look(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            self._happened.clear()
            try:
                self.overview = self._client.overview(queue=self._queue, most=self._most)
                self._looked_at, self.trouble = time.monotonic(), ""
            except ApiError as error:
                self.trouble = error.message
                if error.status in _REFUSED:
                    self.failed = error
            except PodiumError as error:
                self.trouble = error.message
            if self._stopped.is_set():
                return
            self.tell()
            time.sleep(max(0.0, _APART - (time.monotonic() - began)))
            if not self.trouble:
                self._happened.wait(_QUIET - _APART)
