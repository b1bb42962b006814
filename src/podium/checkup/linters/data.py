"""Syntax of JSON, TOML, YAML and XML, with parsers that build nothing and run nothing."""

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast
from xml.parsers import expat

import yaml

from podium.checkup import guards, languages
from podium.checkup.linters.issues import Issues
from podium.checkup.part import Deadline, Progress
from podium.checkup.repository import Entry, Reader
from podium.checkup.text import display, plural

_MAX_BYTES = 2_000_000
_MAX_FILES = 20_000
_MAX_TOML_LINE = 20_000
_TEMPLATE = ("{{", "{%", "<%", "${{", "[[ ")
# These take comments and trailing commas, or are streams of values.
_LOOSE_JSON = (
    "tsconfig", "jsconfig", "devcontainer", ".eslintrc", ".babelrc", ".swcrc", "api-extractor",
    "settings.json", "launch.json", "tasks.json", "extensions.json", "keybindings.json",
    ".code-workspace", ".jshintrc", "biome.json", "deno.json", "wrangler.json", "turbo.json",
    ".oxlintrc", "pyrightconfig", "renovate.json", "rush.json", "tslint.json",
)  # fmt: skip


class Fault(NamedTuple):
    """Where and why a file cannot be parsed. ``line`` is 0 when the parser does not say."""

    line: int
    message: str


class NotJudged(Exception):
    """The file is a template, or nothing that can be judged safely."""


def check(
    entries: list[Entry], reader: Reader, deadline: Deadline, progress: Progress, issues: Issues
) -> None:
    """Parse the data files among ``entries``."""
    chosen = [(entry, kind) for entry in entries if (kind := _kind(entry))]
    counts: Counter[str] = Counter()
    not_judged = 0
    for place, (entry, kind) in enumerate(chosen):
        if deadline.passed or place >= _MAX_FILES:
            issues.cuts.append(("data files", f"{place:,} of {len(chosen):,} were parsed"))
            break
        progress.at(place, len(chosen), f"parsing {display(entry.path)}")
        counts[kind] += 1
        try:
            fault = _fault(kind, reader.read(entry))
        except NotJudged:
            not_judged += 1
            continue
        if fault:
            issues.add(f"{kind} syntax", "parse-error", "high", entry.path, *fault)
    for kind, count in sorted(counts.items()):
        issues.ran(f"{kind} syntax", count)
    if not_judged:
        issues.notes.append(
            f"{plural(not_judged, 'data file')} not judged: templates, or with entities of its own."
        )


def _kind(entry: Entry) -> str | None:
    if not 0 < entry.size <= _MAX_BYTES or languages.is_vendored(entry.path):
        return None
    name = entry.path.rpartition("/")[2]
    extension = languages.extension(entry.path)
    if extension in {"json", "webmanifest", "geojson", "ipynb"}:
        return None if any(part in name for part in _LOOSE_JSON) else "JSON"
    if extension == "toml" or name in {"Cargo.lock", "poetry.lock", "uv.lock", "Pipfile"}:
        return "TOML"
    if extension in {"yml", "yaml"}:
        return "YAML"
    if languages.language(entry.path) == "XML" and extension not in {"props", "targets"}:
        return "XML"
    return None


def _fault(kind: str, content: bytes) -> Fault | None:
    parse: Callable[[bytes], Fault | None] = _PARSERS[kind]
    fault = parse(content)
    if fault and any(mark.encode() in content for mark in _TEMPLATE):
        raise NotJudged
    return fault


def json_fault(content: bytes) -> Fault | None:
    """Why the content is no JSON; None when it is."""
    try:
        # Numbers are left as text: a huge one is legal and would take long to convert.
        json.loads(content, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        return Fault(error.lineno, error.msg)
    except UnicodeDecodeError:
        return Fault(0, "it is not UTF-8")
    except RecursionError:
        raise NotJudged from None
    return None


def toml_fault(content: bytes) -> Fault | None:
    """Why the content is no TOML; None when it is."""
    if guards.has_line_over(content, _MAX_TOML_LINE):
        raise NotJudged
    try:
        tomllib.loads(content.decode("utf-8").replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        message, _, where = str(error).partition(" (at line ")
        line = where.partition(",")[0]
        return Fault(int(line) if line.isdigit() else 0, message)
    except UnicodeDecodeError:
        return Fault(0, "it is not UTF-8")
    except (RecursionError, ValueError):
        raise NotJudged from None
    return None


def yaml_fault(content: bytes) -> Fault | None:
    """Why the content is no YAML; None when it is. Only events are read: aliases stay unread."""
    if guards.is_too_deep(content):
        raise NotJudged
    loader = yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader
    parse = cast("Callable[[bytes, object], Iterator[object]]", yaml.parse)  # pyright: ignore[reportUnknownMemberType] - it has no types
    try:
        for _ in parse(content, loader):
            continue
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Fault(mark.line + 1 if mark else 0, error.problem or "it cannot be parsed")
    except yaml.YAMLError:
        return Fault(0, "it holds characters that YAML does not allow")
    return None


def xml_fault(content: bytes) -> Fault | None:
    """Why the content is no well-formed XML; None when it is.

    A file that declares entities is not judged: expanding them could take for ever.
    """
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _refuse_entities
    try:
        parser.Parse(content, True)  # noqa: FBT003 - expat takes it by position only
    except expat.ExpatError as error:
        return Fault(error.lineno, expat.ErrorString(error.code))
    except (LookupError, ValueError):  # an encoding that Python does not know
        raise NotJudged from None
    return None


def _refuse_entities(*_: object) -> None:
    raise NotJudged


_PARSERS: dict[str, Callable[[bytes], Fault | None]] = {
    "JSON": json_fault,
    "TOML": toml_fault,
    "YAML": yaml_fault,
    "XML": xml_fault,
}
