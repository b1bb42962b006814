"""YAML 1.2 with the place of each value.

PyYAML reads YAML 1.1, in which ``no`` is false and ``12:30`` a number. Here a plain scalar is what
the core schema of 1.2 says, which JSON has as well; all else is text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import yaml

_TAG = "tag:yaml.org,2002:"
_NULL, _BOOL, _INT, _FLOAT, _STR = (
    f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str")
)
_MAP, _SEQ = f"{_TAG}map", f"{_TAG}seq"
_CORE = (
    (_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z")),
    (_BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")),
    (_INT, re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")),
    (_FLOAT, re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")),
)
_MOST_VALUES = 100_000
"""Values of a file, with those that aliases stand for counted each time."""
_DEEPEST = 100

Pointer = tuple[str | int, ...]


class Place(NamedTuple):
    """Where something stands, as editors count."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Wrong(Exception):
    """A text that is no YAML, or holds what cannot be used."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


@dataclass(slots=True)
class Read:
    """One document: its value, and where each part of it and each key stands."""

    value: Any
    at: Place
    places: dict[Pointer, Place] = field(default_factory=dict[Pointer, Place])
    keys: dict[Pointer, Place] = field(default_factory=dict[Pointer, Place])

    def place(self, pointer: Pointer, *, key: bool = False) -> Place:
        """Where the value is, or its key; of what is not there, the closest around it."""
        known = self.keys if key else self.places
        while pointer and pointer not in known:
            pointer, known = pointer[:-1], self.places
        return known.get(pointer, self.at)


def read(text: str, file: str) -> Iterator[Read]:
    """The documents of a text, without empty ones. Raises ``Wrong`` at the first that is none."""
    try:
        for node in _nodes(text):
            found = Read(None, _place(file, node))
            found.value = _Reader(file, found).value(node, (), 0)
            if found.value is not None:
                yield found
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        raise Wrong(place, f"This is no YAML: {error.problem or error.context}.") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise Wrong(place, f"This is no YAML: {error.reason}.") from None
    except RecursionError:
        raise Wrong(Place(file, 1, 1), "It is nested too deeply.") from None


def _nodes(text: str) -> Iterator[Any]:
    return cast("Iterator[Any]", cast("Any", yaml).compose_all(text, Loader=_Loader))


def write(documents: Sequence[Mapping[str, Any]]) -> str:
    """Documents as YAML that both 1.2 and 1.1 read as they are."""
    return yaml.dump_all(  # pyright: ignore[reportUnknownVariableType]
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        explicit_start=True,
        width=100,
    )


def _core(value: str) -> str:
    return next((tag for tag, pattern in _CORE if pattern.match(value)), _STR)


class _Loader(yaml.SafeLoader):
    """Knows scalars by the core schema."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _core(value) if implicit[0] else _STR
        return _MAP if kind is yaml.MappingNode else _SEQ


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML takes for something else than text."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = _core(value) if kind is yaml.ScalarNode and implicit[0] else _STR
        usual: Any = super()
        return usual.resolve(kind, value, implicit) if tag == _STR else tag

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: Any, value: str) -> yaml.ScalarNode:
    lines = "\n" in value and not any(line != line.rstrip() for line in value.split("\n"))
    return dumper.represent_scalar(_STR, value, style="|" if lines else None)


_Dumper.add_representer(str, _text)


class _Reader:
    """Values from nodes. Counts them, as aliases may stand for more than there is room for."""

    def __init__(self, file: str, found: Read) -> None:
        self._file = file
        self._found = found
        self._left = _MOST_VALUES

    def value(self, node: Any, pointer: Pointer, depth: int) -> Any:
        self._left -= 1
        place = _place(self._file, node)
        if self._left < 0:
            raise Wrong(place, f"There are more than {_MOST_VALUES:,} values, aliases resolved.")
        if depth > _DEEPEST:
            raise Wrong(place, "It is nested too deeply, or an alias holds itself.")
        self._found.places[pointer] = place
        if node.tag == _MAP and isinstance(node, yaml.MappingNode):
            return self._mapping(node, pointer, depth)
        if node.tag == _SEQ and isinstance(node, yaml.SequenceNode):
            items = enumerate(cast("list[Any]", node.value))
            return [self.value(each, (*pointer, at), depth + 1) for at, each in items]
        return _scalar(node, place)

    def _mapping(self, node: Any, pointer: Pointer, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            place = _place(self._file, key)
            if not isinstance(key, yaml.ScalarNode):
                raise Wrong(place, "A key must be text.")
            name = cast("str", key.value)
            if name == "<<" and isinstance(value, (yaml.MappingNode, yaml.SequenceNode)):
                raise Wrong(place, "YAML 1.2 has no merge keys (<<); write the fields out.")
            if name in made:
                raise Wrong(place, f"The key {name!r} is there twice.")
            self._found.keys[(*pointer, name)] = place
            made[name] = self.value(value, (*pointer, name), depth + 1)
        return made


def _scalar(node: Any, place: Place) -> Any:
    text = str(node.value)
    if node.tag not in (_NULL, _BOOL, _INT, _FLOAT, _STR) or not isinstance(node, yaml.ScalarNode):
        raise Wrong(place, f"There is no tag {str(node.tag).replace(_TAG, '!!')} here.")
    if node.tag not in (_STR, _core(text)) and not (node.tag == _FLOAT and _core(text) == _INT):
        raise Wrong(place, f"{text!r} is no {node.tag.removeprefix(_TAG)}.")
    if node.tag == _STR:
        return text
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL:
        return text.lower() == "true"
    try:
        return float(text) if node.tag == _FLOAT else int(text, _base(text))
    except (ValueError, OverflowError):
        raise Wrong(place, "This number is too large.") from None


def _base(text: str) -> int:
    return {"0o": 8, "0x": 16}.get(text[:2], 10)


def _place(file: str, node: Any) -> Place:
    mark = node.start_mark
    return Place(file, mark.line + 1, mark.column + 1)
