"""From files to checked documents. All that is wrong is found at once, with its place."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, cast

from podium.cli.apply.yaml12 import Place, Pointer, Read, Wrong, read
from podium.cli.options import wrong

_LARGEST = 4 * 2**20
_SUFFIXES = (".yaml", ".yml")
_ENVELOPE = ("kind", "name", "project", "spec")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_A_MOMENT = "2026-12-31T09:30:00Z"
_TYPES = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
}


class Key(NamedTuple):
    """What a document is about. For one of kind Project the project is itself."""

    kind: str
    project: str
    name: str

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name if self.kind == 'Project' else f'{self.project}/{self.name}'}"
        )


@dataclass(frozen=True, slots=True)
class Document:
    """What there is to be. ``spec`` is as it was given; ``found`` knows where each part stands."""

    key: Key
    spec: Mapping[str, Any]
    found: Read

    @property
    def at(self) -> Place:
        """Where it begins."""
        return self.found.at

    def place(self, field: str) -> Place:
        """Where a field stands, such as ``task.limits.0``, or the closest around it."""
        names = [int(each) if each.isdecimal() else each for each in field.split(".")]
        return self.found.place(("spec", *names))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a file."""

    at: Place
    message: str

    def __str__(self) -> str:
        return f"{self.at}: {self.message}"


@cache
def schema() -> Mapping[str, Any]:
    """The JSON Schema of a document."""
    import msgspec

    text = (files("podium.cli.apply") / "schema.json").read_bytes()
    return cast("Mapping[str, Any]", msgspec.json.decode(text))


def kinds() -> Sequence[str]:
    """The kinds, in the order in which they are made."""
    return cast("Sequence[str]", schema()["properties"]["kind"]["enum"])


def spec_schema(kind: str) -> Mapping[str, Any]:
    """The JSON Schema of what a kind's ``spec`` holds."""
    return cast("Mapping[str, Any]", schema()["$defs"][kind]["properties"]["spec"])


def load(given: Sequence[str], project: str) -> tuple[Sequence[Document], Sequence[Finding]]:
    """The documents of files, folders and standard input, and all that is wrong with them.

    ``project`` is that of documents which name none.
    """
    documents: dict[Key, Document] = {}
    findings: list[Finding] = []
    for name, text in _texts(given):
        try:
            for found in read(text, name):
                document = _document(found, project, findings)
                if document is None:
                    continue
                if other := documents.get(document.key):
                    message = f"{document.key} is at {other.at} already."
                    findings.append(Finding(document.at, message))
                documents[document.key] = document
        except Wrong as error:
            findings.append(Finding(error.place, error.message))
    return list(documents.values()), sorted(findings, key=lambda each: each.at)


def _texts(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each file's name and text; those of a folder by name, with those of folders below. What is
    hidden in a folder is passed over."""
    for name in given:
        if name == "-":
            yield "<stdin>", _decoded(sys.stdin.buffer.read(_LARGEST + 1), "standard input")
            continue
        path = Path(name)
        paths = [path]
        if path.is_dir():
            paths = sorted(_below(path))
            if not paths:
                raise wrong(f"{name} holds no .yaml or .yml files.", "Name the files, or '-'.")
        for each in paths:
            yield os.fspath(each), _decoded(_bytes(each), os.fspath(each))


def _below(folder: Path) -> Iterator[Path]:
    """The YAML files of a folder and of those below."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.endswith(_SUFFIXES) and not name.startswith("."):
                yield Path(place, name)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST + 1)
    except OSError as error:
        raise wrong(
            f"{path} cannot be read: {error.strerror}.", "Give a file or a folder."
        ) from None


