"""Lint: every kind of check on files that have the fault, and on files that only look so."""

import json
import shutil
from pathlib import Path

import pytest

from podium.checkup import lint
from podium.checkup.linters import data
from slices.checkup.repos import Repo, findings, rows, run


def rules(output: dict[str, object]) -> dict[tuple[str, str], dict[str, object]]:
    details = output["details"]
    assert isinstance(details, dict)
    return {(row["tool"], row["rule"]): row for row in details["rules"]}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with git, a shell and nothing else; linters can be put beside them."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("git", "bash", "sh", "cat", "echo", "pwd", "touch"):
        found = shutil.which(name)
        assert found, name
        (directory / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(directory))
    return directory


def install(tools: Path, name: str, body: str) -> None:
    program = tools / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!{tools}/sh\n{body}\n")
    program.chmod(0o755)


def test_nothing_to_check(repo: Repo) -> None:
    output = run(lint, repo)
    assert output["summary"]["issues"] == 0
    assert output["details"]["tools"] == []


def test_python_is_checked_for_likely_faults(repo: Repo) -> None:
    repo.commit(
        {
            "a.py": "import os\nprint(undefined)\n",
            "b.py": "import os\nimport sys\n",
            "broken.py": "def f(:\n",
            "tests/broken.py": "def f(:\n",
            "vendor/x/bad.py": "import os\n",
        }
    )
    output = run(lint, repo)
    found = rules(output)
    unused = found["ruff", "F401"]
    assert (unused["count"], unused["files"], unused["severity"]) == (3, 2, "low")
    assert unused["name"] == "unused-import"
    assert found["ruff", "F821"]["severity"] == "medium"
    assert found["ruff", "F821"]["examples"] == [
        {"path": "a.py", "line": 2, "message": "Undefined name `undefined`"}
    ]
    severities = [
        r["severity"] for r in output["details"]["rules"] if r["rule"] == "invalid-syntax"
    ]
    assert severities == ["high", "info"], "wrong code among tests is mostly meant to be so"
    assert output["details"]["worst_files"][0]["path"] in {"a.py", "b.py", "broken.py"}
    ruff = rows(output, "tools", "tool")["ruff"]
    assert ruff["files"] == 4
    assert "likely faults" in ruff["rules"]
    assert findings(output, "lint")[0]["severity"] == "high"


def test_the_repositorys_own_rules_count(repo: Repo) -> None:
    repo.commit(
        {
            "pyproject.toml": '[tool.ruff.lint]\nselect = ["D100"]\n',
            "a.py": "import os\n",
        }
    )
    output = run(lint, repo)
    assert set(rules(output)) == {("ruff", "D100")}
    assert rows(output, "tools", "tool")["ruff"]["rules"] == "the repository's own"


def test_own_rules_that_cannot_be_used_are_said(repo: Repo) -> None:
    repo.commit({"ruff.toml": 'required-version = ">=99"\n', "a.py": "import os\n"})
    output = run(lint, repo)
    assert ("ruff", "F401") in rules(output)
    assert any("could not use the repository's configuration" in note for note in output["notes"])


