"""Content made to take for ever takes little: every reader of hostile text, timed."""

import itertools
import sys
import time
from collections.abc import Callable

import pytest

from podium.checkup import comments, complexity, detectors, guards, lint, todos
from podium.checkup.linters import data
from podium.checkup.manifests import javascript, jvm, locks, model, more, python
from slices.checkup.repos import Repo, run

SECONDS = 30.0
MEGABYTE = 1_000_000
ENOUGH = 600_000


def _fill(text: str, size: int = ENOUGH) -> bytes:
    return (text * (size // len(text)))[:size].encode()


LINES = [
    "password", "password=", "a=", "'\"", "a:", "://a:", "[", " ", " \t", "Aa0/", "_id", "b(",
    "a.", "aws", "softlayer ", "=", "secret:", "x,", "-",
]  # fmt: skip
STARTS = ["", "password", "password = ", "secret = '", "https://", "key='", "eyJ", "aws"]


@pytest.mark.parametrize("piece", LINES)
def test_lines_for_the_detectors(piece: str) -> None:
    started = time.monotonic()
    for start in STARTS:
        line = (start + piece * detectors.MAX_LINE)[: detectors.MAX_LINE]
        list(detectors.find("a.yaml", line))
        detectors.redact(line)
    assert time.monotonic() - started < SECONDS


READERS: dict[str, tuple[Callable[[bytes, str], object], list[str]]] = {
    "requirements": (python.requirements_txt, ["a", "a[b,", "a>=1,", "\\\n", " #", "-e ", "a @ "]),
    "pyproject": (python.pyproject, ["a.", "a=[", "[a]\n", "a.b=1\n"]),
    "setup.py": (
        python.setup_py,
        ["-", "a.", "not ", "(", "f'{", "lambda:", "x=", "if a:\n"],
    ),
    "setup.cfg": (python.setup_cfg, ["[options]\n", "a=\n ", "a", "%(a)s\n"]),
    "conda": (python.conda, ["[", "- ", "{a: ", "? ", "a: &a\n", "a "]),
    "package.json": (javascript.package_json, ["[", '{"a":', "1"]),
    "pom": (jvm.pom, ["<a>", "<dependency>", "a&lt;", "<a b='c'/>"]),
    "gradle": (jvm.gradle, ["implementation ", "a", "implementation(", " ", "api platform( "]),
    "catalog": (jvm.gradle_catalog, ["a.", "a=[", "[a]\n"]),
    "go.mod": (more.go_mod, ["replace (\n", "require (\n", " ", "a.b ", "a.b v1 \n", "require "]),
    "Gemfile": (more.gemfile, ["gem ", " \n", "gem 'a', ", "gem ("]),
    "mix": (more.mix, ["{ :a", "{", "{:a, git", " "]),
    "swift": (more.swift, [".package(", '.package(url: "', " ", ".package(url: "]),
    "Dockerfile": (more.dockerfile, ["FROM ", "FROM --a ", "\n ", "FROM a AS a\n"]),
    "compose": (more.compose, [" ", "- ", "image: ", "\n "]),
    "actions": (more.actions, [" ", "- ", "uses: ", "\n ", "- uses: a@"]),
    "xml": (lambda content, _: data.xml_fault(content), ["<a>", "<a b='c'>", "&a;", "<!--"]),
    "json": (lambda content, _: data.json_fault(content), ["[", '{"a":', '"\\u', "1"]),
    "toml": (lambda content, _: data.toml_fault(content), ["a.", "[a.", "a=[", "'", "a.b=1\n"]),
    "yaml": (lambda content, _: data.yaml_fault(content), ["[", "- ", "{a: ", "? ", "a ", "&a "]),
}


@pytest.mark.parametrize("name", READERS)
def test_content_for_the_readers(name: str) -> None:
    read, pieces = READERS[name]
    started = time.monotonic()
    for piece in pieces:
        try:
            found = read(_fill(piece), name)
            if not isinstance(found, data.Fault | None):
                for _ in itertools.islice(iter(found), 100_000):  # type: ignore[call-overload]
                    continue
        except (model.Unreadable, data.NotJudged):
            continue
    assert time.monotonic() - started < SECONDS * 2


def test_aliases_and_merges_are_not_worked_out() -> None:
    merges = "a0: &a0 {k: 1}\n" + "".join(
        f"a{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]\n  k{n}: 1\n" for n in range(1, 40)
    )
    started = time.monotonic()
    list(python.conda(merges.encode(), "environment.yml"))
    assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize("name", locks.COUNTERS)
def test_content_for_the_counters_of_lock_files(name: str) -> None:
    started = time.monotonic()
    for piece in ["    a (", '"a', '    "node_modules/', "@", "  @a@", "a:\n  ", "[[package]]\n"]:
        locks.COUNTERS[name](_fill(piece))
        locks.pins_everything(_fill(piece))
    assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize(
    ("path", "piece"),
    [
        ("a.cpp", "a<"), ("a.ts", "(a:b<c>)=>"), ("a.c", "{\n"), ("a.js", "/a"), ("a.rb", "<<A\n"),
        ("a.go", "func ("), ("a.java", "@A("), ("a.lua", "[["), ("a.f90", "if (a) then\n"),
    ],
)  # fmt: skip
def test_code_for_the_measure_of_complexity(path: str, piece: str) -> None:
    text = (piece * 400_000)[:400_000]
    started = time.monotonic()
    complexity.hardest_function(path, text)
    complexity.shape(text)
    assert time.monotonic() - started < SECONDS


def test_measuring_leaves_the_path_of_modules_alone() -> None:
    before = list(sys.path)
    sys.modules.pop("lizard", None)
    found = complexity.hardest_function("a.py", "def f(x):\n    return x if x else 1\n")
    assert found == complexity.Function("f", 1, 2, 2)
    assert sys.path == before


@pytest.mark.parametrize("text", ["plain text", "def f(", ""])
def test_code_that_cannot_be_measured(text: str) -> None:
    assert complexity.hardest_function("a.unknown", text) is None
    assert complexity.hardest_function("a.py", "a = 1\n") is None


def test_indentation_counts_in_its_own_unit() -> None:
    four = "a\n    b\n        c\n"
    two = "a\n  b\n    c\n"
    tabs = "a\n\tb\n\t\tc\n"
    assert complexity.shape(four) == complexity.shape(two) == complexity.shape(tabs)
    assert complexity.shape(four) == complexity.Shape(lines=3, depth=3)


def test_marks_in_a_long_line() -> None:
    started = time.monotonic()
    todos._in_comment("#" * MEGABYTE + " TODO " + " -*/" * MEGABYTE)
    todos._in_prose("#" * MEGABYTE + " TODO: " + " -*/" * MEGABYTE)
    for piece in ["'", '"', "`", "\\", " '\\", '"\\\\', " -", "* "]:
        comments.begins("a.js", (piece * todos._MAX_LINE)[: todos._MAX_LINE])
    assert time.monotonic() - started < 1


def test_brackets_are_counted_to_a_depth() -> None:
    assert guards.is_too_deep(b"[" * 201)
    assert not guards.is_too_deep(b"[]" * 1_000 + b"]" * 500 + b"[" * 200)


def test_hostile_files_do_not_hold_up_lint(repo: Repo) -> None:
    repo.commit({"a.yaml": _fill("["), "b.toml": _fill("a."), "c.xml": _fill("<a>")})
    output = run(lint, repo)
    assert any("2 data files not judged" in note for note in output["notes"])
