"""Fills a value with the defaults that its JSON Schema declares."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, cast

from podium.kernel.errors import SchemaTooCostly

Schema = Mapping[str, Any]

_MOST = 5_000
"""Subschemas that are gone through for one value: references can double with each definition."""
_MOST_COPIED = 100_000
"""Values in the defaults that are copied for one value."""
_DEEPEST = 100


def filled(schema: Schema, value: object) -> Any:
    """A copy of the value in which what was left out has the schema's defaults.

    Looked for in ``properties``, ``items``, ``prefixItems``, ``allOf`` and references to the
    schema's own parts. An object that was left out and has no default itself is made of those of
    its properties, if they give all that it requires. Values that were given stay, null too.

    Raises ``SchemaTooCostly`` when the schema has too many parts to go through.
    """
    return _Filler(schema).filled(schema, deepcopy(value), 0)


class _Filler:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = _MOST
        self._copied = 0
        self._open: set[int] = set()
        """Subschemas that are being gone through: nothing is made of one inside of itself, or there
        would be no end."""

    def filled(self, schema: object, given: Any, depth: int) -> Any:
        value: Any = given
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise SchemaTooCostly(
                "The schema has too many parts to look for defaults in.",
                hint="Refer to the same definition from fewer places.",
            )
        if not isinstance(schema, dict):
            return value
        known = cast("dict[str, Any]", schema)
        with self._inside(known):
            if (part := self._referred(known)) is not None:
                value = self.filled(part, value, depth + 1)
            for part in _list(known.get("allOf")):
                value = self.filled(part, value, depth + 1)
            self._fill_members(known, value, depth)
        return value

    @contextmanager
    def _inside(self, schema: Schema) -> Generator[None]:
        first = id(schema) not in self._open
        self._open.add(id(schema))
        try:
            yield
        finally:
            if first:
                self._open.discard(id(schema))

    def _fill_members(self, schema: Schema, value: object, depth: int) -> None:
        if isinstance(value, dict):
            self._fill_object(schema, cast("dict[str, Any]", value), depth)
        elif isinstance(value, list):
            self._fill_list(schema, cast("list[Any]", value), depth)

    def _fill_object(self, schema: Schema, value: dict[str, Any], depth: int) -> None:
        for name, part in _object(schema.get("properties")).items():
            if name in value:
                value[name] = self.filled(part, value[name], depth + 1)
            elif (made := self._made(part, depth + 1)) is not None:
                value[name] = made[0]

    def _fill_list(self, schema: Schema, value: list[Any], depth: int) -> None:
        first = _list(schema.get("prefixItems"))
        for place, each in enumerate(value):
            part = first[place] if place < len(first) else schema.get("items")
            value[place] = self.filled(part, each, depth + 1)

    def _made(self, schema: object, depth: int) -> tuple[Any] | None:
        """The value of what was left out; None without one."""
        known = _object(schema)
        if "default" in known:
            return (self.filled(known, self._copy(known["default"]), depth),)
        if id(known) in self._open:
            return None
        with self._inside(known):
            return self._made_of_parts(known, depth)

    def _copy(self, default: object) -> object:
        self._copied += _size(default)
        if self._copied > _MOST_COPIED:
            raise SchemaTooCostly(
                "The schema's defaults are too large together.",
                hint="Give long values when the task is started.",
            )
        return deepcopy(default)

    def _made_of_parts(self, schema: Schema, depth: int) -> tuple[Any] | None:
        if (part := self._referred(schema)) is not None and (found := self._made(part, depth + 1)):
            return found
        if not _object(schema.get("properties")):
            return None
        whole = self.filled(schema, {}, depth)
        needed = [name for name in _list(schema.get("required")) if name not in whole]
        return (whole,) if whole and not needed else None

    def _referred(self, schema: Schema) -> object:
        """The part of the whole schema that it refers to; None when it refers to none."""
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        part: Any = self._root
        for step in filter(None, reference.removeprefix("#").split("/")):
            name = step.replace("~1", "/").replace("~0", "~")
            part = _object(part).get(name)
        return part


def _size(value: object) -> int:
    """How many values a JSON value is made of."""
    if isinstance(value, dict):
        return 1 + sum(_size(each) for each in cast("dict[str, object]", value).values())
    if isinstance(value, list):
        return 1 + sum(_size(each) for each in cast("list[object]", value))
    return 1


def _object(found: object) -> dict[str, Any]:
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _list(found: object) -> list[Any]:
    return cast("list[Any]", found) if isinstance(found, list) else []
