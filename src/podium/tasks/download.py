"""An artifact as an HTTP answer: which part is asked for, and sending it as fast as it is taken."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from podium.kernel.errors import PodiumError
from podium.storage.artifacts import Content
from podium.tasks.model import ArtifactView

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w.-]+=[\w.-]+)*", re.ASCII)
_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII)


class RangeUnsatisfiable(PodiumError):
    """The range that is asked for begins beyond the end of the file."""

    code = "range_unsatisfiable"
    status = 416
    title = "No such range"
    advice = "Ask for a range within the size that `Content-Range` tells."


class Part(NamedTuple):
    """Which bytes are asked for: so many from ``first`` on."""

    first: int
    length: int


def part_of(size: int, etag: str, headers: Mapping[str, str]) -> Part | None:
    """The part of a file that the headers of a request ask for; None for the whole.

    As RFC 9110 has it, what is no single range of bytes is ignored, as is any range where
    ``If-Range`` names another content. Raises ``RangeUnsatisfiable``.
    """
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or not (found[1] or found[2]):
        return None
    if headers.get("if-range", etag) != etag:
        return None
    first, last = (int(text) if text else None for text in found.groups())
    if first is None:
        first, last = max(size - (last or 0), 0), size - 1
    elif last is not None and last < first:
        return None
    if first >= size:
        raise RangeUnsatisfiable(
            f"The artifact has {size} bytes, so none from byte {first} on.",
            hint="Ask without a range, or for one that begins within it.",
            size=size,
        )
    return Part(first, (size - 1 if last is None else min(last, size - 1)) - first + 1)


def etag_of(found: ArtifactView) -> str:
    """The hash of the content, which changes when and only when the content does."""
    return f'"{found.sha256}"'


def headers_of(found: ArtifactView, part: Part | None) -> dict[str, str]:
    """What an answer with an artifact, or a part of it, says of it."""
    known = _MEDIA_TYPE.fullmatch(found.content_type)
    told = {
        "Content-Type": found.content_type if known else "application/octet-stream",
        # Never shown by a browser: an agent's file must not run in this origin.
        "Content-Disposition": _disposition(found.name.rsplit("/", 1)[-1] or "artifact"),
        "Accept-Ranges": "bytes",
        "ETag": etag_of(found),
        "Content-Length": str(found.size if part is None else part.length),
    }
    if part is not None:
        last = part.first + part.length - 1
        told["Content-Range"] = f"bytes {part.first}-{last}/{found.size}"
    return told


def _disposition(name: str) -> str:
    if (quoted := quote(name)) != name:
        return f"attachment; filename*=utf-8''{quoted}"
    return f'attachment; filename="{name}"'


class Download(StreamingResponse):
    """Sends content and closes it however the sending ends: also when the client went away before
    the first byte."""

    def __init__(self, content: Content, found: ArtifactView, part: Part | None) -> None:
        super().__init__(content, 200 if part is None else 206, headers_of(found, part))
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._content.aclose()


def told_only(found: ArtifactView, part: Part | None) -> Response:
    """The answer to HEAD: all that GET would tell, without the content."""
    return Response(status_code=200 if part is None else 206, headers=headers_of(found, part))


def unchanged(found: ArtifactView) -> Response:
    """The answer to whoever has this content already."""
    return Response(status_code=304, headers={"ETag": etag_of(found)})
