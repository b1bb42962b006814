"""Keeps secrets out of what is written down: logs, events, errors.

Two nets: a value whose *name* says that it is a secret is masked whole, and what *looks* like a
secret is masked wherever it stands in a text: passwords in URLs, bearer tokens, Podium's tokens.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

import orjson

MASK = "***"
SECRET_CHARS = 4096
"""A secret of up to so many characters stays whole where a text is cut."""

_MAX_DEPTH = 8
_SECRET_NAME = re.compile(
    r"(token|password|passwd|passphrase|secret|authorization|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|cookie|credential)s?$",
    re.IGNORECASE,
)
_UNMISTAKABLE = (
    # The bound keeps the time that a text takes in proportion to its length.
    (
        ("://",),
        re.compile(r"(\b[a-z][a-z0-9+.-]{0,40}://[^\s/:@]*:)[^\s/]+(?=@)", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (
        ("token=", "password=", "secret=", "api_key=", "code="),
        re.compile(
            r"([?&;](?:token|password|secret|api_key|access_token|code)=)[^&\s\"']+", re.IGNORECASE
        ),
        rf"\1{MASK}",
    ),
    (
        ("podium_", "pat_"),
        re.compile(r"(podium|pat)_[0-9a-f]{32}_[A-Za-z0-9_-]+"),
        rf"\1_{MASK}",
    ),
)
"""What a text must hold (in lower case) for it to be worth looking, then pattern and mask."""
_SECRET_TEXT = (
    *_UNMISTAKABLE,
    (
        ("bearer", "basic"),
        re.compile(r"\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{8,}", re.IGNORECASE),
        rf"\1\2{MASK}",
    ),
)
"""Also what now and then is prose: "basic authentication"."""
_Patterns = tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...]


def redact_text(text: str) -> str:
    """``text`` with everything masked that looks like a secret."""
    return _masked_text(text, _SECRET_TEXT)


def cut_before(text: str, at: int) -> int:
    """The last place up to ``at`` where ``text`` can be cut with no secret on both sides."""
    for start, end in sorted(_secrets(text), reverse=True):
        if start < at <= end:  # also at its end: what follows may be a part of how it looks
            at = start
    return at


def cut_after(text: str, at: int) -> int:
    """The first place from ``at`` on where ``text`` can be cut with no secret on both sides."""
    for start, end in sorted(_secrets(text)):
        if start < at < end:
            at = end
    return at


def beginning(text: str, most: int) -> str:
    """The beginning of ``text``, at most ``most`` characters, without a part of a secret: cut off
    from what it is known by, that would not be masked."""
    if len(text) <= most:
        return text
    return text[: cut_before(text[: most + SECRET_CHARS], most)]


def ending(text: str, most: int) -> str:
    """The end of ``text``, at most ``most`` characters, without a part of a secret."""
    if len(text) <= most:
        return text
    text = text[-most - SECRET_CHARS :]
    return text[cut_after(text, len(text) - most) :]


def redact_json(content: bytes) -> bytes:
    """JSON with what is unmistakably a secret masked in its strings, and all else as it was:
    it is the result of somebody's work, so a field's name or a doubtful word masks nothing."""
    lowered = content.lower()
    if not any(mark.encode() in lowered for marks, _, _ in _UNMISTAKABLE for mark in marks):
        return content
    return orjson.dumps(_masked_strings(orjson.loads(content)))


def redact(value: Any, name: str = "", depth: int = 0) -> Any:
    """A copy of ``value`` without secrets. ``name`` is the key under which it stands.

    Numbers, booleans and None are never secrets: ``max_tokens`` keeps its value. What is nested
    deeper than eight levels is shown as its type's name.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if name and _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, str):
        return redact_text(value)
    if depth >= _MAX_DEPTH:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {_shown(key): redact(item, str(key), depth + 1) for key, item in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item, depth=depth + 1) for item in cast("list[Any]", value)]
    return redact_text(str(value))


def _secrets(text: str) -> list[tuple[int, int]]:
    """Where what ``redact_text`` masks begins and ends."""
    lowered = text.lower()
    return [
        found.span()
        for marks, pattern, _ in _SECRET_TEXT
        if any(mark in lowered for mark in marks)
        for found in pattern.finditer(text)
    ]


def _masked_text(text: str, patterns: _Patterns) -> str:
    lowered = text.lower()
    for marks, pattern, replacement in patterns:
        if any(mark in lowered for mark in marks):
            text = pattern.sub(replacement, text)
    return text


def _masked_strings(value: Any) -> Any:
    match value:
        case str():
            return _masked_text(value, _UNMISTAKABLE)
        case dict():
            items = cast("Mapping[str, Any]", value).items()
            return {_masked_strings(key): _masked_strings(item) for key, item in items}
        case list():
            return [_masked_strings(item) for item in cast("list[Any]", value)]
        case _:
            return value


def _shown(key: Any) -> Any:
    return redact_text(key) if isinstance(key, str) else key
