"""How many packages a lock file pins. The formats are read as text, only to count."""

import re
from collections.abc import Callable

_TABLE = re.compile(rb"^\[\[package\]\]", re.MULTILINE)
_NPM = re.compile(rb"^ {4}\"node_modules/[^\"]+\": \{", re.MULTILINE)
_NPM_OLD = re.compile(rb"^ {4}\"[^\"]+\": \{\s*\"version\"", re.MULTILINE)
_YARN = re.compile(rb"^\S[^\n]*:\n {2}\"?version\"?:? ", re.MULTILINE)
_PNPM = re.compile(rb"^ {2}['\"/]?[@\w][^\s]{0,200}@[^\s]{0,200}:$", re.MULTILINE)
_GEM = re.compile(rb"^ {4}[\w.-]+ \([^)\n]+\)", re.MULTILINE)
_COMPOSER = re.compile(rb"^ {12}\"name\": ", re.MULTILINE)
_PIPFILE = re.compile(rb"^ {8}\"[^\"]+\": \{", re.MULTILINE)
_PUB = re.compile(rb"^ {2}[\w-]+:$", re.MULTILINE)
_NUGET = re.compile(rb"\"resolved\":")
_MIX = re.compile(rb"^ {2}\"[\w-]+\":", re.MULTILINE)
_GRADLE = re.compile(rb"^[\w.-]+:[\w.-]+:[^\s=]+=", re.MULTILINE)
_SWIFT = re.compile(rb"\"(identity|package)\"\s*:")
_BUN = re.compile(rb"^ {4}\"[^\"]+\": \[", re.MULTILINE)
_REQUIREMENT = re.compile(rb"^[\w.\[\],-]+==", re.MULTILINE)


def _go(content: bytes) -> int:
    return len({line.split(b" ")[0] for line in content.splitlines() if b"/go.mod" not in line})


def _npm(content: bytes) -> int:
    return len(_NPM.findall(content)) or len(_NPM_OLD.findall(content))


def _matches(pattern: re.Pattern[bytes]) -> Callable[[bytes], int]:
    return lambda content: len(pattern.findall(content))


COUNTERS: dict[str, Callable[[bytes], int]] = {
    "package-lock.json": _npm,
    "npm-shrinkwrap.json": _npm,
    "yarn.lock": _matches(_YARN),
    "pnpm-lock.yaml": _matches(_PNPM),
    "bun.lock": _matches(_BUN),
    "poetry.lock": _matches(_TABLE),
    "uv.lock": _matches(_TABLE),
    "pdm.lock": _matches(_TABLE),
    "pylock.toml": _matches(re.compile(rb"^\[\[packages\]\]", re.MULTILINE)),
    "Pipfile.lock": _matches(_PIPFILE),
    "Cargo.lock": _matches(_TABLE),
    "go.sum": _go,
    "Gemfile.lock": _matches(_GEM),
    "composer.lock": _matches(_COMPOSER),
    "packages.lock.json": _matches(_NUGET),
    "gradle.lockfile": _matches(_GRADLE),
    "pubspec.lock": _matches(_PUB),
    "mix.lock": _matches(_MIX),
    "Package.resolved": _matches(_SWIFT),
    "Chart.lock": _matches(re.compile(rb"^- name:", re.MULTILINE)),
}
"""By file name: how many packages the content of a lock file pins."""


def packages(path: str, content: bytes) -> int | None:
    """How many packages the lock file at ``path`` pins; None where the format is not read."""
    name = path.rpartition("/")[2]
    if name.startswith("requirements"):
        return len(_REQUIREMENT.findall(content))
    counter = COUNTERS.get(name)
    return counter(content) if counter else None


def pins_everything(content: bytes) -> bool:
    """Whether a requirements file is the output of a resolver: every line is one version."""
    lines = [line.strip() for line in content.splitlines()]
    lines = [line for line in lines if line and not line.startswith((b"#", b"-", b"\\"))]
    resolved = len(lines) > 1 or (bool(lines) and b"--hash=" in content)
    return resolved and all(_REQUIREMENT.match(line) for line in lines)
