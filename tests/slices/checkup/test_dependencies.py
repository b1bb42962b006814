"""Dependencies: what is locked, what moves and what differs, and what is said of limits."""

import json

import pytest

from podium.checkup import dependencies, headlines
from slices.checkup.manifests import MANIFESTS
from slices.checkup.repos import Repo, findings, rows, run

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
    "requirements.lock": ("a==1.0 ; python_version > '3' \\\n    --hash=sha256:0\nb==2.0\n", 2),
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


def test_what_may_be_left_out_and_what_developers_need_is_counted_apart(repo: Repo) -> None:
    repo.commit(
        {
            "pyproject.toml": '[project]\ndependencies = ["a", "b"]\n'
            '[project.optional-dependencies]\nmore = ["c"]\n'
            '[dependency-groups]\ndev = ["d"]\n[build-system]\nrequires = ["e"]\n'
        }
    )
    output = run(dependencies, repo)
    expected = {"direct": 5, "runtime": 2, "optional": 1, "development": 2}
    places = (output["summary"], *output["details"]["ecosystems"], *output["details"]["manifests"])
    assert len(places) == 3
    assert all(each.items() >= expected.items() for each in places)
    told = headlines.headline("dependencies", output["summary"])
    assert told.startswith("2 direct dependencies (and 1 optional, 2 for development) in 1 ")


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


def test_a_requirements_lock_is_a_lock(repo: Repo) -> None:
    locked = "a==1.0 \\\n    --hash=sha256:0\n    # via b\n"
    repo.commit(
        {
            "pyproject.toml": '[project]\ndependencies = ["a>=1"]\n',
            "requirements.lock": locked,
            "requirements-dev.lock": locked,
            "uv.lock": "",
        }
    )
    output = run(dependencies, repo)
    assert output["summary"]["lock_files"] == 3
    assert output["findings"] == []


def test_a_lock_file_that_is_not_read_is_a_lock(repo: Repo) -> None:
    repo.commit({"package.json": '{"dependencies": {"a": "^1"}}', "bun.lockb": b"\0"})
    output = run(dependencies, repo)
    assert rows(output, "manifests", "path")["package.json"]["lock"] == "bun.lockb"
    assert rows(output, "lock_files", "path")["bun.lockb"]["packages"] is None
    assert rows(output, "ecosystems", "ecosystem")["npm"]["locked_packages"] is None
    assert findings(output, "no_lock_file") == []


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


def test_what_needs_the_network_is_said(repo: Repo) -> None:
    repo.commit({"package.json": "{}", "go.mod": "module x\n"})
    [missing] = run(dependencies, repo)["could_not_run"]
    assert missing["how_to_get"] == "run osv-scanner, npm audit, govulncheck"


def test_limits_are_said(repo: Repo) -> None:
    many = {f"p{n}": "1.0.0" for n in range(500)}
    repo.commit({"package.json": json.dumps({"dependencies": many}), "b/package.json": "{}"})
    output = run(dependencies, repo)
    assert len(output["details"]["dependencies"]) == 400
    assert any("400 of 500" in cut["limit"] for cut in output["truncated"])
    repo.commit({"yarn.lock": "x" * 30_000_001})
    [unread] = findings(run(dependencies, repo), "unreadable_manifest")
    assert unread["detail"] == "it is larger than 30,000,000 bytes"
    repo.git("rm", "-q", "yarn.lock")
    repo.git("commit", "-qm", "less")
    hurried = run(dependencies, repo, seconds=0)
    assert any("0 of 2 were read" in cut["limit"] for cut in hurried["truncated"])