def _decoded(content: bytes, name: str) -> str:
    if len(content) > _LARGEST:
        raise wrong(f"{name} is larger than {_LARGEST:,} bytes.", "Divide it into several files.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong(f"{name} is no UTF-8 text: {error.reason}.", "Save it as UTF-8.") from None


def _document(found: Read, project: str, findings: list[Finding]) -> Document | None:
    before = len(findings)
    findings += _of_envelope(found)
    value = cast("Mapping[str, Any]", found.value)
    if len(findings) == before:
        of_kind = cast("Mapping[str, Any]", schema()["$defs"][value["kind"]])
        findings += _of_schema(found, of_kind["properties"]["name"], ("name",), value["name"])
        spec = value.get("spec", {})
        findings += _of_schema(found, of_kind["properties"]["spec"], ("spec",), spec)
    if len(findings) > before:
        return None
    kind, name = str(value["kind"]), str(value["name"])
    of = name if kind == "Project" else str(value.get("project", project))
    return Document(Key(kind, of, name), value.get("spec", {}), found)


def _of_envelope(found: Read) -> Iterator[Finding]:
    """What is wrong around the ``spec``."""
    value: Any = found.value
    if not isinstance(value, dict):
        yield Finding(found.at, "A document must be an object with kind, name and spec.")
        return
    given = cast("dict[str, Any]", value)
    for name in given:
        if name not in _ENVELOPE:
            yield Finding(found.place((name,), key=True), _unknown(name, _ENVELOPE))
    kind = given.get("kind")
    if kind not in kinds():
        told = (
            _among(kinds(), str(kind))
            if "kind" in given
            else f"kind must be given: {_listed(kinds())}."
        )
        yield Finding(found.place(("kind",)), told)
    if not isinstance(given.get("name"), str):
        yield Finding(found.place(("name",)), "name must be given, as text.")
    if not isinstance(given.get("spec", {}), dict):
        yield Finding(found.place(("spec",)), "spec must be an object.")
    if "project" in given:
        if kind == "Project":
            yield Finding(found.place(("project",), key=True), "A project is in no other one.")
        names = cast("Mapping[str, Any]", schema()["$defs"]["Project"]["properties"]["name"])
        yield from _of_schema(found, names, ("project",), given["project"])


def _of_schema(
    found: Read, part: Mapping[str, Any], pointer: Pointer, value: object
) -> Iterator[Finding]:
    """What is wrong with a value by its JSON Schema."""
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator(
        dict(part), validate_formats=True, formats={"date-time": _is_moment}
    )
    for error in validator.iter_errors(value):
        at: Pointer = (*pointer, *error.instance_path)
        yield from _told(found, part, at, len(pointer), error)


def _is_moment(text: str) -> bool:
    """Whether it is written as ISO 8601 has it, and is a moment of the years that UTC has here."""
    try:
        datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return _MOMENT.fullmatch(text) is not None


def _told(
    found: Read, part: Mapping[str, Any], at: Pointer, depth: int, error: Any
) -> Iterable[Finding]:
    where = ".".join(str(each) for each in at if each != "spec")
    match error.kind.name:
        case "additionalProperties":
            known = list(_within(part, at[depth:]).get("properties", ()))
            return [
                Finding(found.place((*at, name), key=True), _unknown(name, known))
                for name in error.kind.unexpected
            ]
        case "required":
            told = f"{'.'.join([*filter(None, [where]), error.kind.property])} must be given."
        case "type":
            types = [_TYPES[name] for name in error.kind.types if name != "null"]
            told = f"{where or 'spec'} must be {' or '.join(types)}."
        case "enum":
            told = f"{where}: {_among(error.kind.options, str(error.instance))}"
        case "format":
            told = f"{where} must be a moment in ISO 8601 with its time zone, such as {_A_MOMENT}."
        case "pattern":
            told = f"{where}: {error.instance!r} must match {error.kind.pattern}."
        case _:
            told = f"{where}: {error.message}."
    return [Finding(found.place(at), told)]


def _within(part: Mapping[str, Any], pointer: Pointer) -> Mapping[str, Any]:
    """The part of a schema that holds for the value there."""
    for name in pointer:
        inner = part.get("items") if isinstance(name, int) else part.get("properties", {}).get(name)
        part = cast("Mapping[str, Any]", inner or {})
    return part


def _unknown(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"There is no field {name!r}" + (f"; the closest is {close[0]!r}." if close else ".")


def _among(options: Sequence[Any], given: str) -> str:
    close = get_close_matches(given.lower(), {str(each).lower() for each in options}, n=1)
    meant = [each for each in options if close and str(each).lower() == close[0]]
    told = f"{given!r} must be one of {_listed(options)}"
    return f"{told}; the closest is {meant[0]!r}." if meant else f"{told}."


def _listed(options: Sequence[Any]) -> str:
    return ", ".join(str(each) for each in options)
