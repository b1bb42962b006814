"""What a part is given, and how it fails."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Context(Protocol):
    """The little that a part needs of the attempt that it runs in.

    ``dependencies`` is keyed by the name of the part that was waited for. Each value carries
    ``state``, ``output`` and ``error`` (and, for the report, ``queued_seconds`` and
    ``run_seconds`` where they are known), as attributes or as keys.
    """

    @property
    def dependencies(self) -> Mapping[str, object]: ...

    def log(self, text: str) -> None:
        """Append a line to the attempt's log."""
        ...

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        """Say how far the work is, from 0 to 1; None when it cannot be known."""
        ...

    def artifact(self, name: str, path: Path) -> object:
        """Keep a file with the task."""
        ...


class CheckupError(Exception):
    """A part cannot do its work; carries what Podium stores as the attempt's error.

    ``error_class`` is one of Podium's classes (``invalid_input``, ``permission``, ``resource``,
    ``agent`` and so on), ``code`` is stable, ``hint`` says what to do.
    """

    def __init__(
        self, error_class: str, code: str, message: str, *, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.code = code
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, Json]:
        """The error in the shape of Podium's JSON-lines protocol."""
        shown: dict[str, Json] = {
            "class": self.error_class,
            "code": self.code,
            "message": self.message,
        }
        return shown | ({"hint": self.hint} if self.hint else {})


def field(value: object, name: str) -> object:
    """``name`` of a dependency that is a mapping or an object; None when it has no such thing."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).get(name)
    return getattr(value, name, None)


def mapping(value: object) -> dict[str, Json]:
    """``value`` if it is a JSON object, else an empty one."""
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Json]]:
    """The JSON objects of a list that hold something; empty for anything else."""
    if not isinstance(value, list):
        return []
    return [item for item in map(mapping, cast("list[object]", value)) if item]


def strings(value: object) -> list[str]:
    """The strings of a list; empty for anything else."""
    if not isinstance(value, list):
        return []
    return [item for item in cast("list[object]", value) if isinstance(item, str)]


def number(value: object, default: float) -> float:
    """``value`` if it is a number, else ``default``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return value


def whole(value: object, default: int = 0) -> int:
    """``value`` as a whole number, else ``default``."""
    return int(number(value, default))


def string(value: object, default: str = "") -> str:
    """``value`` if it is text, else ``default``."""
    return value if isinstance(value, str) else default
