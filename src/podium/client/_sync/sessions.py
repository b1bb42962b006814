# Generated from ../_async/sessions.py by scripts/generate_client.py; change that file.
"""Sessions: tasks that are talked to while they run."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Unpack
from uuid import UUID

from podium.client._sync.resource import Resource
from podium.client._sync.streams import Follower
from podium.client.models import Session, Terminated, TranscriptEntry
from podium.client.wire import Request, TranscriptPage, decode, idempotency, segment

if TYPE_CHECKING:
    from podium.client.inputs import SessionNew

SessionId = str | UUID


class Sessions(Resource):
    """The sessions of one project. A session's id is that of its task."""

    def spawn(
        self, *, idempotency_key: str | None = None, **session: "Unpack[SessionNew]"
    ) -> Session:
        """Begin a session; see ``Tasks.create`` for the key."""
        headers = idempotency(idempotency_key)
        request = Request("POST", "agents/spawn", self._query(), session, headers)
        return self._transport.call(request, Session)

    def list(
        self,
        *,
        state: Sequence[str] = (),
        agent: str | None = None,
        label: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[Session]:
        """Sessions, newest first; labels as ``key:value``."""
        query = self._query(state=state, agent=agent, label=label)
        return self._pages("sessions", Session, query, limit)

    def get(self, session_id: SessionId) -> Session:
        """The session as it is now."""
        return self._get(_path(session_id), Session)

    def send(
        self,
        session_id: SessionId,
        text: str,
        data: Any = None,
        *,
        idempotency_key: str | None = None,
    ) -> TranscriptEntry:
        """Say something to its agent, which gets it once it has answered what was said before.

        With ``idempotency_key`` the same sent again says nothing twice, and gives the entry of the
        first time. Without one the SDK makes a key for its own retries.
        """
        body = {"text": text, "data": data}
        headers = idempotency(idempotency_key)
        request = Request("POST", _path(session_id, "input"), {}, body, headers)
        return self._transport.call(request, TranscriptEntry)

    def pause(self, session_id: SessionId) -> Session:
        """Have its agent stand still."""
        return self._told(session_id, "pause")

    def resume(self, session_id: SessionId) -> Session:
        """Have its agent go on."""
        return self._told(session_id, "resume")

    def close(self, session_id: SessionId) -> Session:
        """Say nothing more: its agent ends once it has answered all."""
        return self._transport.call(
            Request("POST", _path(session_id, "close"), repeatable=False), Session
        )

    def terminate(self, key: SessionId, reason: str | None = None) -> Sequence[str]:
        """End a session by its id, or all of an agent by its name or id, with their whole process
        trees; gives the ids of those that were told to end."""
        body = {} if reason is None else {"reason": reason}
        request = Request("POST", f"agents/{segment(key)}/terminate", self._query(), body)
        return (self._transport.call(request, Terminated)).sessions

    def delete(self, session_id: SessionId) -> None:
        """Remove a session that has ended, with its task; ``Conflict`` before."""
        self._transport.send(Request("DELETE", _path(session_id)))

    def transcript(
        self, session_id: SessionId, *, follow: bool = False, after: int = 0
    ) -> Generator[TranscriptEntry]:
        """What was said, after the entry ``after``.

        With ``follow`` it goes on until the session ends, across broken connections.
        """
        read = self._follow if follow else self._stored
        with closing(read(session_id, after)) as entries:
            yield from entries

    def _told(self, session_id: SessionId, what: str) -> Session:
        return self._transport.call(Request("POST", _path(session_id, what)), Session)

    def _stored(self, session_id: SessionId, after: int) -> Generator[TranscriptEntry]:
        while True:
            query = {"after": after, "limit": 1000}
            page = self._get(_path(session_id, "transcript"), TranscriptPage, query)
            yield from page.items
            if page.next is None:
                return
            after = page.next

    def _follow(self, session_id: SessionId, after: int) -> Generator[TranscriptEntry]:
        path = _path(session_id, "transcript", "stream")
        follower = Follower(self._transport, path, {}, after=str(after))
        with closing(follower.messages()) as messages:
            for message in messages:
                if message.event == "end":
                    return
                if message.event == "entry":
                    yield decode(message.data, TranscriptEntry)


def _path(session_id: SessionId, *rest: str) -> str:
    return "/".join(["sessions", *map(segment, (session_id, *rest))])
