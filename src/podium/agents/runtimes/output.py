"""Turns the bytes of a pipe into log lines, and keeps what an outcome needs of them."""

import codecs

from podium.kernel.errors import AttemptFailed, ErrorClass
from podium.kernel.redaction import SECRET_CHARS, cut_after, cut_before

LINE_LIMIT = 16 * 1024
"""Characters after which a line of a log is split, or a little before so that a secret is not:
its halves would not be known as one, and kept in clear."""

MESSAGE_LIMIT = 16 * 1024 * 1024
"""Characters of the longest protocol message, and bytes of the largest JSON output."""


class Lines:
    """Splits a stream into whole lines. Bytes that are no UTF-8 become U+FFFD, as do NULs.

    A line longer than ``LINE_LIMIT`` comes in pieces, unless ``keep_whole`` says of its first
    character that it may be a message, which is kept together up to ``MESSAGE_LIMIT``.
    """

    def __init__(self, *, keep_whole: str | None = None) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._keep_whole = keep_whole
        self._parts: list[str] = []
        self._length = 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completed."""
        *whole, rest = self._decode(data).replace("\0", "\ufffd").split("\n")
        lines: list[str] = []
        for text in whole:
            self._append(text, lines)
            self._flush(lines)
        self._append(rest, lines)
        return lines

    def close(self) -> list[str]:
        """What is left when the stream ended without a line's end."""
        lines: list[str] = []
        self._append(self._decode(b"", final=True), lines)
        if self._length:
            self._flush(lines)
        return lines

    def _append(self, text: str, lines: list[str]) -> None:
        if not text:
            return
        self._parts.append(text)
        self._length += len(text)
        # What follows a piece must be known to see whether a secret crosses its end.
        if self._length > (MESSAGE_LIMIT if self._whole() else LINE_LIMIT + SECRET_CHARS):
            rest = _cut("".join(self._parts), lines, LINE_LIMIT + SECRET_CHARS)
            self._parts = [rest]
            self._length = len(rest)

    def _flush(self, lines: list[str]) -> None:
        line = "".join(self._parts)
        if not self._whole():
            line = _cut(line, lines, LINE_LIMIT)
        lines.append(line.removesuffix("\r"))
        self._parts = []
        self._length = 0

    def _whole(self) -> bool:
        return bool(self._parts) and self._parts[0][0] == self._keep_whole


def _cut(line: str, pieces: list[str], most: int) -> str:
    """Move pieces of ``line`` to ``pieces``; what is left of it, at most ``most`` characters."""
    at = 0
    while len(line) - at > most:
        window = line[at : at + LINE_LIMIT + SECRET_CHARS]
        end = cut_before(window, LINE_LIMIT) or LINE_LIMIT
        pieces.append(window[:end])
        at += end
    return line[at:]


class Tail:
    """The last bytes of a stream that is too long to keep."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.truncated = False

    def add(self, data: bytes) -> None:
        """Append, and forget from the front."""
        self._kept += data
        if len(self._kept) > 2 * self._limit + SECRET_CHARS:
            del self._kept[: -self._limit - SECRET_CHARS]
            self.truncated = True

    def text(self) -> str:
        """What is kept, as text without line ends at its end. It does not begin inside a secret."""
        before, kept = self._kept[: -self._limit], self._kept[-self._limit :]
        text = kept.decode("utf-8", errors="replace")
        if before:
            self.truncated = True
            head = before[-SECRET_CHARS:].decode("utf-8", errors="replace")
            whole = head + text
            text = whole[cut_after(whole, len(head)) :]
        return text.replace("\0", "\ufffd").rstrip("\r\n")


class Allowance:
    """Counts the bytes that an attempt may write, in a session for each input; both of its streams
    share one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    def renew(self) -> None:
        """Count from nothing again."""
        self._used = 0

    def take(self, count: int) -> None:
        """Raise ``AttemptFailed`` (resource, output_limit) when this passes the limit."""
        self._used += count
        if self._used > self._limit:
            raise AttemptFailed(
                ErrorClass.RESOURCE,
                "output_limit",
                f"The agent wrote more than {self._limit:,} bytes of output.",
                hint="Write results to files kept as artifacts, or raise limits.output_bytes.",
                detail={"limit_bytes": self._limit},
            )
