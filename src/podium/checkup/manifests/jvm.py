"""Java and .NET: Maven, Gradle, NuGet."""

import re
from collections.abc import Iterator

from podium.checkup.context import Json, mapping, string
from podium.checkup.manifests.model import Dependency, Pin, pin, read_xml
from podium.checkup.manifests.python import toml

_GRADLE = re.compile(
    r"""\b(\w*(?:[iI]mplementation|[aA]pi|[cC]ompile(?:Only)?|[rR]untime(?:Only)?|kapt|ksp"""
    r"""|annotationProcessor|classpath))[ \t]{0,9}\(?\s{0,9}(?:platform[ \t]{0,9}\(\s{0,9})?"""
    r"""["']([\w.-]+:[\w.-]+)(?::([^"'@]+))?[^"']*["']"""
)


def pom(content: bytes, _path: str) -> Iterator[Dependency]:
    """pom.xml; versions that a parent or a BOM sets are ``managed``."""
    root = read_xml(content)
    tables = root.all("properties")
    properties = {node.tag: node.text.strip() for table in tables for node in table.children}
    managed = {
        id(node) for box in root.all("dependencyManagement") for node in box.all("dependency")
    }
    for node in root.all("dependency"):
        name = f"{node.child('groupId')}:{node.child('artifactId')}"
        version = node.child("version")
        reference = re.fullmatch(r"\$\{([\w.-]+)\}", version)
        if reference:
            version = properties.get(reference[1], "")
        scope = "managed" if id(node) in managed else node.child("scope") or "runtime"
        yield Dependency(name, version, scope, _maven(version))


def _maven(version: str) -> Pin:
    if not version or "$" in version:
        return "managed"
    if version in {"LATEST", "RELEASE"}:
        return "any"
    return "range" if re.search(r"[\[\](),+]", version) else "exact"


def gradle(content: bytes, _path: str) -> Iterator[Dependency]:
    """build.gradle and build.gradle.kts: the usual notation, read as text."""
    for match in _GRADLE.finditer(content.decode("utf-8", "replace")):
        scope = "dev" if "test" in match[1].lower() else "runtime"
        yield Dependency(match[2], match[3] or "", scope, _maven(match[3] or ""))


def gradle_catalog(content: bytes, _path: str) -> Iterator[Dependency]:
    """gradle/libs.versions.toml."""
    document = toml(content)
    versions = mapping(document.get("versions"))
    for value in mapping(document.get("libraries")).values():
        if isinstance(value, str):
            group, _, rest = value.partition(":")
            artifact, _, version = rest.partition(":")
            yield Dependency(f"{group}:{artifact}", version, "runtime", _maven(version))
            continue
        facts = mapping(value)
        group, artifact = string(facts.get("group")), string(facts.get("name"))
        name = string(facts.get("module")) or f"{group}:{artifact}"
        version = _catalog_version(facts.get("version"), versions)
        yield Dependency(name, version, "runtime", _maven(version))


def _catalog_version(value: Json, versions: dict[str, Json]) -> str:
    reference = string(mapping(value).get("ref"))
    found = versions.get(reference) if reference else value
    rich = mapping(found)
    return string(found) or string(rich.get("strictly")) or string(rich.get("require"))


def nuget(content: bytes, _path: str) -> Iterator[Dependency]:
    """Project files, Directory.Packages.props and packages.config."""
    root = read_xml(content)
    for tag in ("PackageReference", "PackageVersion", "GlobalPackageReference"):
        for node in root.all(tag):
            name = node.attributes.get("Include") or node.attributes.get("Update", "")
            version = node.attributes.get("Version") or node.child("Version")
            if name:
                yield Dependency(name, version, "runtime", _nuget(version))
    for node in root.all("package"):
        name, version = node.attributes.get("id", ""), node.attributes.get("version", "")
        if name:
            yield Dependency(name, version, "runtime", "exact")


def _nuget(version: str) -> Pin:
    if not version or "$(" in version:
        return "managed"
    if "*" in version:
        return "any" if version.strip() == "*" else "range"
    if re.search(r"[\[\](),]", version):
        return "exact" if re.fullmatch(r"\[[\w.+-]+\]", version) else "range"
    return pin(version)
