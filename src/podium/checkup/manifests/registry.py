"""Which file is read by which reader."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from podium.checkup.manifests import javascript, jvm, more, python
from podium.checkup.manifests.model import Dependency


class Reader(NamedTuple):
    """How the manifests of one name are read.

    ``name`` is for the file's name, ``directory`` for the end of the path before it.
    ``needs_lock`` says whether builds of this kind repeat only with a lock file.
    """

    ecosystem: str
    name: re.Pattern[str]
    read: Callable[[bytes, str], Iterator[Dependency]]
    directory: str
    needs_lock: bool


def _reader(
    ecosystem: str,
    name: str,
    read: Callable[[bytes, str], Iterator[Dependency]],
    *,
    directory: str = "",
    needs_lock: bool = False,
) -> Reader:
    return Reader(ecosystem, re.compile(name), read, directory, needs_lock)


READERS = (
    _reader("Python", r"pyproject\.toml", python.pyproject, needs_lock=True),
    _reader("Python", r"[\w.-]*requirements[\w.-]*\.(txt|in)", python.requirements_txt),
    _reader("Python", r"[\w.-]+\.(txt|in)", python.requirements_txt, directory="requirements"),
    _reader("Python", r"setup\.cfg", python.setup_cfg, needs_lock=True),
    _reader("Python", r"setup\.py", python.setup_py, needs_lock=True),
    _reader("Python", r"Pipfile", python.pipfile, needs_lock=True),
    _reader("Conda", r"(environment|conda)[\w.-]*\.ya?ml", python.conda),
    _reader("npm", r"package\.json", javascript.package_json, needs_lock=True),
    _reader("PHP", r"composer\.json", javascript.composer_json, needs_lock=True),
    _reader("Maven", r"pom\.xml", jvm.pom),
    _reader("Gradle", r"build\.gradle(\.kts)?", jvm.gradle),
    _reader("Gradle", r"libs\.versions\.toml", jvm.gradle_catalog),
    _reader(".NET", r"[\w.-]+\.(cs|fs|vb)proj|Directory\.(Packages|Build)\.props", jvm.nuget),
    _reader(".NET", r"packages\.config", jvm.nuget),
    _reader("Go", r"go\.mod", more.go_mod, needs_lock=True),
    _reader("Rust", r"Cargo\.toml", more.cargo, needs_lock=True),
    _reader("Ruby", r"Gemfile|gems\.rb", more.gemfile, needs_lock=True),
    _reader("Ruby", r"[\w.-]+\.gemspec", more.gemfile),
    _reader("Dart", r"pubspec\.yaml", more.pubspec, needs_lock=True),
    _reader("Elixir", r"mix\.exs", more.mix, needs_lock=True),
    _reader("Swift", r"Package\.swift", more.swift),
    _reader("Helm", r"Chart\.yaml", more.chart),
    _reader("Containers", r"(Docker|Container)file(\.[\w-]+)?|[\w-]+\.Dockerfile", more.dockerfile),
    _reader("Containers", r"(docker-)?compose[\w.-]*\.ya?ml", more.compose),
    _reader("GitHub Actions", r".+\.ya?ml", more.actions, directory=".github/workflows"),
    _reader("GitHub Actions", r"action\.ya?ml", more.actions),
)

_ANY = re.compile("|".join(f"(?:{reader.name.pattern})" for reader in READERS))


def reader_of(path: str) -> Reader | None:
    """What reads the manifest at ``path``; None when it is none that is read."""
    directory, _, name = path.rpartition("/")
    if not _ANY.fullmatch(name):
        return None
    for reader in READERS:
        if reader.name.fullmatch(name) and f"/{directory}".endswith(
            f"/{reader.directory}" if reader.directory else ""
        ):
            return reader
    return None


SEEN_ONLY = re.compile(
    r"(conanfile\.(py|txt)|vcpkg\.json|Podfile|Cartfile|Brewfile|[\w.-]+\.cabal|stack\.yaml"
    r"|package\.yaml|rebar\.config|dub\.json|shard\.yml|DESCRIPTION|Project\.toml|flake\.nix"
    r"|deno\.jsonc?|bower\.json|build\.sbt|deps\.edn|project\.clj|dune-project|[\w.-]+\.opam"
    r"|elm\.json|meson\.build|WORKSPACE|MODULE\.bazel|Makefile\.PL|cpanfile|[\w.-]+\.rockspec)"
)
"""Names of manifests that are known but not read; the output says where they are."""

ADVISERS = {
    "Python": "pip-audit",
    "npm": "npm audit",
    "PHP": "composer audit",
    "Rust": "cargo audit",
    "Go": "govulncheck",
    "Ruby": "bundle-audit",
    ".NET": "dotnet list package --vulnerable",
}
"""What tells known vulnerabilities, by ecosystem. They ask the network, so none is run."""
