"""TODOs: which lines are notes left for later, since when, and by whom."""

from pathlib import Path

import pytest

from podium.checkup import todos
from slices.checkup.repos import Repo, findings, rows, run

FILES = {
    "a.py": "a = 1  # TODO: first\nb = 2  # FIXME(ada): second\nTODO = 3\nc = 'XXX'\n",
    "b.c": "/* HACK third */\n * XXX fourth\nint XXX;\n",
    "c.sql": "-- TODO fifth\nselect 'TODO';\n",
    "page.html": "<p>TODO</p>\n<!-- TODO: sixth -->\n",
    "doc.md": "# TODO list\nTODO: seventh\nWhat is TODO here?\n",
    "es.py": "hacer_TODO_esto = 'haz todo: TODO lo demás'\nmktemp('a.XXX')\n",
    "data.json": '{"a": "TODO: no"}\n',
    "fix.patch": "+# TODO: no\n",
    "vendor/lib/a.go": "// TODO: no\n",
    "poetry.lock": "# TODO: no\n",
    "image.bin": b"\0# TODO: no\n",
}


def test_notes_are_told_from_other_uses_of_the_words(repo: Repo) -> None:
    repo.commit(FILES)
    output = run(todos, repo)
    found = {
        (row["path"], row["line"], row["mark"], row["text"]) for row in output["details"]["todos"]
    }
    assert found == {
        ("a.py", 1, "TODO", "first"),
        ("a.py", 2, "FIXME", "(ada): second"),
        ("b.c", 1, "HACK", "third"),
        ("b.c", 2, "XXX", "fourth"),
        ("c.sql", 1, "TODO", "fifth"),
        ("page.html", 2, "TODO", "sixth"),
        ("doc.md", 2, "TODO", "seventh"),
    }
    assert output["summary"] == {
        "marks": 7, "TODO": 4, "FIXME": 1, "HACK": 1, "XXX": 1, "files": 5,
        "older_than_a_year": 0, "oldest": "2026-09-20",
    }  # fmt: skip
    [fixme] = findings(output, "fixme")
    assert fixme["count"] == 3


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", 's = """\n# TODO: no\n"""\n'),
        ("a.py", 's = "a  # TODO: no"\n'),
        ("a.py", '"""TODO: a docstring."""\n'),
        ("a.js", 'it("a // TODO: no", f);\n'),
        ("a.js", "url = `https://x // TODO: no`;\n"),
        ("a.ts", "this.#x = TODO - 1;\n"),
        ("a.go", 'log(";"); log("TODO: no")\n'),
        ("a.rs", "let a = b; TODO: no\n"),
        ("a.sh", 'echo "x # TODO: no"\n'),
        ("a.sh", "curl https://x/TODO: y\n"),
    ],
)
def test_strings_are_no_comments(repo: Repo, path: str, text: str) -> None:
    repo.commit({path: text})
    assert run(todos, repo)["details"]["todos"] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", 's = "#"  # see TODO: yes\n'),
        ("old.py", 'print "x"  # TODO: yes\n    bad indent\n'),
        ("broken.py", "f(  # TODO: yes\n"),
        ("a.js", 'x = "it\'s"; // see TODO: yes\n'),
        ("a.rs", "fn f<'a>(x: &'a str) {} // TODO yes\n"),
        ("a.c", "for (;;) {} /* TODO yes */\n"),
        ("a.sh", 'run "$1"  # then\t# TODO yes\n'),
        ("a.tex", "text % TODO: yes\n"),
        ("a.vue", "<!-- TODO: yes -->\n"),
        ("a.bat", "rem TODO yes\n"),
    ],
)
def test_comments_in_many_languages(repo: Repo, path: str, text: str) -> None:
    repo.commit({path: text})
    assert [row["text"] for row in run(todos, repo)["details"]["todos"]] == ["yes"]


def test_ages_and_authors_come_from_the_line(repo: Repo) -> None:
    repo.commit({"a.py": "# TODO: old\n" + "x = 1\n" * 3}, author="Ada", days_ago=500)
    repo.commit(
        {"a.py": "# TODO: old\n" + "x = 2\n" * 3 + "# TODO: new\n"}, author="Grace", days_ago=10
    )
    output = run(todos, repo)
    assert output["details"]["todos"] == [
        {
            "path": "a.py", "line": 1, "mark": "TODO", "text": "old", "since": "2025-05-09",
            "age_days": 500, "author": "Ada",
        },
        {
            "path": "a.py", "line": 5, "mark": "TODO", "text": "new", "since": "2026-09-11",
            "age_days": 10, "author": "Grace",
        },
    ]  # fmt: skip
    assert rows(output, "by_author", "author")["Ada"]["marks"] == 1
    assert output["summary"]["older_than_a_year"] == 1


def test_many_old_notes_are_a_finding(repo: Repo) -> None:
    repo.commit({f"src/{n}.py": "# TODO: one\n" for n in range(12)}, days_ago=900)
    output = run(todos, repo)
    assert findings(output, "old_todos")[0]["count"] == 12
    assert output["details"]["by_area"] == [{"area": "src", "marks": 12}]


def test_staged_files_have_no_ages(repo: Repo) -> None:
    repo.write({"a.py": "# TODO: one\n"})
    repo.git("add", ".")
    output = run(todos, repo)
    assert output["summary"]["marks"] == 1
    assert output["details"]["todos"][0]["since"] is None


def test_dates_are_looked_up_to_a_limit(repo: Repo) -> None:
    repo.commit({f"{n}.py": "# TODO: one\n" for n in range(5)})
    output = run(todos, repo, max_blamed=2)
    assert output["summary"]["marks"] == 5
    assert sum(1 for row in output["details"]["todos"] if row["since"]) == 2
    assert any("2 of 5 files" in cut["limit"] for cut in output["truncated"])


def test_marks_are_listed_up_to_a_limit(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit({"a.py": "# TODO: one\n" * 400})
    output = run(todos, repo)
    assert len(output["details"]["todos"]) == 300
    assert any("300 oldest of 400" in cut["limit"] for cut in output["truncated"])
    assert {
        "what": "ages and authors",
        "limit": "known for 200 marks of a file, not for 200 more",
    } in (output["truncated"])
    assert sum(1 for row in output["details"]["todos"] if row["since"]) == 200
    monkeypatch.setattr(todos, "_MAX", 50)
    assert run(todos, repo)["summary"]["marks"] == 50


def test_a_line_of_any_length_and_kind(repo: Repo) -> None:
    repo.commit(
        {
            "long.js": "x" * 3_000_000 + " // TODO: too far in\n",
            "wide.py": "# TODO: " + "ä" * 5_000 + "\n",
            "odd.py": b"# TODO: caf\xe9 \x1b[31m\x07 | <b>\n",
        }
    )
    output = run(todos, repo)
    texts = {row["path"]: row["text"] for row in output["details"]["todos"]}
    assert len(texts["wide.py"]) == 200
    assert texts["odd.py"] == "caf\N{REPLACEMENT CHARACTER} \\x1b[31m\\x07 | <b>"
    assert "long.js" not in texts


def test_ages_that_cannot_be_told(repo: Repo, tmp_path: Path) -> None:
    """A shallow clone knows no older commits; a missing object is said."""
    repo.commit({"a.py": "# TODO: one\n"}, days_ago=30)
    repo.commit({"a.py": "# TODO: one\n# TODO: two\n"}, days_ago=5)
    blob = repo.git("rev-parse", "HEAD~1:a.py")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    output = run(todos, repo)
    assert output["summary"]["marks"] == 2
    assert any("a.py could not be told" in note for note in output["notes"])
