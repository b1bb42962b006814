"""The report: for people and for programs, whatever the parts came to."""

import json
import os
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from podium.checkup import (
    dependencies,
    history,
    large_files,
    lint,
    markdown,
    report,
    secret_scan,
    survey,
    tests,
    todos,
)
from podium.checkup.context import CheckupError
from slices.checkup.repos import Recorder, Repo, run

PARTS = {
    "survey": survey,
    "history": history,
    "lint": lint,
    "secrets": secret_scan,
    "dependencies": dependencies,
    "todos": todos,
    "large_files": large_files,
    "tests": tests,
}
SCHEMA = json.loads((Path(report.__file__).parent / "report.schema.json").read_text())
HOSTILE = (
    "<script>alert(1)</script> | [x](javascript:y) ![z](http://e/x) `a` \\| **b** @ada #1 ~~c~~"
)


def page_tokens(page: str) -> list[Token]:
    """Every token of the page, with HTML and links allowed, as a renderer might."""
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(
        ["table", "strikethrough"]
    )
    flat: list[Token] = []
    for token in parser.parse(page):
        flat += [token, *(token.children or [])]
    return flat


def assert_harmless(page: str) -> None:
    """No HTML, link, image or emphasis but ours, and every table is whole."""
    tokens = page_tokens(page)
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "s_open", "em_open"}
    columns = 0
    for place, token in enumerate(tokens):
        if token.type == "thead_open":
            ends = [t.type for t in tokens[place:]].index("thead_close")
            columns = sum(1 for t in tokens[place : place + ends] if t.type == "th_open")
        if token.type == "tr_open" and columns:
            ends = [t.type for t in tokens[place:]].index("tr_close")
            cells = sum(1 for t in tokens[place : place + ends] if t.type in {"td_open", "th_open"})
            assert cells == columns
    pipes = [line for line in page.splitlines() if line.startswith("|")]
    rows = sum(1 for token in tokens if token.type == "tr_open")
    rules = sum(1 for line in pipes if set(line) <= set("|-: "))
    assert rows == len(pipes) - rules, "no line of a table fell out of it"


def finished(repo: Repo, **timing: float) -> dict[str, Any]:
    """All parts as dependencies that succeeded."""
    return {
        name: {"state": "succeeded", "output": run(part, repo), "error": None, **timing}
        for name, part in PARTS.items()
    }


def written(repo: Repo, out: Path, parts: dict[str, Any]) -> tuple[dict[str, Any], str, Any]:
    recorder = Recorder(**parts)
    result = report.run({"repo": str(repo.path), "out": str(out)}, recorder)
    document = json.loads((out / "report.json").read_text())
    jsonschema_rs.validate(SCHEMA, document)
    page = (out / "report.md").read_text()
    assert recorder.kept == {"report.json": (out / "report.json").read_text(), "report.md": page}
    assert_harmless(page)
    return document, page, result


def test_a_whole_report(repo: Repo, tmp_path: Path) -> None:
    for number in range(3):
        app = f"if 1:\n    # TODO: one\n    a = {number}\n"
        repo.commit({"src/app.py": app, "README.md": "x\n"})
    parts = finished(repo, queued_seconds=0.25, run_seconds=1.5)
    document, page, result = written(repo, tmp_path / "out", parts)

    assert document["summary"]["outcome"] == "complete"
    assert [part["part"] for part in document["parts"]] == list(PARTS)
    assert document["repository"]["head"] == repo.git("rev-parse", "HEAD")
    assert result["findings_total"] == len(document["findings"]) > 0
    assert result["summary"] == document["summary"]
    assert result["report_md"] == str(tmp_path / "out" / "report.md")
    assert result["parts"][0]["headline"] == "2 files, 3 lines of code, 3 commits"
    ranks = ["high", "medium", "low", "info"]
    found = [ranks.index(finding["severity"]) for finding in document["findings"]]
    assert found == sorted(found)
    for heading in (
        "# Checkup of repo", "## At a glance", "## Look at these first", "### Hot spots",
        "### Activity", "## Lint", "## Secrets", "## Dependencies", "## Open TODOs",
        "## Large and generated files", "## Tests", "## Timings",
    ):  # fmt: skip
        assert f"\n{heading}\n" in f"\n{page}", heading
    assert "| History and hot spots | succeeded | 0.2 s | 1.5 s |" in page
    assert "`src/app.py:2`" in page


