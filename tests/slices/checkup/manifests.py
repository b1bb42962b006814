"""Manifests of every ecosystem, and the name, version, scope and pin of what they ask for."""

import json

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
