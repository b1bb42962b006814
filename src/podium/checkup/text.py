"""Making what a repository says safe to show: paths, names and lines may hold anything."""

import re
import unicodedata

_CUT = "…"
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/@\s]*@")


def display(path: str) -> str:
    """A path as text that any UTF-8 consumer takes.

    ``path`` is as ``os.fsdecode`` gives it: bytes that are no UTF-8 are lone surrogates. They
    and control characters are shown as ``\\xNN`` or ``\\uNNNN``.
    """
    return clean(path)


def clean(text: str) -> str:
    """Text without control, format and surrogate characters; they are shown as escapes.

    Terminal escapes, NUL (which PostgreSQL's jsonb refuses) and bidirectional overrides, which
    make a line read as another, all lose their effect. Letters of every script stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters, with a mark where something was left out."""
    return text if len(text) <= limit else text[: limit - 1] + _CUT


def without_credentials(url: str) -> str:
    """A remote's address without the user and the password or token before the ``@``."""
    return _USERINFO.sub(lambda match: match["scheme"], url)


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 file``, ``2 files``, with thousands set apart."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(count: float) -> str:
    """A number of bytes for people: ``812 B``, ``1.4 MB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