def test_what_is_missing_is_told(repo: Repo, tmp_path: Path) -> None:
    for number, size in enumerate((200_000, 10)):
        files = {"dump.sql": os.urandom(size), "go.mod": "module x\n", "a.py": f"a = {number}\n"}
        repo.commit(
            files | {f"{n}/package.json": f'{{"dependencies": {{"a": "{n}.0.0"}}}}' for n in (1, 2)}
        )
    parts = finished(repo)
    parts["history"]["output"] = run(history, repo, max_commits=1)
    _, page, _ = written(repo, tmp_path / "out", parts)
    missing = page.partition("## What could not run")[2].partition("\n## ")[0]
    assert "run osv-scanner, npm audit, govulncheck" in missing
    limits = page.partition("## Limits that were reached")[2].partition("\n## ")[0]
    assert "only the latest 1 commits were read" in limits
    assert "### One package in several versions" in page
    assert "### Biggest objects of the history alone" in page


@pytest.mark.parametrize("commits", [0, 1])
def test_an_empty_repository_has_a_report(repo: Repo, tmp_path: Path, commits: int) -> None:
    for _ in range(commits):
        repo.commit({})
    document, page, _ = written(repo, tmp_path / "out", finished(repo))
    assert document["summary"]["outcome"] == "complete"
    assert "0 files" in page
    assert ("No commit yet on `main`; looked at" in page) == (not commits)
    assert "| Lint | nothing to check |" in page
    assert "## Timings" not in page, "nobody said how long the parts took"


def test_hostile_texts_lose_their_meaning(repo: Repo, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "-")
    paths = {
        name.encode(): b"# TODO: " + HOSTILE.encode() + b"\n",
        b"a|b.py": b"import os\n# TODO: pipe | in a \\| text\n",
        b"c\\|d.py": b"import os\n",
        b"new\nline.py": b"# TODO: ``` fence\n",
        b"`tick`.py": b"# TODO: `tick\n",
        "\u202eright.py".encode(): "# TODO: \u202eturned\u2066\n".encode(),
        b"esc\x1b[31m.py": b"# TODO: \x1b[31m red\n",
        b"<img src=x onerror=alert(1)>.json": b"{",
    }
    repo.commit_paths(paths)
    hostile = repo.git("log", "-1", "--format=%T")
    commit = repo.git("commit-tree", "-m", "x", hostile, author="<b>Eve</b> | [a](b) `c`")
    repo.git("update-ref", "refs/heads/main", commit)
    document, page, _ = written(repo, tmp_path / "out", finished(repo))
    assert len(document["parts"]) == 8
    for character in "\x1b\u202e\u2066\x07\x00":
        assert character not in page
        assert character not in json.dumps(document, ensure_ascii=False)
    codes = [token.content for token in page_tokens(page) if token.type == "code_inline"]
    assert any("a|b.py" in content for content in codes), "a pipe in a name is shown as it is"
    assert any(content.startswith("new\\x0aline.py") for content in codes)


@given(st.text(max_size=60))
def test_any_text_is_harmless_in_a_table(text: str) -> None:
    rows: list[dict[str, Any]] = [{"a": text, "b": text, "c": 1}, {"a": "x", "b": "y", "c": 2}]
    columns = [
        markdown.Column("A", "a", markdown.code),
        markdown.Column("B", "b", markdown.plain),
        markdown.Column("C", "c", markdown.count),
    ]
    page = "\n".join(["# x", "", *markdown.table(rows, columns)])
    assert_harmless(page)
    assert_harmless(f"- {markdown.plain(text)}")
    assert_harmless(f"a {markdown.code(text)} b")


