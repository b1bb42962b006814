"""Dependencies: every ecosystem's manifests and lock files, read as data."""

import json
from pathlib import Path
from typing import Any

import pytest

from podium.checkup import dependencies
from slices.checkup.repos import Repo, findings, rows, run


def listed(output: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    return {
        (row["name"], row["spec"], row["scope"], row["pin"])
        for row in output["details"]["dependencies"]
    }


MANIFESTS: dict[str, tuple[str, set[tuple[str, str, str, str]]]] = {
    "pyproject.toml": (
        """
[build-system]
requires = ["hatchling"]
[project]
name = "x"
dependencies = ["a==1.0", "b>=2,<3", "c", "d @ https://example.org/d.zip", "e==1.*", "!bad"]
[project.optional-dependencies]
more = ["f~=1.0"]
[dependency-groups]
dev = ["g", {include-group = "x"}]
[tool.poetry.dependencies]
python = "^3.11"
h = "1.2.3"
i = {git = "https://example.org/i"}
[tool.poetry.group.test.dependencies]
j = {version = "^1"}
""",
        {
            ("hatchling", "", "build", "any"),
            ("a", "==1.0", "runtime", "exact"),
            ("b", "<3,>=2", "runtime", "range"),
            ("c", "", "runtime", "any"),
            ("d", "(address)", "runtime", "source"),
            ("e", "==1.*", "runtime", "range"),
            ("f", "~=1.0", "extra more", "range"),
            ("g", "", "group dev", "any"),
            ("h", "1.2.3", "runtime", "exact"),
            ("i", "(address)", "runtime", "source"),
            ("j", "^1", "group test", "range"),
        },
    ),
    "requirements-dev.txt": (
        (
            "a==1.0 \\\n    --hash=sha256:00\n# comment\nb>=2  # why\n-r other.txt\n-e git+https://u:p@x/c#egg=c\n"
            "git+https://x.org/d.git\n./local\nf\n"
        ),
        {
            ("a", "==1.0", "dev", "exact"),
            ("b", ">=2", "dev", "range"),
            ("c", "(editable)", "dev", "source"),
            ("d.git", "(address)", "dev", "source"),
            ("local", "(address)", "dev", "source"),
            ("f", "", "dev", "any"),
        },
    ),
    "setup.cfg": (
        "[options]\ninstall_requires =\n    a>=1\n    b\n[options.extras_require]\nx = c==1.0\n",
        {
            ("a", ">=1", "runtime", "range"),
            ("b", "", "runtime", "any"),
            ("c", "==1.0", "extra x", "exact"),
        },
    ),
    "setup.py": (
        (
            "from setuptools import setup\nraise SystemExit\n"
            "setup(install_requires=['a>=1', NAME], tests_require=('b',), setup_requires=make())\n"
        ),
        {("a", ">=1", "runtime", "range"), ("b", "", "dev", "any")},
    ),
    "Pipfile": (
        '[packages]\na = "*"\n[dev-packages]\nb = "==1.0"\n',
        {("a", "*", "runtime", "any"), ("b", "==1.0", "dev", "exact")},
    ),
    "environment.yml": (
        (
            "dependencies:\n  - python=3.11.4\n  - numpy>=1\n  - conda-forge::x\n"
            "  - pip:\n    - a==1.0\n"
        ),
        {
            ("python", "=3.11.4", "runtime", "exact"),
            ("numpy", ">=1", "runtime", "range"),
            ("x", "", "runtime", "any"),
            ("a", "==1.0", "runtime", "exact"),
        },
    ),
    "package.json": (
        json.dumps(
            {
                "dependencies": {
                    "a": "1.2.3",
                    "b": "^1.0.0",
                    "c": "*",
                    "d": "git+https://u:p@x.org/d.git",
                    "e": "workspace:*",
                    "f": "owner/repo",
                    "g": "npm:other@2.0.0",
                    "h": "latest",
                },
                "devDependencies": {"i": "~1.2"},
                "peerDependencies": {"j": ">=1"},
            }
        ),
        {
            ("a", "1.2.3", "runtime", "exact"),
            ("b", "^1.0.0", "runtime", "range"),
            ("c", "*", "runtime", "any"),
            ("d", "(address)", "runtime", "source"),
            ("e", "workspace:*", "runtime", "managed"),
            ("f", "(address)", "runtime", "source"),
            ("g", "npm:other@2.0.0", "runtime", "exact"),
            ("h", "latest", "runtime", "any"),
            ("i", "~1.2", "dev", "range"),
            ("j", ">=1", "peer", "range"),
        },
    ),
    "composer.json": (
        (
            '{"require": {"php": ">=8", "ext-json": "*", "a/b": "^1.0"},'
            ' "require-dev": {"c/d": "@dev"}}'
        ),
        {("a/b", "^1.0", "runtime", "range"), ("c/d", "@dev", "dev", "any")},
    ),
    "pom.xml": (
        """<project xmlns="http://maven.apache.org/POM/4.0.0"><properties><v>1.2</v></properties>
<dependencyManagement><dependencies><dependency><groupId>m</groupId><artifactId>bom</artifactId>
<version>1.0</version></dependency></dependencies></dependencyManagement><dependencies>
<dependency><groupId>a</groupId><artifactId>b</artifactId><version>${v}</version></dependency>
<dependency><groupId>c</groupId><artifactId>d</artifactId><scope>test</scope></dependency>
<dependency><groupId>e</groupId><artifactId>f</artifactId><version>[1,2)</version></dependency>
<dependency><groupId>g</groupId><artifactId>h</artifactId><version>LATEST</version></dependency>
</dependencies></project>""",
        {
            ("m:bom", "1.0", "managed", "exact"),
            ("a:b", "1.2", "runtime", "exact"),
            ("c:d", "", "test", "managed"),
            ("e:f", "[1,2)", "runtime", "range"),
            ("g:h", "LATEST", "runtime", "any"),
        },
    ),
    "app/build.gradle.kts": (
        (
            'dependencies {\n  implementation("a:b:1.0")\n  testImplementation("c:d:2.+")\n'
            '  api(platform("e:f:1.1"))\n  implementation(libs.x)\n}\n'
        ),
        {
            ("a:b", "1.0", "runtime", "exact"),
            ("c:d", "2.+", "dev", "range"),
            ("e:f", "1.1", "runtime", "exact"),
        },
    ),
    "gradle/libs.versions.toml": (
        (
            '[versions]\nv = "1.0"\nw = {strictly = "2.0"}\n[libraries]\na = "g:a:1.1"\n'
            'b = {module = "g:b", version.ref = "v"}\n'
            'c = {group = "g", name = "c", version.ref = "w"}\n'
            'd = {module = "g:d"}\n'
        ),
        {
            ("g:a", "1.1", "runtime", "exact"),
            ("g:b", "1.0", "runtime", "exact"),
            ("g:c", "2.0", "runtime", "exact"),
            ("g:d", "", "runtime", "managed"),
        },
    ),
    "App.csproj": (
        (
            '<Project><ItemGroup><PackageReference Include="A" Version="1.2.3"/>'
            '<PackageReference Include="B"><Version>1.*</Version></PackageReference>'
            '<PackageReference Include="C"/><PackageReference Include="D" Version="*"/>'
            '<PackageReference Include="E" Version="[1.0]"/></ItemGroup></Project>'
        ),
        {
            ("A", "1.2.3", "runtime", "exact"),
            ("B", "1.*", "runtime", "range"),
            ("C", "", "runtime", "managed"),
            ("D", "*", "runtime", "any"),
            ("E", "[1.0]", "runtime", "exact"),
        },
    ),
    "packages.config": (
        '<packages><package id="A" version="1.2.3"/></packages>',
        {("A", "1.2.3", "runtime", "exact")},
    ),
    "go.mod": (
        (
            "module x\n\ngo 1.22\n\nrequire (\n\texample.org/a v1.2.3\n"
            "\texample.org/b v0.1.0 // indirect\n)\n"
            "require example.org/c v1.0.0\nreplace example.org/a v1.2.3 => ../a\n"
        ),
        {
            ("example.org/a", "v1.2.3", "runtime", "exact"),
            ("example.org/c", "v1.0.0", "runtime", "exact"),
        },
    ),
    "Cargo.toml": (
        (
            '[dependencies]\na = "1.2.3"\nb = {version = "=1.0.0"}\nc = "*"\nd = {path = "../d"}\n'
            'e = {workspace = true}\n[dev-dependencies]\nf = "1"\n[build-dependencies]\ng = "2"\n'
            '[target.\'cfg(unix)\'.dependencies]\nh = "3"\n[workspace.dependencies]\ni = "4"\n'
        ),
        {
            ("a", "1.2.3", "runtime", "range"),
            ("b", "=1.0.0", "runtime", "exact"),
            ("c", "*", "runtime", "any"),
            ("d", "(address)", "runtime", "source"),
            ("e", "(workspace)", "runtime", "managed"),
            ("f", "1", "dev", "range"),
            ("g", "2", "build", "range"),
            ("h", "3", "runtime", "range"),
            ("i", "4", "runtime", "range"),
        },
    ),
    "Gemfile": (
        (
            "gem 'a', '~> 1.0', '>= 1.0.2'\ngem \"b\"\ngem 'c', '1.2.3', require: false\n"
            "gem 'd', git: 'https://x.org/d'\n# gem 'e'\n"
        ),
        {
            ("a", "~> 1.0, >= 1.0.2", "runtime", "range"),
            ("b", "", "runtime", "any"),
            ("c", "1.2.3", "runtime", "exact"),
            ("d", "(address)", "runtime", "source"),
        },
    ),
    "x.gemspec": (
        "s.add_dependency 'a', '~> 1.0'\ns.add_development_dependency('b')\n",
        {("a", "~> 1.0", "runtime", "range"), ("b", "", "dev", "any")},
    ),
    "pubspec.yaml": (
        (
            "dependencies:\n  flutter:\n    sdk: flutter\n  a: ^1.0.0\n  b: any\n  c:\n    git: x\n"
            "dev_dependencies:\n  d: 1.2.3\n"
        ),
        {
            ("a", "^1.0.0", "runtime", "range"),
            ("b", "any", "runtime", "any"),
            ("c", "(address)", "runtime", "source"),
            ("d", "1.2.3", "dev", "exact"),
        },
    ),
    "mix.exs": (
        '{:a, "~> 1.0"},\n{:b, git: "https://x"}\n',
        {("a", "~> 1.0", "runtime", "range"), ("b", "", "runtime", "source")},
    ),
    "Package.swift": (
        (
            '.package(url: "https://x.org/a.git", from: "1.0.0"),\n'
            '.package(url: "https://x.org/b", exact: "1.0.0"),\n'
            '.package(url: "https://x.org/c", branch: "main"),\n'
        ),
        {
            ("a", 'from: "1.0.0"', "runtime", "range"),
            ("b", 'exact: "1.0.0"', "runtime", "exact"),
            ("c", 'branch: "main"', "runtime", "any"),
        },
    ),
    "chart/Chart.yaml": (
        "name: x\ndependencies:\n  - name: a\n    version: 1.2.3\n  - name: b\n    version: ~1\n",
        {("a", "1.2.3", "runtime", "exact"), ("b", "~1", "runtime", "range")},
    ),
    "Dockerfile": (
        (
            "ARG B=1\nFROM --platform=linux/amd64 python:3.12-slim AS build\nFROM node\n"
            "FROM registry.example.org:5000/a@sha256:0123456789abcdef\n"
            "FROM scratch\nFROM build\nFROM $B\n"
            "FROM alpine:latest\n"
        ),
        {
            ("python", "3.12-slim", "base image", "range"),
            ("node", "", "base image", "any"),
            ("registry.example.org:5000/a", "sha256:0123456789ab", "base image", "exact"),
            ("alpine", "latest", "base image", "any"),
        },
    ),
    "docker-compose.yml": (
        "services:\n  db:\n    image: postgres:18\n  web:\n    image: ${IMAGE}\n",
        {("postgres", "18", "service", "range")},
    ),
    ".github/workflows/ci.yml": (
        "steps:\n  - uses: actions/checkout@v4\n  - uses: ./local\n  - uses: a/b@main\n"
        "  - uses: c/d@" + "a" * 40 + " # v1\n  - uses: e/f@v1\n",
        {
            ("actions/checkout", "v4", "workflow", "range"),
            ("a/b", "main", "workflow", "any"),
            ("c/d", "a" * 12, "workflow", "exact"),
            ("e/f", "v1", "workflow", "range"),
        },
    ),
}


@pytest.mark.parametrize("path", MANIFESTS)
def test_a_manifest_is_read(repo: Repo, path: str) -> None:
    content, expected = MANIFESTS[path]
    repo.commit({path: content})
    output = run(dependencies, repo)
    assert listed(output) == expected
    assert output["summary"]["manifests"] == 1
    assert output["summary"]["direct"] == len(expected)
    assert "u:p" not in json.dumps(output), "credentials in addresses are left out"


LOCKS = {
    "package-lock.json": (
        (
            '{\n  "packages": {\n    "": {\n      "x": 1\n    },\n'
            '    "node_modules/a": {\n      "v": 1\n'
            '    },\n    "node_modules/@b/c": {\n    }\n  }\n}\n'
        ),
        2,
    ),
    "yarn.lock": ('# yarn\n\na@^1:\n  version "1.0"\n\n"@b/c@^2, @b/c@^3":\n  version "2.0"\n', 2),
    "pnpm-lock.yaml": ("packages:\n\n  a@1.0.0:\n    r: x\n\n  '@b/c@2.0.0':\n    r: y\n", 2),
    "poetry.lock": ('[[package]]\nname = "a"\n\n[[package]]\nname = "b"\n', 2),
    "uv.lock": ('[[package]]\nname = "a"\n', 1),
    "Cargo.lock": ('[[package]]\nname = "a"\n', 1),
    "go.sum": ("a v1 h1:x\na v1/go.mod h1:y\nb v1 h1:z\n", 2),
    "Gemfile.lock": ("GEM\n  specs:\n    a (1.0)\n      b (~> 2)\n    b (2.0)\n", 2),
    "composer.lock": (
        json.dumps({"packages": [{"name": "a/b"}, {"name": "c/d"}]}, indent=4),
        2,
    ),
    "Pipfile.lock": (json.dumps({"default": {"a": {}, "b": {"v": 1}}}, indent=4), 2),
    "pubspec.lock": ("packages:\n  a:\n    v: 1\n  b:\n    v: 2\n", 2),
    "packages.lock.json": ('{"a": {"resolved": "1"}, "b": {"resolved": "2"}}', 2),
    "gradle.lockfile": ("# x\na:b:1.0=compile\nempty=\n", 1),
    "mix.lock": ('%{\n  "a": {:hex},\n  "b": {:hex},\n}\n', 2),
}


@pytest.mark.parametrize("path", LOCKS)
def test_a_lock_file_is_counted(repo: Repo, path: str) -> None:
    content, expected = LOCKS[path]
    repo.commit({path: content})
    output = run(dependencies, repo)
    assert rows(output, "lock_files", "path")[path]["packages"] == expected
    assert output["summary"]["locked_packages"] == expected


def test_a_lock_file_above_covers_a_workspace(repo: Repo) -> None:
    package = '{"dependencies": {"a": "^1"}}'
    repo.commit(
        {
            "package.json": package,
            "package-lock.json": "{}",
            "packages/one/package.json": package,
            "pyproject.toml": '[project]\ndependencies = ["a>=1"]\n',
            "tests/fixtures/package.json": package,
            "other/Cargo.toml": '[dependencies]\na = "1"\n',
        }
    )
    output = run(dependencies, repo)
    manifests = rows(output, "manifests", "path")
    assert manifests["packages/one/package.json"]["lock"] == "package-lock.json"
    assert {finding["path"] for finding in findings(output, "no_lock_file")} == {
        "pyproject.toml",
        "other/Cargo.toml",
    }


def test_resolved_requirements_are_a_lock(repo: Repo) -> None:
    repo.commit(
        {
            "requirements.txt": "# compiled\na==1.0 \\\n    --hash=sha256:0\nb==2.0\n    # via a\n",
            "pyproject.toml": '[project]\ndependencies = ["a"]\n',
        }
    )
    output = run(dependencies, repo)
    assert rows(output, "lock_files", "path")["requirements.txt"]["packages"] == 2
    assert output["findings"] == []


def test_what_moves_is_found(repo: Repo) -> None:
    repo.commit(
        {
            ".github/workflows/ci.yml": MANIFESTS[".github/workflows/ci.yml"][0],
            "Dockerfile": "FROM node\n",
            "requirements.txt": "a\nb>=1\nc @ https://x.org/c\n",
            "package.json": "{}",
            "package-lock.json": "{}",
            "yarn.lock": "# yarn\n",
            "bun.lock": "{}",
        }
    )
    output = run(dependencies, repo)
    kinds = {finding["kind"]: finding for finding in output["findings"]}
    assert kinds["moving_action"]["detail"] == "a/b"
    assert kinds["moving_action"]["severity"] == "medium"
    assert kinds["tagged_action"]["detail"] == "e/f"
    assert kinds["moving_image"]["detail"] == "node"
    assert kinds["any_version"]["detail"] == "a"
    assert kinds["from_source"]["detail"] == "c"
    assert kinds["several_lock_files"]["detail"] == "bun.lock, package-lock.json, yarn.lock"


def test_one_package_in_several_versions(repo: Repo) -> None:
    repo.commit(
        {
            "a/package.json": '{"dependencies": {"x": "^1.0.0", "y": "^1.0.0"}}',
            "b/package.json": '{"dependencies": {"x": "^2.0.0", "y": "^1.0.0"}}',
        }
    )
    [row] = run(dependencies, repo)["details"]["differing"]
    assert row["name"] == "x"
    assert row["versions"] == [
        {"spec": "^1.0.0", "manifest": "a/package.json"},
        {"spec": "^2.0.0", "manifest": "b/package.json"},
    ]


BROKEN = {
    "package.json": "{",
    "deep/package.json": "[" * 100_000,
    "pyproject.toml": "[",
    "Cargo.toml": b"\xff",
    "setup.py": "def f(:",
    "deep/setup.py": "(" * 10_000,
    "setup.cfg": "no section",
    "pom.xml": "<a>",
    "bomb/pom.xml": '<!DOCTYPE l [<!ENTITY a "b">]><project>&a;</project>',
    "environment.yml": "a: [",
    "large/package.json": " " * 1_000_001,
}


def test_broken_manifests_are_said(repo: Repo) -> None:
    repo.commit(BROKEN)
    output = run(dependencies, repo)
    assert {f["path"] for f in findings(output, "unreadable_manifest")} == set(BROKEN)
    assert output["summary"]["manifests"] == 0


def test_manifests_run_nothing(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch = "!!python/object/apply:os.system ['touch ran']"
    repo.commit(
        {
            "environment.yml": f"dependencies: {touch}\n",
            "pubspec.yaml": f"dependencies:\n  a: {touch}\n",
            "setup.py": "import os\nos.system('touch ran')\nopen('ran', 'w')\n",
        }
    )
    assert run(dependencies, repo)["summary"]["manifests"] == 3
    assert not (tmp_path / "ran").exists()


def test_vendored_manifests_do_not_count(repo: Repo) -> None:
    repo.commit({"node_modules/a/package.json": '{"dependencies": {"b": "*"}}'})
    output = run(dependencies, repo)
    assert output["summary"]["manifests"] == 0
    assert output["could_not_run"] == []


def test_what_needs_the_network_is_said(repo: Repo) -> None:
    repo.commit({"package.json": "{}", "go.mod": "module x\n"})
    [missing] = run(dependencies, repo)["could_not_run"]
    assert missing["how_to_get"] == "run osv-scanner, npm audit, govulncheck"


def test_known_manifests_that_are_not_read_are_named(repo: Repo) -> None:
    repo.commit({"conanfile.txt": "[requires]\n", "a/Podfile": "pod 'x'\n"})
    output = run(dependencies, repo)
    assert any("2 manifests (a/Podfile, conanfile.txt)" in note for note in output["notes"])


def test_limits_are_said(repo: Repo) -> None:
    many = {f"p{n}": "1.0.0" for n in range(500)}
    repo.commit({"package.json": json.dumps({"dependencies": many}), "b/package.json": "{}"})
    output = run(dependencies, repo)
    assert len(output["details"]["dependencies"]) == 400
    assert any("400 of 500" in cut["limit"] for cut in output["truncated"])
    hurried = run(dependencies, repo, seconds=0)
    assert any("0 of 2 were read" in cut["limit"] for cut in hurried["truncated"])