def test_own_rules_cannot_change_or_write_anything(repo: Repo, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    config = f'fix = true\nfix-only = true\ncache-dir = "{cache}"\n[lint]\nselect = ["F401"]\n'
    repo.commit({"ruff.toml": config, "a.py": "import os\n"})
    output = run(lint, repo)
    assert rules(output)["ruff", "F401"]["count"] == 1
    assert not cache.exists()
    assert (repo.path / "a.py").read_text() == "import os\n"
    assert repo.git("status", "--porcelain") == ""


def test_names_that_lead_out_are_not_written(repo: Repo, tmp_path: Path) -> None:
    blob = repo.git("hash-object", "-w", "--stdin", feed=b"import os\n")
    inner = repo.git("mktree", feed=f"100644 blob {blob}\tescaped.py\n".encode())
    for _ in range(8):
        inner = repo.git("mktree", feed=f"040000 tree {inner}\t..\n".encode())
    commit = repo.git("commit-tree", "-m", "hostile", inner)
    repo.git("update-ref", "refs/heads/main", commit)
    output = run(lint, repo)
    assert not list(Path("/").glob("escaped.py"))
    assert not list(tmp_path.glob("**/escaped.py"))
    assert any("could not be copied" in cut["limit"] for cut in output["truncated"])


def test_a_file_where_another_needs_a_directory(repo: Repo) -> None:
    blob = repo.git("hash-object", "-w", "--stdin", feed=b"import os\n")
    folder = repo.git("mktree", feed=f"100644 blob {blob}\tb.py\n".encode())
    tree = repo.git(
        "mktree", feed=f"100644 blob {blob}\tA.py\n040000 tree {folder}\ta.py\n".encode()
    )
    repo.git("update-ref", "refs/heads/main", repo.git("commit-tree", "-m", "odd", tree))
    assert rules(run(lint, repo))["ruff", "F401"]["count"] == 2


def test_names_that_no_file_system_takes(repo: Repo) -> None:
    repo.commit_paths({b"n" * 300 + b".py": b"import os\n", b"a.py": b"import os\n"})
    output = run(lint, repo)
    assert rules(output)["ruff", "F401"]["count"] == 1
    assert any("1 file could not be copied" in cut["limit"] for cut in output["truncated"])


def test_a_ruff_that_ends_early_is_said(
    repo: Repo, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ruff

    monkeypatch.setattr(ruff, "find_ruff_bin", lambda: str(tools / "ruff"))
    repo.commit({"a.py": "import os\n"})
    issue = {"code": "F401", "filename": "./a.py", "location": {"row": 1}, "message": "unused"}
    install(tools, "ruff", f"echo '{json.dumps(issue)}'; echo '{{\"code\": '; exit 3")
    output = run(lint, repo)
    assert rules(output)["ruff", "F401"]["count"] == 1
    [missing] = [row for row in output["could_not_run"] if row["tool"] == "ruff"]
    assert "status 3" in missing["why"]
    install(tools, "ruff", "exec sleep 60")
    (tools / "sleep").symlink_to(shutil.which("sleep", path="/bin:/usr/bin") or "/bin/sleep")
    assert "ruff" in {cut["what"] for cut in run(lint, repo, seconds=0.5)["truncated"]}


def test_the_number_of_rules_and_files_is_bounded(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from podium.checkup.linters import external, issues, python

    monkeypatch.setattr(issues, "_RULES", 1)
    monkeypatch.setattr(python, "_MAX_FILES", 1)
    monkeypatch.setattr(external, "_MAX_FILES", 1)
    repo.commit({"a.py": "import os\nx = y\n", "b.py": "", "a.sh": "a=1\n", "b.sh": "b=1\n"})
    output = run(lint, repo)
    assert len(output["details"]["rules"]) == 1
    assert {"ruff", "rules"} <= {cut["what"] for cut in output["truncated"]}


DATA = {
    "bad.json": '{"a": 1,\n "b": }\n',
    "good.json": '{"a": ' + "9" * 6_000 + "}",
    "tsconfig.json": '{\n  // a comment\n  "a": 1,\n}\n',
    "latin.json": b'{"a": "caf\xe9"}',
    "bad.toml": "a = 1\nb = \n",
    "good.toml": "a = 1\r\n[b]\r\nc = 2\r\n",
    "bad.yaml": "a: [1, 2\nb: 3\n",
    "good.yaml": "a: &x 1\nb: *x\nc: !Custom tag\n---\nd: 1\n",
    "chart.yaml": "a: {{ .Values.a }}\nb: [ {{ c }\n",
    "bad.xml": "<a>\n<b></a>\n",
    "good.svg": '<svg xmlns="http://www.w3.org/2000/svg"/>',
    "bomb.xml": '<!DOCTYPE l [<!ENTITY a "b"><!ENTITY c "&a;&a;&a;">]><l>&c;</l>',
    "tests/fixtures/bad.json": "{",
    "node_modules/x/package.json": "{",
}


def test_data_files_are_parsed(repo: Repo) -> None:
    repo.commit(DATA)
    output = run(lint, repo)
    found = {
        (rule["tool"], example["path"], example["line"]): rule["severity"]
        for rule in output["details"]["rules"]
        for example in rule["examples"]
    }
    assert found == {
        ("JSON syntax", "bad.json", 2): "high",
        ("JSON syntax", "latin.json", 0): "high",
        ("JSON syntax", "tests/fixtures/bad.json", 1): "info",
        ("TOML syntax", "bad.toml", 2): "high",
        ("YAML syntax", "bad.yaml", 2): "high",
        ("XML syntax", "bad.xml", 2): "high",
    }
    assert any("2 data files not judged" in note for note in output["notes"])
    assert rows(output, "tools", "tool")["JSON syntax"]["files"] == 4


@pytest.mark.parametrize(
    ("parse", "content"),
    [
        (data.json_fault, b"[" * 200_000),
        (data.xml_fault, b'<?xml version="1.0" encoding="no-such"?><a/>'),
        (data.toml_fault, b"a = " + b"[" * 100_000),
    ],
)
def test_what_cannot_be_judged_is_no_fault(repo: Repo, parse: object, content: bytes) -> None:
    kind = {data.json_fault: "json", data.xml_fault: "xml", data.toml_fault: "toml"}[parse]  # type: ignore[index]
    repo.commit({f"deep.{kind}": content})
    output = run(lint, repo)
    assert output["summary"]["high"] == 0, output["details"]["rules"]


def test_yaml_that_holds_control_characters(repo: Repo) -> None:
    repo.commit({"a.yaml": b"a: \x07\n"})
    [rule] = run(lint, repo)["details"]["rules"]
    assert rule["examples"][0]["message"] == "it holds characters that YAML does not allow"


def test_a_path_that_is_no_utf8_is_shown_as_elsewhere(repo: Repo) -> None:
    repo.commit_paths({b"bad\xff.py": b"import os\n"})
    output = run(lint, repo)
    assert [row["path"] for row in output["details"]["worst_files"]] == ["bad\\xff.py"]


def test_marks_of_an_unfinished_merge(repo: Repo) -> None:
    merge = "a = 1\n<<<<<<< HEAD\nb = 1\n=======\nb = 2\n>>>>>>> side\n"
    repo.commit({"a.txt": merge, "only.txt": "<<<<<<< HEAD\n", "doc.rst": "=======\nx\n=======\n"})
    output = run(lint, repo)
    assert rules(output)["git", "merge-conflict"]["examples"] == [
        {
            "path": "a.txt",
            "line": 2,
            "message": "the file holds the marks of an unfinished merge",
        }
    ]


SHELL = {
    "bad.sh": "#!/bin/bash\nif true; then\n  echo 1\n",
    "good.sh": "shopt -s extglob\ncase $1 in\n  !(a|b)) echo 1 ;;\nesac\n",
    "other.zsh": "#!/bin/zsh\nif true; then\n",
    "run": "#!/usr/bin/env bash\necho $(\n",
}


def test_shell_without_shellcheck(repo: Repo, tools: Path) -> None:
    repo.write(SHELL)
    (repo.path / "run").chmod(0o755)
    repo.commit({})
    output = run(lint, repo)
    found = rules(output)["bash -n", "parse-error"]
    assert found["count"] == 2
    assert {example["path"] for example in found["examples"]} == {"bad.sh", "run"}  # type: ignore[attr-defined]
    [missing] = [row for row in output["could_not_run"] if row["tool"] == "shellcheck"]
    assert "3 files to check" in missing["why"]
    assert "install shellcheck" in missing["how_to_get"]


def test_shell_syntax_check_runs_nothing(repo: Repo, tools: Path, tmp_path: Path) -> None:
    repo.commit({"a.sh": f"touch {tmp_path}/ran\n$(touch {tmp_path}/ran)\n"})
    run(lint, repo)
    assert not (tmp_path / "ran").exists()


def test_an_installed_linter_is_used_on_a_copy(repo: Repo, tools: Path, tmp_path: Path) -> None:
    said = {
        "comments": [
            {"file": "./a b.sh", "line": 2, "level": "error", "code": 2086, "message": "Quote it."},
            {"file": "./-x.sh", "line": 1, "level": "info", "code": 2034, "message": "Unused."},
        ]
    }
    install(
        tools,
        "shellcheck",
        f'echo "$@" > {tmp_path}/arguments; pwd > {tmp_path}/where\n'
        f"cat <<'END'\n{json.dumps(said)}\nEND\nexit 1",
    )
    repo.commit({"a b.sh": "echo $1\n", "-x.sh": "a=1\n"})
    output = run(lint, repo)
    found = rules(output)
    assert found["shellcheck", "SC2086"]["severity"] == "medium"
    assert found["shellcheck", "SC2086"]["examples"] == [
        {"path": "a b.sh", "line": 2, "message": "Quote it."}
    ]
    assert found["shellcheck", "SC2034"]["severity"] == "low"
    arguments = (tmp_path / "arguments").read_text()
    assert "./-x.sh ./a b.sh" in arguments
    assert "--norc" in arguments
    assert (tmp_path / "where").read_text().strip() != str(repo.path)
    assert rows(output, "tools", "tool")["shellcheck"]["files"] == 2


def test_a_file_that_no_linter_could_be_given_is_said(repo: Repo, tools: Path) -> None:
    install(tools, "shellcheck", "echo '{}'")
    repo.commit_paths({b"n" * 300 + b".sh": b"echo $1\n", b"a.sh": b"echo $1\n"})
    output = run(lint, repo)
    assert {"what": "shellcheck", "limit": "1 file could not be copied"} in output["truncated"]
    assert rows(output, "tools", "tool")["shellcheck"]["files"] == 1


def test_a_linter_that_fails_is_said(repo: Repo, tools: Path) -> None:
    install(tools, "hadolint", "echo 'no such option: password=hunter22abc' >&2; exit 3")
    install(tools, "actionlint", "exec sleep 60")
    (tools / "sleep").symlink_to(shutil.which("sleep", path="/bin:/usr/bin") or "/bin/sleep")
    repo.commit({"Dockerfile": "FROM a\n", ".github/workflows/a.yml": "on: push\n"})
    output = run(lint, repo, seconds=4)
    [missing] = [row for row in output["could_not_run"] if row["tool"] == "hadolint"]
    assert "status 3: no such option" in missing["why"]
    assert "hunter22abc" not in json.dumps(output)
    assert [cut["what"] for cut in output["truncated"]] == ["actionlint"]


PROJECT = {"package.json": "{}", "a.ts": "let a = 1;\n", "main.go": "package main\n", "a.rb": "1\n"}


def test_linters_that_run_code_are_left_out(repo: Repo, tools: Path, tmp_path: Path) -> None:
    repo.write({"node_modules/.bin/eslint": f"#!/bin/sh\ntouch {tmp_path}/ran\n"})
    (repo.path / "node_modules/.bin/eslint").chmod(0o755)
    repo.commit(PROJECT)
    output = run(lint, repo)
    assert not (tmp_path / "ran").exists()
    missing = {row["tool"]: row for row in output["could_not_run"]}
    assert "programs of the repository" in missing["eslint"]["why"]
    assert "--run-project-tools" in missing["eslint"]["how_to_get"]
    assert {"golangci-lint", "rubocop", "oxlint"} <= set(missing)
    assert "clippy" not in missing, "there is no Rust"


def test_linters_that_run_code_run_when_allowed(repo: Repo, tools: Path) -> None:
    said = [
        {
            "filePath": str(repo.path / "a.ts"),
            "messages": [
                {"ruleId": "eqeqeq", "severity": 2, "line": 1, "message": "Use ===."},
                {"ruleId": None, "severity": 2, "line": 1, "message": "Parsing error"},
            ],
        }
    ]
    eslint = repo.path / "node_modules/.bin/eslint"
    install(eslint.parent, "eslint", "")
    eslint.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(said)}\nEND\nexit 1\n")
    repo.git("config", "core.fileMode", "false")
    repo.commit(PROJECT | {".gitignore": "node_modules\n"})
    output = run(lint, repo, run_project_tools=True)
    found = rules(output)
    assert found["eslint", "eqeqeq"]["severity"] == "medium"
    assert found["eslint", "parse-error"]["severity"] == "high"
    assert found["eslint", "eqeqeq"]["examples"][0]["path"] == "a.ts"  # type: ignore[index]
    missing = {row["tool"]: row["why"] for row in output["could_not_run"]}
    assert missing["golangci-lint"] == "not installed"


def test_a_bare_repository_has_nowhere_to_run_project_tools(
    repo: Repo, tools: Path, tmp_path: Path
) -> None:
    repo.commit(PROJECT)
    repo.git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "bare.git"))
    output = run(lint, tmp_path / "bare.git", run_project_tools=True)
    missing = {row["tool"]: row["why"] for row in output["could_not_run"]}
    assert "bare" in missing["eslint"]


def test_time_that_runs_out_is_said(repo: Repo, tools: Path) -> None:
    repo.commit({f"{n}.json": "{}" for n in range(3)} | {f"{n}.sh": "a=1\n" for n in range(3)})
    output = run(lint, repo, seconds=0)
    assert {cut["what"] for cut in output["truncated"]} >= {"data files", "bash -n"}


def test_messages_never_carry_a_secret(repo: Repo, tools: Path) -> None:
    install(
        tools,
        "shellcheck",
        "cat <<'END'\n"
        '{"comments": [{"file": "a.sh", "line": 1, "level": "error", "code": 1,'
        ' "message": "wrong: password=\'canary-Tr0ub4dor\'"}]}\nEND',
    )
    repo.commit({"a.sh": "echo $1\n"})
    output = run(lint, repo)
    assert "canary" not in json.dumps(output)
    assert "[secret]" in json.dumps(output)
