"""tests: which tests there are, in any language, what runs them, and whether CI does."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field

from podium.checkup import languages
from podium.checkup.context import Context, Json, number
from podium.checkup.families import CI, COVERAGE, FAMILIES, FRAMEWORKS, Family
from podium.checkup.manifests.registry import reader_of
from podium.checkup.output import Output
from podium.checkup.part import Deadline, begin
from podium.checkup.repository import Entry, Reader, Repository, Tree
from podium.checkup.text import display, plural

_MAX_CONFIG = 500_000
_MAX_CONFIGS = 500
_MAX_CI = 50
_FILES = [COVERAGE, *(framework.file for framework in FRAMEWORKS if framework.file)]
_ANY_FILE = re.compile("|".join(f"(?:{file.pattern})" for file in _FILES))
_ANY_CI = re.compile("|".join(CI.values()))
_RUNS_TESTS = re.compile(
    rb"\b(pytest|tox|nox|vitest|jest|ctest|rspec|phpunit|bats|nextest|tests?|testing|verify)\b"
    rb"|(gradlew?|make|just|task|rake|mvn\w?|sbt|bazel|dotnet|cargo|npm|yarn|pnpm)\b.{0,99}\b(check|build)\b",
    re.IGNORECASE,
)
_ENTRY = {
    "make test": (r"(GNUm|M|m)akefile", rb"^(test|check)s?:"),
    "npm test": (r"package\.json", rb'"test"\s*:'),
    "just test": (r"[Jj]ustfile", rb"^test\b.*:"),
    "tox": (r"tox\.(ini|toml)", rb""),
    "nox": (r"noxfile\.py", rb""),
    "composer test": (r"composer\.json", rb'"test"\s*:'),
    "rake": (r"Rakefile", rb""),
}


@dataclass(slots=True)
class _Counted:
    """Tests of one family, by file."""

    family: Family
    tests: Counter[str] = field(default_factory=Counter[str])
    skipped: Counter[str] = field(default_factory=Counter[str])
    focused: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])


def run(input: object, ctx: Context) -> dict[str, Json]:  # noqa: A002 - the protocol's name
    """Find tests by how they are written; nothing is run.

    ``input``: ``repo``, ``head``, ``seconds`` (default 60). ``details``: ``languages``
    (``language``, ``test_files``, ``tests``, ``skipped``), ``frameworks``, ``ci`` (``system``,
    ``path``, ``runs_tests``), ``entry_points``, ``largest_test_files``.
    """
    repository, options = begin(input, ctx)
    deadline = Deadline(number(options.get("seconds"), 60))
    output = Output()
    ctx.progress(0.05, "listing the files")
    tree = repository.tree()
    counted = _count(repository, tree, deadline, ctx, output)
    ctx.progress(0.7, "comparing tests with the code")
    _ratio(repository, tree, deadline, output)
    with repository.reader() as reader:
        ctx.progress(0.85, "reading configurations")
        _configuration(tree, reader, output)
    _describe(counted, output)
    _judge(counted, output)
    ctx.progress(1.0, f"{plural(sum(c.tests.total() for c in counted), 'test')} found")
    return output.as_json()


def _count(
    repository: Repository, tree: Tree, deadline: Deadline, ctx: Context, output: Output
) -> list[_Counted]:
    extensions = {languages.extension(entry.path) for entry in tree.files}
    present = [family for family in FAMILIES if extensions & {e.lower() for e in family.extensions}]
    found: list[_Counted] = []
    for place, family in enumerate(present):
        ctx.progress(0.1 + 0.6 * place / len(present), f"looking for tests in {family.name}")
        if deadline.passed:
            output.cut("test discovery", f"time ran out before {family.name}")
            break
        counted = _Counted(family)
        for path, count in _grep_counts(repository, family, family.tests, deadline).items():
            counted.tests[path] = count
        if counted.tests and family.skipped:
            counted.skipped.update(_grep_counts(repository, family, family.skipped, deadline))
        if counted.tests and family.focused:
            counted.focused = _focused(repository, family, deadline)
        if counted.tests:
            found.append(counted)
    return found


def _belongs(family: Family, path: str) -> bool:
    return not languages.is_vendored(path) and (
        family.named is None or bool(family.named.search(path))
    )


def _grep_counts(
    repository: Repository, family: Family, pattern: str, deadline: Deadline
) -> dict[str, int]:
    results = repository.grep(
        "-c", "-E", "-e", pattern, paths=family.paths, seconds=deadline.left()
    )
    counts = {os.fsdecode(path): int(count) for path, count in results}
    return {path: count for path, count in counts.items() if _belongs(family, path)}


def _focused(repository: Repository, family: Family, deadline: Deadline) -> list[tuple[str, int]]:
    results = repository.grep(
        "-n", "-E", "-e", family.focused, fields=3, paths=family.paths, seconds=deadline.left()
    )
    places = [(os.fsdecode(path), int(line)) for path, line, _ in results]
    return [(path, line) for path, line in places if _belongs(family, path)]


def _ratio(repository: Repository, tree: Tree, deadline: Deadline, output: Output) -> None:
    lines, complete = repository.line_counts(seconds=deadline.left())
    if not complete:
        output.cut("line counts", f"time ran out after {deadline.seconds:g} s")
    source = tests = test_files = 0
    for path in repository.code(tree):
        if languages.is_test(path):
            tests += lines.get(path, 0)
            test_files += 1
        else:
            source += lines.get(path, 0)
    output.summary["source_lines"] = source
    output.summary["test_lines"] = tests
    output.summary["test_code_files"] = test_files
    output.summary["test_to_source"] = round(tests / source, 2) if source else None


def _configuration(tree: Tree, reader: Reader, output: Output) -> None:
    """Frameworks, CI systems, the ways to run the tests, and coverage."""
    configs = [
        entry
        for entry in tree.files
        if entry.size <= _MAX_CONFIG
        and not languages.is_vendored(entry.path)
        and reader_of(entry.path)
    ]
    manifests = [reader.read(entry) for entry in configs[:_MAX_CONFIGS]]
    names = [
        name for entry in tree.files if _ANY_FILE.fullmatch(name := entry.path.rpartition("/")[2])
    ]
    output.details["frameworks"] = [
        framework.name
        for framework in FRAMEWORKS
        if (framework.file and any(framework.file.fullmatch(name) for name in names))
        or (framework.word and any(framework.word.search(content) for content in manifests))
    ]
    output.details["ci"] = _ci(tree, reader)
    output.details["entry_points"] = _entry_points(tree, reader)
    covered = any(COVERAGE.fullmatch(name) for name in names)
    marks = (b"[tool.coverage", b"coverageThreshold", b"jacoco", b"simplecov", b"coverlet")
    output.summary["coverage_configured"] = covered or any(
        mark in content for mark in marks for content in manifests
    )


def _ci(tree: Tree, reader: Reader) -> list[Json]:
    found: list[Json] = []
    for entry in tree.files:
        if not _ANY_CI.fullmatch(entry.path) or entry.size > _MAX_CONFIG or len(found) >= _MAX_CI:
            continue
        system = next(name for name, pattern in CI.items() if re.fullmatch(pattern, entry.path))
        runs = bool(_RUNS_TESTS.search(reader.read(entry)))
        found.append({"system": system, "path": display(entry.path), "runs_tests": runs})
    return found


def _entry_points(tree: Tree, reader: Reader) -> list[Json]:
    top: dict[str, Entry] = {e.path: e for e in tree.files if "/" not in e.path}
    found: list[Json] = []
    for command, (name, target) in _ENTRY.items():
        for path, entry in top.items():
            if re.fullmatch(name, path) and re.search(target, reader.read(entry), re.MULTILINE):
                found.append({"command": command, "path": display(path)})
                break
    return found


def _describe(counted: list[_Counted], output: Output) -> None:
    every = Counter[str]()
    for item in counted:
        every.update(item.tests)
    skipped = sum(item.skipped.total() for item in counted)
    ci = output.details["ci"]
    output.summary = {
        "tests": every.total(),
        "test_files": len(every),
        "skipped": skipped,
        "focused": sum(len(item.focused) for item in counted),
        **output.summary,
        "ci": bool(ci),
    }
    output.details["languages"] = [
        {
            "language": item.family.name,
            "test_files": len(item.tests),
            "tests": item.tests.total(),
            "skipped": item.skipped.total(),
        }
        for item in sorted(counted, key=lambda item: -item.tests.total())
    ]
    output.details["largest_test_files"] = [
        {"path": display(path), "tests": count} for path, count in every.most_common(10)
    ]
    output.notes.append(
        "Tests are counted by how they are written; parametrised ones count once. Nothing was run."
    )


def _judge(counted: list[_Counted], output: Output) -> None:
    source = int(str(output.summary["source_lines"]))
    tests = int(str(output.summary["tests"]))
    if not tests and source >= 200:
        detail = f"{plural(source, 'line')} of code without a test that was recognised"
        output.findings.append(
            {"severity": "high", "kind": "no_tests", "title": "No tests", "detail": detail}
        )
    ratio = output.summary["test_to_source"]
    if tests and isinstance(ratio, float) and ratio < 0.1 and source >= 1_000:
        output.findings.append(
            {
                "severity": "medium",
                "kind": "few_tests",
                "title": f"Few tests: {ratio:.2f} lines of test for a line of code",
            }
        )
    _judge_left_out(counted, output)
    _judge_ci(output, tests, source)


def _judge_left_out(counted: list[_Counted], output: Output) -> None:
    """Tests that do not run: beside a focused one, or skipped."""
    for item in counted:
        for path, line in item.focused[:5]:
            output.findings.append(
                {
                    "severity": "high",
                    "kind": "focused_test",
                    "title": "A focused test: the others of its file do not run",
                    "path": display(path),
                    "line": line,
                }
            )
    skipped = int(str(output.summary["skipped"]))
    if skipped:
        where = Counter[str]()
        for item in counted:
            where.update(item.skipped)
        path, count = where.most_common(1)[0]
        output.findings.append(
            {
                "severity": "low",
                "kind": "skipped_tests",
                "title": f"{plural(skipped, 'place')} where tests are skipped",
                "path": display(path),
                "detail": f"{count} of them in this file",
                "count": skipped,
            }
        )


def _judge_ci(output: Output, tests: int, source: int) -> None:
    ci = output.details["ci"]
    systems = ci if isinstance(ci, list) else []
    if not systems and source >= 200:
        output.findings.append(
            {"severity": "medium", "kind": "no_ci", "title": "No continuous integration was found"}
        )
    elif tests and not any(isinstance(item, dict) and item["runs_tests"] for item in systems):
        output.findings.append(
            {
                "severity": "medium",
                "kind": "ci_without_tests",
                "title": "No configuration of the continuous integration seems to run the tests",
            }
        )
