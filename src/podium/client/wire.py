"""What goes over the wire, apart from sending it: requests, answers, retries, event streams."""

import math
import random
import re
import reprlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from types import NoneType
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID, uuid4

import msgspec

from podium.client.connection import API, Connection
from podium.client.errors import ApiError, InvalidInput, InvalidResponse, api_error
from podium.client.models import LogItem, TranscriptEntry

Query = Mapping[str, object]
T = TypeVar("T")

RETRIED_STATUS: Final = frozenset({429, 502, 503, 504})
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
_LONGEST_RETRY_AFTER = 60.0
_SHA256 = re.compile("[0-9a-f]{64}")
_LONGEST_LINE = 16 * 2**20
_PLAIN = (str, int, NoneType, date, UUID)
"""What goes as it is, and what goes as its text; ``datetime`` is a ``date``."""
_UNKNOWN_PATH = frozenset({404, 405})
_OTHER = (
    "Check the address: another program may answer there, or a Podium of another version than this "
    "one, which 'podium version' tells."
)


@dataclass(frozen=True, slots=True)
class Request:
    """One call. ``repeatable`` says that sending it twice does no more than sending it once."""

    method: str
    path: str
    query: Query = field(default_factory=dict[str, object])
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    repeatable: bool = True

    def url(self, connection: Connection) -> str:
        prefix = "" if self.path.startswith("/") else f"{API}/"
        with _only_text():
            query = urlencode(list(_parameters(self.query)))
        return f"{connection.url}{prefix}{self.path}{'?' if query else ''}{query}"

    def content(self) -> bytes | None:
        with _only_text():
            return None if self.body is None else _encoded(self.body)

    def all_headers(self, connection: Connection, agent: str) -> list[tuple[str, str]]:
        headers = {
            "Host": urlsplit(connection.url).netloc,  # httpcore leaves out the brackets of IPv6
            "Authorization": f"Bearer {connection.token}",
            "Accept": "application/json",
            "User-Agent": agent,
            **({} if self.body is None else {"Content-Type": "application/json"}),
            **self.headers,
        }
        with _only_text("A header can hold nothing but ASCII characters."):
            return [(name, value.encode("ascii").decode()) for name, value in headers.items()]


class Page(msgspec.Struct, Generic[T]):
    """A part of a list; ``next`` is the cursor of the part after it."""

    items: list[T]
    next: str | None = None


class LogPage(msgspec.Struct):
    """A part of a log; ``next`` is the id after which it goes on."""

    items: list[LogItem]
    next: int | None = None


class TranscriptPage(msgspec.Struct):
    """A part of a transcript; ``next`` is the id after which it goes on."""

    items: list[TranscriptEntry]
    next: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def idempotency(key: str | None) -> dict[str, str]:
    """The header that makes a creating call repeatable; a random key unless one is given."""
    return {"Idempotency-Key": key or uuid4().hex}


def several(values: Sequence[str]) -> list[str]:
    """The values of a parameter that takes several; a text is one of them, not its letters."""
    return [values] if isinstance(values, str) else [*values]


def segment(value: object) -> str:
    """A value as one segment of a path."""
    with _only_text():
        return quote(str(value), safe="")


def _encoded(body: object) -> bytes:
    """A body as JSON, or ``InvalidInput`` when it holds what JSON cannot."""
    try:
        if found := _misfit(body):
            raise _no_json(*found)
        return msgspec.json.encode(body)
    except (TypeError, RecursionError) as error:
        raise InvalidInput(f"What is sent must be JSON: {error}.") from None


class _NoText(NamedTuple):
    """A name in an object that is no text."""

    name: object


def _misfit(value: object) -> tuple[str, object] | None:
    """What msgspec would send as something else, with its place: it makes null of NaN, a list of
    a set, and text of a number that is a name."""
    if isinstance(value, _PLAIN):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else ("", value)
    # A dictionary is seen to be one at once; what else may be a mapping takes long to find out.
    if isinstance(value, dict | Mapping):
        mapping = cast("Mapping[object, object]", value)
        for name in mapping:
            if not isinstance(name, str):
                return "", _NoText(name)
        items = mapping.items()
    elif isinstance(value, list | tuple):
        items = enumerate(cast("Sequence[object]", value))
    else:
        return "", value
    for name, item in items:
        if not isinstance(item, _PLAIN) and (found := _misfit(item)):
            place, culprit = found
            return (f"{name}.{place}" if place else str(name)), culprit
    return None


