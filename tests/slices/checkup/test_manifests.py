"""Manifests: every ecosystem's are read as data, and broken ones are said."""

import json
from pathlib import Path
from typing import Any

import pytest

from podium.checkup import dependencies
from slices.checkup.manifests import MANIFESTS
from slices.checkup.repos import Repo, findings, run


def listed(output: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    return {
        (row["name"], row["spec"], row["scope"], row["pin"])
        for row in output["details"]["dependencies"]
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


# Every place of a manifest where an address with a credential may stand.
SECRETIVE = {
    "requirements.txt": (
        "https://files.example.com/pkg-1.0.tar.gz?token=canary1\n"
        "https://ada:canary2@host.example.com\n"
        "https://ada:canary3@host.example.com/wheels/one.whl#sha256=canary4\n"
        "git+https://canary5@host.example.com/org/two.git@v1\n"
        "-e https://ada:can/ary6@host.example.com/three ; python_version > '3'\n"
        "-e git@host.example.com:four.git\n"
        "five @ https://ada:canary7@host.example.com/five.whl\n"
        "--index-url https://ada:canary8@host.example.com/simple\n"
        "-e .\n"
    ),
    "environment.yml": "dependencies:\n- https://ada:canary9@host.example.com/six.conda\n",
    "Pipfile": '[packages]\nseven = "https://ada:canary10@host.example.com/seven"\n',
    "Package.swift": (
        '.package(url: "https://ada:canary11@host.example.com", from: "1"),\n'
        '.package(url: "https://ada:canary12@host.example.com/eight?key=canary13", from: "1"),\n'
    ),
    "composer.json": json.dumps({"require": {"https://a:canary14@b.example.com/nine": "1.0"}}),
    "package.json": json.dumps({"dependencies": {"ten": "npm:x@https://a:canary15@b.example.com"}}),
    "compose.yml": "services:\n  a:\n    image: https://a:canary16@b.example.com/eleven\n",
    ".github/workflows/a.yml": "- uses: twelve@ghp_" + "Canary17aB3dE5fG7hI9jK1lM3nO5pQ7rS9t\n",
}


def test_addresses_are_listed_without_credentials(repo: Repo) -> None:
    repo.commit(SECRETIVE)
    output = run(dependencies, repo)
    names = {row["name"] for row in output["details"]["dependencies"]}
    files = {"pkg-1.0.tar.gz", "one.whl", "two.git", "three", "four.git", "five", "."}
    assert files | {"(address)", "six.conda", "seven", "eight", "ten", "twelve"} <= names
    told = json.dumps(output).lower()
    assert "canary" not in told
    assert "ary6" not in told
    assert "ada" not in told


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


def test_known_manifests_that_are_not_read_are_named(repo: Repo) -> None:
    repo.commit({"conanfile.txt": "[requires]\n", "a/Podfile": "pod 'x'\n"})
    output = run(dependencies, repo)
    assert any("2 manifests (a/Podfile, conanfile.txt)" in note for note in output["notes"])
