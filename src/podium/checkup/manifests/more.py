"""Go, Rust, Ruby, Dart, Elixir, Swift, Helm, and what builds run on: containers and actions."""

import re
from collections.abc import Iterator

from podium.checkup.context import Json, mapping, objects, string
from podium.checkup.manifests.model import Dependency, Pin, name_in, pin
from podium.checkup.manifests.python import load_yaml, toml

_GO = re.compile(r"([\w.-]+\.[\w./~-]+)[ \t]+(v[\w.+-]+)[ \t]*(//[ \t]*indirect)?")
_GEM = re.compile(
    r"^[ \t]*(?:\w+\.)?(gem|add_dependency|add_runtime_dependency|add_development_dependency)"
    r"[ \t]{0,9}\(?[ \t]{0,9}[\"']([\w.-]+)[\"']([^#\n]*)",
    re.MULTILINE,
)
_MIX = re.compile(r"\{\s{0,9}:(\w+)\s{0,9},\s{0,9}(?:\"([^\"]*)\"|(git|github|path)\s{0,9}:)")
_SWIFT = re.compile(
    r"\.package\s{0,9}\([^)]{0,200}?url:\s{0,9}\"([^\"]{1,300})\"\s{0,9},\s{0,9}([^)\n]+)"
)
_FROM = re.compile(
    r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?", re.MULTILINE | re.IGNORECASE
)
_IMAGE = re.compile(r"^[ \t]*(?:-[ \t]*)?image:[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE)
_USES = re.compile(r"^[ \t]*(?:-[ \t]*)?uses:[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def go_mod(content: bytes, _path: str) -> Iterator[Dependency]:
    """go.mod: every version is exact; ``replace`` and ``exclude`` are left out."""
    block = ""
    for line in _text(content).splitlines():
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("//"):
            continue
        if len(words) == 2 and words[1].startswith("("):
            block = words[0]
        elif words[0] == ")":
            block = ""
        elif block == "require" or (not block and words[0] == "require"):
            match = _GO.match(line.strip() if block else words[-1])
            if match:
                scope = "indirect" if match[3] else "runtime"
                yield Dependency(match[1], match[2], scope, "exact")


def cargo(content: bytes, _path: str) -> Iterator[Dependency]:
    """Cargo.toml, with its target-specific and workspace tables."""
    document = toml(content)
    tables: list[dict[str, Json]] = [document, mapping(document.get("workspace"))]
    tables += [mapping(table) for table in mapping(document.get("target")).values()]
    scopes = {"dependencies": "runtime", "dev-dependencies": "dev", "build-dependencies": "build"}
    for table in tables:
        for key, scope in scopes.items():
            for name, value in mapping(table.get(key)).items():
                yield _crate(name, value, scope)


def _crate(name: str, value: Json, scope: str) -> Dependency:
    facts = mapping(value)
    if facts.get("workspace"):
        return Dependency(name, "(workspace)", scope, "managed")
    spec = string(value) or string(facts.get("version"))
    if {"git", "path"} & facts.keys() and not spec:
        return Dependency(name, "(address)", scope, "source")
    return Dependency(name, spec, scope, pin(spec, bare_is_exact=False))


def gemfile(content: bytes, _path: str) -> Iterator[Dependency]:
    """Gemfile and gemspecs, read as text."""
    for match in _GEM.finditer(_text(content)):
        rest = match[3]
        if re.search(r"\b(git|github|path)\s*(:|=>)", rest):
            yield Dependency(match[2], "(address)", "runtime", "source")
            continue
        specs = re.findall(r"^[\s,]*[\"']([^\"']+)[\"']|,\s*[\"']([\d~<>=!][^\"']*)[\"']", rest)
        spec = ", ".join(first or second for first, second in specs)
        scope = "dev" if "development" in match[1] else "runtime"
        yield Dependency(match[2], spec, scope, pin(spec))


def pubspec(content: bytes, _path: str) -> Iterator[Dependency]:
    """pubspec.yaml."""
    document = load_yaml(content)
    for table, scope in (("dependencies", "runtime"), ("dev_dependencies", "dev")):
        for name, value in mapping(document.get(table)).items():
            facts = mapping(value)
            if "sdk" in facts:
                continue
            spec = string(value) or string(facts.get("version"))
            how: Pin = "source" if {"git", "path"} & facts.keys() else pin(spec)
            yield Dependency(name, "(address)" if how == "source" else spec, scope, how)


def mix(content: bytes, _path: str) -> Iterator[Dependency]:
    """mix.exs, read as text."""
    for match in _MIX.finditer(_text(content)):
        spec = match[2] or ""
        yield Dependency(match[1], spec, "runtime", "source" if match[3] else pin(spec))


def swift(content: bytes, _path: str) -> Iterator[Dependency]:
    """Package.swift, read as text."""
    for match in _SWIFT.finditer(_text(content)):
        spec = match[2].strip()
        name = name_in(match[1]).removesuffix(".git")
        moving: Pin = "any" if "branch" in spec else "range"
        how: Pin = "exact" if "exact" in spec or "revision" in spec else moving
        yield Dependency(name, spec, "runtime", how)


def chart(content: bytes, _path: str) -> Iterator[Dependency]:
    """Helm's Chart.yaml."""
    for item in objects(load_yaml(content).get("dependencies")):
        spec = string(item.get("version"))
        yield Dependency(string(item.get("name")), spec, "runtime", pin(spec))


def dockerfile(content: bytes, _path: str) -> Iterator[Dependency]:
    """Base images; stages of the same file and names from build arguments are left out."""
    stages: set[str] = set()
    for match in _FROM.finditer(_text(content)):
        if match[1].lower() not in stages and match[1] != "scratch" and "$" not in match[1]:
            yield _image(match[1], "base image")
        if match[2]:
            stages.add(match[2].lower())


def compose(content: bytes, _path: str) -> Iterator[Dependency]:
    """Images of compose files."""
    for match in _IMAGE.finditer(_text(content)):
        if "$" not in match[1]:
            yield _image(match[1], "service")


def _image(reference: str, scope: str) -> Dependency:
    name, _, digest = reference.partition("@")
    path, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    name = f"{path}/{last}" if path else last
    if digest:
        return Dependency(name, digest[:19], scope, "exact")
    return Dependency(name, tag, scope, "any" if tag in {"", "latest"} else "range")


def actions(content: bytes, _path: str) -> Iterator[Dependency]:
    """Actions that GitHub workflows use; a tag can be moved, only a commit is exact."""
    for match in _USES.finditer(_text(content)):
        name, _, version = match[1].partition("@")
        if name.startswith(("./", "docker://")) or "$" in name:
            continue
        exact = bool(re.fullmatch(r"[0-9a-f]{40}", version))
        moving = version in {"", "main", "master", "develop", "trunk", "HEAD"}
        how: Pin = "exact" if exact else "any" if moving else "range"
        yield Dependency(name, version[:12] if exact else version, "workflow", how)
