"""How much work a JSON Schema can be, counted without running it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import unquote

MOST = 10_000
"""Subschemas beyond which nobody counts on."""

_DEEPEST = 200
_PATTERN_COST = 400
_ROOT_DEFINITIONS = ("$defs", "definitions")
_MOVES_REFERENCES = frozenset(
    {"$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"}
)
_ONLY_AT_THE_ROOT = frozenset({"$id", "id", "$schema", "$vocabulary"})
_EVALUATES_AGAIN = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_BIG_INDEX = re.compile(r"[0-9]{6,}")


class _Uncountable(Exception):
    """It recurses, refers in a way that is not followed here, or passes the most."""


def cost(schema: Mapping[str, Any]) -> int | None:
    """How many subschemas there are once every reference is replaced by what it means.

    Patterns count for more, because they look at each character. None when that is more than
    ``MOST`` or cannot be told: the schema recurses, or has references of other kinds than
    ``#`` and ``#/…``. Counts too much rather than too little, and looks at each part once.
    """
    try:
        return _Counter(schema).total()
    except _Uncountable:
        return None


class _Counter:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._parts = 0
        self._known: dict[int, int] = {}
        self._open: set[int] = set()

    def total(self) -> int:
        """The cost of the whole. What stands in its definitions counts where it is referred to;
        it is walked all the same, because it is compiled."""
        for name in _ROOT_DEFINITIONS:
            self._of(self._root.get(name), 1)
        return self._of(self._root, 0)

    def _of(self, value: Any, depth: int) -> int:
        if not isinstance(value, (dict, list)):
            return 1
        container = cast("dict[str, Any] | list[Any]", value)
        key = id(container)
        if (known := self._known.get(key)) is not None:
            return known
        self._parts += 1 + len(container)
        if key in self._open or depth > _DEEPEST or self._parts > MOST:
            raise _Uncountable
        self._open.add(key)
        if isinstance(container, dict):
            found = self._of_object(container, depth)
        else:
            found = self._sum(container, depth)
        self._open.discard(key)
        if found > MOST:
            raise _Uncountable
        self._known[key] = found
        return found

    def _of_object(self, schema: dict[str, Any], depth: int) -> int:
        at_root = schema is self._root
        if not _MOVES_REFERENCES.isdisjoint(schema) or (not at_root and _renames(schema)):
            raise _Uncountable
        inner = (schema[name] for name in schema if not (at_root and name in _ROOT_DEFINITIONS))
        found = self._sum(inner, depth)
        if "pattern" in schema:
            found += _PATTERN_COST
        if isinstance(patterns := schema.get("patternProperties"), dict):
            found += _PATTERN_COST * len(cast("dict[str, Any]", patterns))
        if isinstance(reference := schema.get("$ref"), str):
            found += self._of(self._target(reference), depth + 1)
        # What stands beside these is evaluated once to see whether it holds, once for what it saw.
        return found * 2 ** len(_EVALUATES_AGAIN.intersection(schema))

    def _sum(self, values: Iterable[Any], depth: int) -> int:
        return 1 + sum(self._of(value, depth + 1) for value in values)

    def _target(self, reference: str) -> Any:
        if reference != "#" and not reference.startswith("#/"):
            raise _Uncountable
        found: Any = self._root
        for part in reference[1:].split("/")[1:]:
            found = _step(found, unquote(part).replace("~1", "/").replace("~0", "~"))
        return found


def _renames(schema: Mapping[str, Any]) -> bool:
    """Whether references inside may mean something else than from the root."""
    return any(isinstance(schema.get(name), str) for name in _ONLY_AT_THE_ROOT)


def _step(value: Any, part: str) -> Any:
    if isinstance(value, dict) and part in value:
        return cast("dict[str, Any]", value)[part]
    items = cast("list[Any]", value) if isinstance(value, list) else []
    if part.isdecimal() and not _BIG_INDEX.fullmatch(part) and int(part) < len(items):
        return items[int(part)]
    raise _Uncountable