def _no_json(place: str, culprit: object) -> InvalidInput:
    hint = "Send text, numbers, true, false, null, lists, or objects with text as names."
    if isinstance(culprit, _NoText):
        message = f"Must have text as names, not {reprlib.repr(culprit.name)}"
    elif isinstance(culprit, float):
        message = f"Must be a finite number, not {culprit}"
        hint = "JSON has no NaN and no infinities."
    else:
        message = f"Must be JSON, which has no form for the type {type(culprit).__name__}"
    field = place or "body"
    errors = [{"field": field, "message": message}]
    return InvalidInput(f"{field}: {message}.", hint=hint, errors=errors)


@contextmanager
def _only_text(rule: str = "What is sent must be text that UTF-8 can hold.") -> Generator[None]:
    """Bytes of other encodings come from Python as lone surrogates, which nothing can carry."""
    try:
        yield
    except UnicodeEncodeError as error:
        wrong = ascii(error.object[error.start : error.end][:20])
        raise InvalidInput(f"{rule} It holds {wrong}.") from None


def decode(content: bytes | str, kind: type[T]) -> T:
    """What the server sent, as ``kind``, or ``InvalidResponse``."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InvalidResponse(
            f"The server's answer cannot be read: {error}.",
            hint=_OTHER,
        ) from None


def require_hash(tag: str, found: str) -> None:
    """Raise ``InvalidResponse`` where content has not the SHA-256 that its entity tag tells."""
    told = tag.strip('"')
    if _SHA256.fullmatch(told) and told != found:
        raise InvalidResponse(
            f"What came is not the file on record: its SHA-256 is {found}, not {told}.",
            hint="Fetch it again. If it stays so, the file was damaged where it is kept.",
        )


def problem(answer: Answer) -> ApiError | InvalidResponse:
    """The error that an answer of status 400 or higher tells.

    Whatever stands before a server may refuse a request in its own words; but only what is no
    Podium does not know the path and says so without a problem document.
    """
    found: dict[str, Any]
    try:
        found = msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.ValidationError, msgspec.DecodeError):
        if answer.status in _UNKNOWN_PATH:
            message = f"What answers there ({answer.status}) does not know Podium's API."
            return InvalidResponse(message, hint=_OTHER)
        found = {"detail": f"The server answered {answer.status} without saying why."}
    found.setdefault("request_id", answer.headers.get("x-request-id"))
    return api_error(answer.status, found)


def problem_of(data: str) -> ApiError:
    """The error with which an event stream ended."""
    found = decode(data, dict[str, Any])
    return api_error(int(found.get("status") or 500), found)


def may_retry(request: Request, status: int) -> bool:
    """Whether to send a refused request again. 429 says that nothing was done."""
    return status in RETRIED_STATUS and (request.repeatable or status == 429)


def was_deleted(request: Request, status: int) -> bool:
    """Whether this answer tells that an earlier sending, whose answer was lost, has deleted it."""
    return request.method == "DELETE" and status == 404


def delay(attempt: int, answer: Answer | None = None) -> float:
    """Seconds before attempt ``attempt`` + 1 (the first is 1).

    Half of it is random, so that clients that failed together do not come back together. What
    the server asks for in ``Retry-After`` is the least, up to a minute.
    """
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (attempt - 1))
    chosen = longest * random.uniform(0.5, 1)  # noqa: S311
    asked = answer.headers.get("retry-after", "") if answer else ""
    return max(chosen, min(float(asked), _LONGEST_RETRY_AFTER)) if asked.isdecimal() else chosen


@dataclass(slots=True)
class Message:
    """One message of an event stream. Without ``event`` it only shows life or moves ``id``."""

    id: str | None = None
    event: str = ""
    data: str = ""


class MessageParser:
    """Server-sent events, as bytes come in."""

    def __init__(self) -> None:
        self._rest = b""
        self._id: str | None = None
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that end in this chunk; a comment is an empty one."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise InvalidResponse("A line of the event stream is longer than 16 MiB.")
        for raw in lines:
            line = raw.removesuffix(b"\r").decode("utf-8", "replace")
            if not line:
                message = Message(self._id, self._event or "message", "\n".join(self._data))
                yield message if self._data else Message(self._id)
                self._id, self._event, self._data = None, "", []
            elif line.startswith(":"):
                yield Message()
            else:
                self._field(line)

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._id = value
        elif name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)


def _parameters(query: Query) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        if isinstance(value, list | tuple):
            for item in cast("list[object]", value):
                yield name, _text(item)
        elif value is not None:
            yield name, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat else str(value)
