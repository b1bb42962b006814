"""What is said in the sessions that a worker serves."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

import orjson

from podium.agents.runtime import Json, Said
from podium.events.live import Wakeups
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass, LeaseRanOut
from podium.kernel.json_text import holds_nul
from podium.kernel.redaction import redact
from podium.sessions import store
from podium.sessions.model import Begun, Standing, transcript_channel
from podium.storage.database import Database, refuses_values
from podium.worker import faults
from podium.worker.lease import LeaseClock

_Answer = TypeVar("_Answer")
_EARLIER = 1000
"""So many entries of before an attempt is given."""
_EARLIER_BYTES = 4 * 2**20
_PAGE = 20
_BATCH = 200
_MAX_CHARS = 1_000_000
_MOST_UNWRITTEN = 16 * 2**20
"""Characters that may wait for the database; an agent that says more is ended."""
_AGAIN: Mapping[str, str] = {
    "retry": "initialising",
    "released": "initialising",
    "parked": "waiting",
}
"""The states of sessions whose attempts end so, until the next one begins."""
_NOT_KEPT = "[what the agent said here could not be stored]"
_LOOK_SECONDS = {True: 2.0, False: 0.25}
"""How often sessions are looked at while wake-ups arrive, and while they do not."""


class Speaker(Protocol):
    """The attempt that a conversation belongs to."""

    def heartbeat(self) -> None: ...

    def shown(self, text: str) -> str:
        """The text without secrets, as it can be kept."""
        ...


class Talking:
    """What ``agents.runtime.Conversation`` promises, for one attempt.

    What the agent says is written as soon as what it said before is, in its order.
    """

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        lease: LeaseClock,
        key: tuple[UUID, UUID, int],
        begun: Begun,
        earlier: Sequence[Said],
        speaker: "Speaker",
        look: Callable[[], None],
    ) -> None:
        self.earlier = earlier
        self._look = look
        self._speaker = speaker
        self._receiving = False
        self._database = database
        self._wakeups = wakeups
        self._lease = lease
        self._key = key
        self._idle_seconds = begun.idle_seconds
        self._paused = begun.paused
        self._closed = begun.closed
        self._taken = begun.answered
        self._known = begun.answered
        """Up to which entry inputs were read."""
        self._behind = False
        """Whether there are more."""
        self._inputs: deque[Said] = deque()
        self._changed = asyncio.Event()
        self._asked = False
        self._said: list[tuple[str, str, str | None]] = []
        self._size = 0
        """Characters of that."""
        self._state: str | None = None
        self._answered: int | None = None
        self._stale = False
        self._writer: asyncio.Task[None] | None = None

    # -- for the agent -----------------------------------------------------------------------

    async def receive(self) -> Said | None:
        """See ``Conversation``."""
        self._answered = self._taken
        self._be("waiting" if self._asked else "idle")
        self._receiving = True
        try:
            given = await self._next()
        finally:
            self._receiving = False
            self._speaker.heartbeat()
            self._be("working")
        self._asked = False
        if given is not None:
            self._taken = given.n
        return given

    def give_back(self) -> None:
        """See ``Conversation``."""
        self._taken -= 1  # every entry before it that is an input was dealt with

    def say(self, text: str, data: Json = None) -> None:
        """See ``Conversation``."""
        self._add("say", text, data)

    def ask(self, text: str, data: Json = None) -> None:
        """See ``Conversation``."""
        self._add("ask", text, data)
        self._asked = True
        if self._receiving:
            self._be("waiting")

    @property
    def paused(self) -> bool:
        """See ``Conversation``."""
        return self._paused

    async def paused_is(self, wanted: bool) -> None:  # noqa: FBT001
        """See ``Conversation``."""
        while self._paused is not wanted:
            await self._change(None)

    # -- for the worker ----------------------------------------------------------------------

    @property
    def at_rest(self) -> bool:
        """Whether nothing is to be heard from the agent now."""
        return self._receiving or self._paused

    async def update(self, now: Standing) -> None:
        """Take over how the session stands, and read inputs that are new, as many as are to be held
        at once. Not to be called again before it returns."""
        if now.inputs > self._known and len(self._inputs) < _PAGE:
            rows = await store.inputs(self._database, self._key[1], self._known, _PAGE)
            self._inputs.extend(_said(rows))
            self._known = self._inputs[-1].n if rows else now.inputs
        self._behind = now.inputs > self._known
        if self._paused and not now.paused:
            self._speaker.heartbeat()  # it could give none
        self._paused, self._closed = now.paused, now.closed or self._closed
        self._notify()

    def begin(self) -> None:
        """The agent begins."""
        self._be("working")

    async def end(self, how: str | None) -> None:
        """Write what is left and, unless the lease runs out, that the attempt ends; ``how`` it is
        about to, as ``Settlement`` tells it, or None when nobody will settle it."""
        if self._writer is not None:
            await asyncio.wait({self._writer})
        if how is None:
            return
        heard, dealt_with = self._taken, how == "succeeded"
        await self._insist(
            lambda: store.leave(
                self._database, *self._key, _AGAIN.get(how), heard, dealt_with=dealt_with
            )
        )
        self._wakeups.tell(transcript_channel(self._key[1]))
        self._wakeups.feed()

    # -- within ------------------------------------------------------------------------------

    async def _next(self) -> Said | None:
        """The next input, or None once the session is closed, or was idle for too long."""
        until = self._idle_until()
        while True:
            if self._paused:
                await self.paused_is(False)  # noqa: FBT003
                until = self._idle_until()
            elif self._inputs:
                given = self._inputs.popleft()
                if self._behind and not self._inputs:
                    self._look()
                return given
            elif self._closed and not self._behind:
                return None
            elif until is not None and boottime() >= until:
                if await self._close_idle():
                    return None
                until = self._idle_until()
            else:
                await self._change(None if until is None else until - boottime())

    async def _close_idle(self) -> bool:
        """Close the session, unless somebody said something that is not here yet, or the lease runs
        out."""
        note = f"Closed: it was idle for {self._idle_seconds:g} s."
        closed = bool(
            await self._insist(
                lambda: store.close_idle(self._database, *self._key, self._known, note)
            )
        )
        self._wakeups.tell(transcript_channel(self._key[1]))
        self._wakeups.feed()
        self._closed = closed
        self._look()
        return closed

    def _idle_until(self) -> float | None:
        return None if self._idle_seconds is None else boottime() + self._idle_seconds

    async def _change(self, seconds: float | None) -> None:
        """Wait until something changed, for at most so long."""
        changed = self._changed
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return

    def _notify(self) -> None:
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    def _be(self, state: str) -> None:
        self._state = state
        self._write_soon()

    def _add(self, kind: str, text: str, data: Json) -> None:
        self._speaker.heartbeat()
        if len(text) > _MAX_CHARS:
            raise _wrong("says_too_much", f"What is said has more than {_MAX_CHARS:,} characters.")
        shown = _shown_data(data)
        size = len(text) + len(shown or "")
        if self._said and self._size + size > _MOST_UNWRITTEN:
            raise _wrong("says_too_much", "The agent says more than the database takes.")
        self._said.append((kind, self._speaker.shown(text), shown))
        self._size += size
        self._write_soon()

    def _write_soon(self) -> None:
        if not self._stale and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._said or self._state or self._answered is not None:
            said, self._said = self._said[:_BATCH], self._said[_BATCH:]
            state = answered = None
            if not self._said:  # they follow what was said before them
                self._size = 0
                state, self._state = self._state, None
                answered, self._answered = self._answered, None
            await self._tell(said, state, answered)
            self._wakeups.tell(transcript_channel(self._key[1]))
            self._wakeups.feed()

    async def _insist(self, write: Callable[[], Awaitable[_Answer]]) -> _Answer | None:
        """Write, again and again while the lease lasts; None when it has run out."""
        while not self._stale:
            try:
                return await write()
            except Exception as error:  # noqa: BLE001 - it is tried again as long as it may
                faults.note("session", error)
                self._stale = self._lease.expired()
                await asyncio.sleep(faults.RETRY_SECONDS)
        return None

    async def _tell(
        self, said: Sequence[tuple[str, str, str | None]], state: str | None, answered: int | None
    ) -> None:
        """Write it, again and again while the lease lasts; of a batch that is refused each entry
        alone, and a note in the place of one that cannot be kept."""
        while not self._stale:
            try:
                self._stale = not await store.tell(
                    self._database, *self._key, said, state, answered
                )
            except Exception as error:  # noqa: BLE001 - it is tried again as long as it may
                faults.note("session", error)
                if refuses_values(error) and len(said) > 1:
                    for each in said:
                        await self._tell([each], None, None)
                    said = ()
                elif refuses_values(error) and said:
                    said = [("note", _NOT_KEPT, None)]
                else:
                    self._stale = self._lease.expired()
                    await asyncio.sleep(faults.RETRY_SECONDS)
            else:
                return


class Talks:
    """The sessions of one incarnation of a worker: begins them, and sees what people do to them."""

    def __init__(
        self, database: Database, wakeups: Wakeups, worker_id: UUID, lease: LeaseClock
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._worker_id = worker_id
        self._lease = lease
        self._talks: dict[UUID, Talking] = {}
        self._look = asyncio.Event()

    async def begin(self, task_id: UUID, attempt: int, speaker: Speaker) -> Talking:
        """The conversation of an attempt that begins. ``LeaseRanOut`` when it is stale."""
        begun = await store.begin(self._database, self._worker_id, task_id, attempt)
        if begun is None:
            raise LeaseRanOut
        rows: Sequence[Any] = ()
        if begun.entries:
            rows = await store.earlier(
                self._database, task_id, begun.answered, _EARLIER, _EARLIER_BYTES
            )
        key = (self._worker_id, task_id, attempt)
        talk = Talking(
            self._database,
            self._wakeups,
            self._lease,
            key,
            begun,
            list(_said(rows)),
            speaker,
            self.look,
        )
        # Before anybody else can: what was said to a session that is closed by now counts, too.
        await talk.update(Standing(task_id, begun.inputs, begun.paused, begun.closed))
        self._talks[task_id] = talk
        self._look.set()
        talk.begin()
        return talk

    async def end(self, task_id: UUID, talk: Talking, how: str | None) -> None:
        """Its agent has ended; what it said is written. ``how``: see ``Talking.end``."""
        if self._talks.get(task_id) is talk:
            del self._talks[task_id]
        await talk.end(how)

    def look(self) -> None:
        """Somebody did something to a session of this worker."""
        self._look.set()

    async def follow(self) -> None:
        """Look at all sessions when somebody says so, and now and then."""
        while True:
            available = self._wakeups.valkey.available
            await faults.wait(self._look, _LOOK_SECONDS[available] if self._talks else 60.0)
            self._look.clear()
            if self._talks:
                for standing in await store.standing(self._database, list(self._talks)):
                    if (talk := self._talks.get(standing.task_id)) is not None:
                        await talk.update(standing)


def _said(rows: Iterable[Any]) -> Iterable[Said]:
    """Rows of entries as an agent sees them."""
    for row in rows:
        yield Said(row["n"], row["kind"], row["text"], row["data"], row["author"])


def _shown_data(data: Json) -> str | None:
    """The data as JSON, without secrets."""
    if data is None:
        return None
    try:
        content = orjson.dumps(data)
    except (TypeError, ValueError) as error:
        raise _wrong("session_data", f"The data cannot be written as JSON: {error}.") from None
    if len(content) > _MAX_CHARS or holds_nul(content):
        raise _wrong("session_data", "The data is too large, or holds NUL characters.")
    return orjson.dumps(redact(orjson.loads(content))).decode()


def _wrong(code: str, message: str) -> AttemptFailed:
    return AttemptFailed(ErrorClass.AGENT, code, message)
