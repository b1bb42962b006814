"""The types of fields that clients send, and the shapes of bodies and pages.

Apart from ``web``, because not only routes know them and workers do without FastAPI.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Generic, LiteralString, TypeVar, cast, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")
_words: dict[str, str] = {}
_MOST_CHARS = 500
_LONG_NAME = 100
MOST_TOLD = 50
"""So many wrong fields of one request are told: to find what each was meant to be takes time."""


def _pattern(pattern: str, words: str) -> Any:
    """A pattern, and what it asks for in words."""
    _words[pattern] = words
    return Field(pattern=pattern)


def told(finding: Mapping[str, Any], model: Any = None) -> str:
    """What pydantic found wrong with a field, in plain words. The input, which may hold secrets, is
    not repeated; of a wrong one of several values it tells the one that is meant.

    ``model`` is the type that was validated, which tells the name that a wrong one is like.
    """
    kind = str(finding["type"])
    context: Mapping[str, Any] = finding.get("ctx") or {}
    match kind:
        case "extra_forbidden":
            *path, name = finding["loc"]
            return f"There is no such field{closest(str(name), _fields_at(model, path))}"
        case "string_pattern_mismatch" if words := _words.get(context["pattern"]):
            return words
        case "enum" | "literal_error":
            return f"Must be {_among(context['expected'], finding.get('input'))}"
        case "union_tag_invalid":
            tags = _among(context["expected_tags"], context["tag"])
            return f"{context['discriminator']} must be one of {tags}"
        case "string_too_short" | "too_short" | "string_too_long" | "too_long":
            return _length(kind, context)
        case "json_invalid":
            return f"Must be JSON: {context['error']}"
        case _:
            message = str(finding["msg"]).removeprefix("Value error, ")
            return _PLAIN.get(kind, message.replace("Input should", "Must", 1)[:_MOST_CHARS])


def causes(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What pydantic found, without defaults that it could not make because other fields are
    wrong."""
    return [each for each in found if each["type"] != "default_factory_not_called"]


_INTEGER, _NUMBER = "Must be a whole number", "Must be a number"
_OBJECT = "Must be an object"
_ID = "Must be a whole id, such as 0199d3a8-5b1e-7c42-9f60-2d7e4b8a1c35"
_MOMENT = "Must be a moment in ISO 8601 with its time zone, such as 2026-03-01T09:30:00Z"
_PLAIN = {
    "missing": "Must be given",
    "int_type": _INTEGER,
    "int_parsing": _INTEGER,
    "int_from_float": _INTEGER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "string_type": "Must be text",
    "bool_type": "Must be true or false",
    "bool_parsing": "Must be true or false",
    "list_type": "Must be a list",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "uuid_type": _ID,
    "uuid_parsing": _ID,
    "datetime_type": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "timezone_aware": _MOMENT,
}
"""By pydantic's types of findings, what is told where its own words are those of its code."""


def _length(kind: str, context: Mapping[str, Any]) -> str:
    """Words for a text, a list or an object that is too short or too long."""
    short = kind.endswith("too_short")
    limit = context["min_length" if short else "max_length"]
    if short and limit == 1:
        return "Must not be empty"
    what = "character" if kind.startswith("string") else "item"
    most = "at least" if short else "at most"
    return f"Must have {most} {limit} {what}{'' if limit == 1 else 's'}"


def _among(quoted: str, given: object) -> str:
    """The values that pydantic lists as ``'a', 'b' or 'c'``, and the one that is meant."""
    known = re.findall(r"'([^']*)'", quoted)
    is_one_of_several = isinstance(given, str) and len(known) > 1
    return quoted + (closest(str(given).lower(), known) if is_one_of_several else "")


def and_more(others: int) -> str:
    """Words behind the first of several wrong fields."""
    if not others:
        return ""
    return f"; {others} more field{' is' if others == 1 else 's are'} wrong"


def closest(name: str, known: Iterable[str]) -> str:
    """Words that name the known name which a wrong one is most like; none when it is like none."""
    close = get_close_matches(name[:_LONG_NAME], known, n=1)
    return f"; the closest is '{close[0]}'" if close else ""


def _fields_at(model: Any, path: Sequence[str | int]) -> list[str]:
    """The names of the fields at a place of what is validated as ``model``."""
    models = [*_models(model)]
    for part in path:
        inner = [each.model_fields[str(part)] for each in models if str(part) in each.model_fields]
        if inner:  # else it is a place in a list, or a name in an object
            models = [each for field in inner for each in _models(field.annotation)]
    return [name for each in models for name in each.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _told_in_seconds(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError as error:
        (found,) = error.errors(include_url=False, include_input=False)
        limit = (found.get("ctx") or {}).get(_LIMITS.get(found["type"], ""))
        if limit is None:
            raise
        days = f" ({limit / 86400:g} days)" if limit > 86400 and limit % 86400 == 0 else ""
        message = cast("LiteralString", f"{found['msg']} seconds{days}")
        raise PydanticCustomError("out_of_limits", message) from None


_LIMITS = {
    "greater_than": "gt",
    "greater_than_equal": "ge",
    "less_than": "lt",
    "less_than_equal": "le",
}
IN_SECONDS = WrapValidator(_told_in_seconds)
"""Behind the limits of a number: whoever passes them is told that they are seconds."""

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
LimitName = Annotated[
    str,
    _pattern(
        r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}$",
        "Must be 1 to 200 letters, digits and . _ : / @ + -, the first a letter or digit",
    ),
]
"""Names of limits, which tasks count against: ``customer:42``."""
LimitPattern = Annotated[
    str,
    _pattern(
        r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,198}[A-Za-z0-9._:/@+*-]?$",
        "Must be 1 to 200 letters, digits and . _ : / @ + -, the first a letter or digit; * may be "
        "the last",
    ),
]
"""Names of limits, or of families of them: ``customer:*``."""

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


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def _storable(moment: datetime) -> datetime:
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError("must lie between the years 1970 and 9000")
    return moment


def _written(moment: object) -> object:
    if not isinstance(moment, str | datetime) or re.fullmatch(r"[-+\d.\s]*", str(moment)):
        raise ValueError("must be a moment in ISO 8601 with its time zone")
    return moment


Moment = Annotated[
    AwareDatetime, Field(strict=False), BeforeValidator(_written), AfterValidator(_storable)
]
"""A point in time with its time zone; never a bare number."""


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
