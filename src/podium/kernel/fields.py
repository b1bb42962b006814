"""The types of fields that clients send, and the shapes of bodies and pages.

Apart from ``web``, because not only routes know them and workers do without FastAPI.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
_words: dict[str, str] = {}
_MOST_CHARS = 500
_LONG_NAME = 100


def _pattern(pattern: str, words: str) -> Any:
    """A pattern, and what it asks for in words."""
    _words[pattern] = words
    return Field(pattern=pattern)


def told(finding: Mapping[str, Any], model: type[BaseModel] | None = None) -> str:
    """What pydantic found wrong with a field, in plain words. The input, which may hold secrets, is
    not repeated. Of a field that ``model`` does not have, the closest that it has is named."""
    match finding["type"]:
        case "extra_forbidden":
            *place, name = finding["loc"]
            return f"There is no such field{closest(name, _fields_at(model, place))}"
        case "missing":
            return "Must be given"
        case "string_pattern_mismatch" if words := _words.get(finding["ctx"]["pattern"]):
            return words
        case _:
            message = str(finding["msg"]).removeprefix("Value error, ")
            return message.replace("Input should", "Must", 1)[:_MOST_CHARS]


def closest(name: str, known: Collection[str]) -> str:
    """Of known names the one that was probably meant, as the end of a sentence; "" for none."""
    close = get_close_matches(name[:_LONG_NAME], known, n=1)
    return f"; the closest is '{close[0]}'" if close else ""


def _fields_at(model: Any, place: Iterable[Any]) -> Collection[str]:
    """The fields of a model, or of the model in its field at ``place``; none where it has none."""
    for name in place:
        fields = getattr(model, "model_fields", {})
        model = fields[name].annotation if name in fields else None
    return getattr(model, "model_fields", {})


Name = Annotated[
    str,
    _pattern(
        r"^[a-z0-9][a-z0-9-]{0,62}$",
        "Must be 1 to 63 lower-case letters, digits and hyphens, the first no hyphen",
    ),
]
"""Names of projects: short, and safe in URLs, labels and file names."""
Word = Annotated[
    str,
    _pattern(
        r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        "Must be 1 to 100 letters, digits, dots, hyphens and underscores, the first a letter or "
        "digit",
    ),
]
"""Names of agents, capabilities and queues."""

_UNSEEN = r"\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_NOT_IN_LINES = rf"\x00-\x1f{_UNSEEN}"
Line = Annotated[
    str,
    _pattern(
        rf"^[^{_NOT_IN_LINES}]*$",
        "Must be one line of text without control characters",
    ),
]
"""Text that is shown in terminals and logs: without control characters and line ends."""
Prose = Annotated[
    str,
    _pattern(
        rf"^[^\x00-\x08\x0b-\x1f{_UNSEEN}]*$",
        "Must be text without control characters other than line ends and tabs",
    ),
]
"""The same of several lines."""

LabelKey = Annotated[
    str,
    _pattern(
        r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$",
        "Must be 1 to 63 letters, digits, dots, hyphens, underscores and slashes, the first a "
        "letter or digit",
    ),
]
LabelValue = Annotated[Line, Field(max_length=200)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]


def one_line(text: str) -> str:
    """The text without what a ``Line`` does not hold."""
    return re.sub(rf"[{_NOT_IN_LINES}]", "", text)


class Body(BaseModel):
    """Base of request bodies. Unknown fields are refused, so that a typing error is noticed, and
    so are values of another type, such as ``"5"`` or ``true`` for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: str | None = Field(
        default=None, description="Pass it as `cursor` for the next page; null at the end."
    )