@given(st.text(alphabet="`|\\ ab", max_size=12))
def test_code_shows_what_it_was_given(text: str) -> None:
    tokens = page_tokens(f"| {markdown.code(text)} |\n| --- |\n")
    shown = [token.content for token in tokens if token.type == "code_inline"]
    wanted = " ".join(text.split())
    if wanted:
        assert [content.strip().replace("¦", "|") for content in shown] == [wanted]


def test_a_long_path_keeps_its_end() -> None:
    shown = markdown.code(f"top/{'d' * 300}/file.py:12")
    assert shown.startswith("`top/ddd")
    assert shown.endswith("ddd/file.py:12`")
    assert "d…d" in shown
    assert len(shown) == 160 + 2


def test_spaces_at_the_ends_of_a_path_are_shown() -> None:
    assert markdown.code(" a.py") == "` a.py`"
    assert markdown.code(" a ") == "`  a  `"
    assert markdown.code("  ") == "-"


def test_slight_findings_are_shown_after_the_grave_ones(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"bad.json": "{"})
    given = {"repo": str(repo.path), "out": str(tmp_path)}
    report.run(given, Recorder(**finished(repo)))
    page = (tmp_path / "report.md").read_text()
    grave, _, rest = page.partition("## Worth knowing")
    assert "`bad.json:1`" in grave
    slight = rest.partition("## Survey")[0]
    assert "| low | There is no README at the top |" in slight
    assert "bad.json" not in slight


@pytest.mark.parametrize("wanted", [[], ["lint", "tests"]])
def test_parts_that_were_left_out_are_said(repo: Repo, tmp_path: Path, wanted: list[str]) -> None:
    repo.commit({"a.py": "a = 1\n"})
    given = {"repo": str(repo.path), "out": str(tmp_path), "parts": wanted}
    parts = {name: part for name, part in finished(repo).items() if name in {"survey", *wanted}}
    report.run(given, Recorder(**parts))
    document = json.loads((tmp_path / "report.json").read_text())
    jsonschema_rs.validate(SCHEMA, document)
    assert document["summary"]["outcome"] == "complete"
    assert [part["part"] for part in document["parts"]] == ["survey", *wanted]
    rows = [row for row in document["could_not_run"] if "left out on request" in row["why"]]
    assert [row["part"] for row in rows] == [ref for ref in PARTS if ref not in {"survey", *wanted}]
    assert "Secrets" in (tmp_path / "report.md").read_text().partition("## What could not run")[2]


def test_failed_and_cancelled_parts_are_reported(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"a.py": "a = 1\n"})
    parts = finished(repo)
    parts["lint"] = {
        "state": "failed",
        "output": None,
        "error": {
            "class": "agent", "code": "git_failed", "message": f"git grep ended {HOSTILE}",
            "hint": "run git fsck", "detail": {"secret": "left out"},
        },
        "queued_seconds": 1.0,
        "run_seconds": 2.0,
    }  # fmt: skip
    parts["todos"] = {"state": "cancelled", "output": None, "error": None}
    del parts["tests"]
    document, page, result = written(repo, tmp_path / "out", parts)
    states = {part["part"]: part["state"] for part in document["parts"]}
    assert states["lint"] == "failed"
    assert states["todos"] == "cancelled"
    assert states["tests"] == "missing"
    assert document["summary"]["outcome"] == "partial"
    assert "Not every part could do its work" in page
    assert "Nothing grave was found" not in page
    assert "This part did not finish" in page
    assert "What to do: run git fsck" in page
    assert "left out" not in json.dumps(document)
    lint_row = next(row for row in result["parts"] if row["part"] == "lint")
    assert lint_row["error"]["code"] == "git_failed"
    assert lint_row["headline"] is None


