"""Python: requirements files, pyproject.toml, setup.cfg, setup.py, Pipfile, conda."""

import ast
import configparser
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import cast

import yaml
from packaging.requirements import InvalidRequirement, Requirement

from podium.checkup import guards
from podium.checkup.context import Json, mapping, string, strings
from podium.checkup.manifests.model import Dependency, Pin, Unreadable, name_in, pin

_MAX_REQUIREMENT = 1_000
_MAX_TOML_LINE = 20_000
_MAX_YAML = 200_000


def _requirement(text: str, scope: str) -> Dependency | None:
    if len(text) > _MAX_REQUIREMENT:
        return None
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    if requirement.url:
        return Dependency(requirement.name, "(address)", scope, "source")
    exact = any(
        part.operator == "===" or (part.operator == "==" and not part.version.endswith(".*"))
        for part in requirement.specifier
    )
    how: Pin = "exact" if exact else "range" if requirement.specifier else "any"
    return Dependency(requirement.name, str(requirement.specifier), scope, how)


def _requirements(lines: list[str], scope: str) -> Iterator[Dependency]:
    for line in lines:
        found = _requirement(line, scope)
        if found:
            yield found


def requirements_txt(content: bytes, path: str) -> Iterator[Dependency]:
    """A requirements file; the file's name tells development requirements."""
    name = path.rpartition("/")[2].lower()
    scope = "dev" if re.search(r"dev|test|doc|lint|build|ci", name) else "runtime"
    text = re.sub(r"\\\r?\n", " ", content.decode("utf-8", "replace"))
    for raw in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw)
        line = re.sub(r"\s--(hash|config-settings|global-option)\b.*$", "", line).strip()
        editable = re.match(r"(?:-e|--editable)[ =](.+)", line)
        if editable:
            yield Dependency(name_in(editable[1]), "(editable)", scope, "source")
        elif re.match(r"(git\+|https?:|\.{0,2}/)", line):
            yield Dependency(name_in(line), "(address)", scope, "source")
        elif line and not line.startswith("-"):
            yield from _requirements([line], scope)


def toml(content: bytes) -> dict[str, Json]:
    """A TOML file as an object."""
    if guards.has_line_over(content, _MAX_TOML_LINE):
        raise Unreadable("it has a line that is too long")
    try:
        return cast("dict[str, Json]", tomllib.loads(content.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is no TOML") from error


def pyproject(content: bytes, _path: str) -> Iterator[Dependency]:
    """pyproject.toml: the standard tables, and Poetry's."""
    document = toml(content)
    project = mapping(document.get("project"))
    yield from _requirements(strings(project.get("dependencies")), "runtime")
    for extra, listed in mapping(project.get("optional-dependencies")).items():
        yield from _requirements(strings(listed), f"extra {extra}")
    for group, listed in mapping(document.get("dependency-groups")).items():
        yield from _requirements(strings(listed), f"group {group}")
    build = mapping(document.get("build-system"))
    yield from _requirements(strings(build.get("requires")), "build")
    poetry = mapping(mapping(document.get("tool")).get("poetry"))
    yield from _poetry(poetry.get("dependencies"), "runtime")
    yield from _poetry(poetry.get("dev-dependencies"), "dev")
    for group, table in mapping(poetry.get("group")).items():
        yield from _poetry(mapping(table).get("dependencies"), f"group {group}")


def _poetry(table: Json, scope: str) -> Iterator[Dependency]:
    for name, value in mapping(table).items():
        if name.lower() == "python":
            continue
        facts = mapping(value)
        if {"git", "path", "url"} & facts.keys():
            yield Dependency(name, "(address)", scope, "source")
            continue
        spec = string(value) or string(facts.get("version"))
        yield Dependency(name, spec, scope, pin(spec))


def pipfile(content: bytes, _path: str) -> Iterator[Dependency]:
    """Pipfile."""
    document = toml(content)
    yield from _poetry(document.get("packages"), "runtime")
    yield from _poetry(document.get("dev-packages"), "dev")


def setup_cfg(content: bytes, _path: str) -> Iterator[Dependency]:
    """setup.cfg."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(content.decode("utf-8", "replace"))
    except configparser.Error as error:
        raise Unreadable("it is no INI file") from error
    listed = parser.get("options", "install_requires", fallback="").splitlines()
    yield from _requirements(listed, "runtime")
    if parser.has_section("options.extras_require"):
        for extra, value in parser.items("options.extras_require"):
            yield from _requirements(value.splitlines(), f"extra {extra}")


def setup_py(content: bytes, _path: str) -> Iterator[Dependency]:
    """setup.py is never run: only lists written out in it are seen."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable("it cannot be parsed") from error
    scopes = {"install_requires": "runtime", "setup_requires": "build", "tests_require": "dev"}
    for node in ast.walk(tree):
        if not isinstance(node, ast.keyword) or node.arg not in scopes:
            continue
        if isinstance(node.value, ast.List | ast.Tuple):
            texts = [item.value for item in node.value.elts if isinstance(item, ast.Constant)]
            yield from _requirements([str(text) for text in texts], scopes[node.arg])


def load_yaml(content: bytes) -> dict[str, Json]:
    """A YAML file as an object of texts: no tag, merge or number is worked out."""
    if len(content) > _MAX_YAML or guards.is_too_deep(content):
        raise Unreadable("it is too large")
    load = cast("Callable[[bytes, object], object]", yaml.load)  # pyright: ignore[reportUnknownMemberType] - it has no types
    try:
        return mapping(load(content, yaml.BaseLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Unreadable("it is no YAML") from error


def conda(content: bytes, _path: str) -> Iterator[Dependency]:
    """environment.yml."""
    listed = load_yaml(content).get("dependencies")
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, str) and "://" in item:
            yield Dependency(name_in(item), "(address)", "runtime", "source")
        elif isinstance(item, str):
            match = re.match(r"(?:[\w-]+::)?([\w.-]+)\s*(.*)", item)
            if match:
                exact = bool(re.match(r"==?[\d.]+\w*(=|$)", match[2])) and "*" not in match[2]
                how: Pin = "exact" if exact else "range" if match[2] else "any"
                yield Dependency(match[1], match[2], "runtime", how)
        else:
            yield from _requirements(strings(mapping(item).get("pip")), "runtime")