def test_nothing_but_failure_is_reported_too(repo: Repo, tmp_path: Path) -> None:
    error = {"class": "invalid_input", "code": "not_a_repository", "message": "no repository"}
    parts = {"survey": {"state": "failed", "output": None, "error": error}}
    document, page, _ = written(repo, tmp_path / "out", parts)
    assert document["summary"]["outcome"] == "failed"
    assert document["repository"] == {"path": str(repo.path)}
    assert "could not be surveyed" in page
    assert "Nothing was looked at." in page
    assert "grave" not in page


def test_parts_that_were_not_asked_for_are_left_out(repo: Repo, tmp_path: Path) -> None:
    parts = {name: part for name, part in finished(repo).items() if name in {"survey", "todos"}}
    out = tmp_path / "out"
    report.run({"repo": "x", "out": str(out), "parts": ["todos"]}, Recorder(**parts))
    document = json.loads((out / "report.json").read_text())
    assert [part["part"] for part in document["parts"]] == ["survey", "todos"]
    assert document["summary"]["outcome"] == "complete"


def test_dependencies_may_be_objects(repo: Repo, tmp_path: Path) -> None:
    class Came:
        state = "succeeded"
        output = run(survey, repo)
        error = None
        queued_seconds = 0.5
        run_seconds = None

    report.run({"out": str(tmp_path), "parts": []}, Recorder(survey=Came()))
    [part, *_] = json.loads((tmp_path / "report.json").read_text())["parts"]
    assert (part["state"], part["queued_seconds"], part["run_seconds"]) == ("succeeded", 0.5, None)


def test_a_second_report_takes_the_place_of_the_first(repo: Repo, tmp_path: Path) -> None:
    names = [".gitignore", "report.json", "report.md"]
    for _ in range(2):
        written(repo, tmp_path / "deep" / "out", finished(repo))
    assert sorted(p.name for p in (tmp_path / "deep" / "out").iterdir()) == names


def test_where_no_code_is_indented_commits_tell(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"a.py": "a = 1\n"})
    _, page, _ = written(repo, tmp_path / "out", finished(repo))
    assert "### Hot spots" not in page
    assert "### Most changed files" in page


def test_git_does_not_see_a_report_in_a_directory_of_its_own(repo: Repo) -> None:
    repo.commit({"docs/a.md": "a\n"})
    written(repo, repo.path / "podium-report", finished(repo))
    assert repo.git("status", "--porcelain") == ""
    (repo.path / "podium-report/.gitignore").unlink()
    for directory in ("podium-report", "docs"):
        written(repo, repo.path / directory, finished(repo))
        assert not (repo.path / directory / ".gitignore").exists()


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckupError) as caught:
        report.run({"out": str(tmp_path / "file" / "out")}, Recorder())
    assert caught.value.code == "report_not_written"
    assert "--out" in str(caught.value.hint)
    with pytest.raises(CheckupError) as caught:
        report.run({}, Recorder())
    assert caught.value.code == "out_missing"


def test_a_report_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CheckupError) as caught:
        report.run({"out": str(tmp_path / "out")}, Recorder())
    assert (caught.value.error_class, caught.value.code) == ("permission", "report_not_written")


def test_many_findings_are_shortened_on_the_page(repo: Repo, tmp_path: Path) -> None:
    parts = finished(repo)
    parts["lint"]["output"]["findings"] = [
        {"severity": "high", "kind": "lint", "title": f"finding {n}", "path": f"{n}.py", "line": n}
        for n in range(40)
    ]
    parts["history"]["output"]["findings"] = [
        {"severity": "medium", "kind": "hot_spot", "title": f"hot {n}"} for n in range(3)
    ]
    _, page, _ = written(repo, tmp_path / "out", parts)
    first = page.partition("## Look at these first")[2].partition("\n## ")[0]
    assert first.count("finding ") == 4
    assert first.count("hot ") == 3
    assert "36 more findings" in first
