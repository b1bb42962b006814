"""One line that says what a part came to."""

from podium.checkup.context import Json, number, string, whole
from podium.checkup.text import plural, size

Summary = dict[str, Json]


def headline(part: str, summary: Summary) -> str:
    """For example ``1,204 commits, 312 of them in 12 months, by 9 authors``."""
    write = _WRITERS.get(part)
    return write(summary) if write else ""


def _count(summary: Summary, key: str) -> int:
    return whole(summary.get(key))


def _survey(summary: Summary) -> str:
    missing = _count(summary, "missing_files")
    return (
        f"{plural(_count(summary, 'files'), 'file')}"
        f"{f' ({missing:,} of them without content)' if missing else ''}, "
        f"{plural(_count(summary, 'code_lines'), 'line')} of code, "
        f"{plural(_count(summary, 'commits'), 'commit')}"
    )


def _history(summary: Summary) -> str:
    if not _count(summary, "commits"):
        return "no commits"
    return (
        f"{plural(_count(summary, 'commits'), 'commit')}, "
        f"{_count(summary, 'commits_12_months'):,} in the last 12 months "
        f"by {plural(_count(summary, 'authors_12_months'), 'author')}; "
        f"bus factor {_count(summary, 'bus_factor_12_months')}"
    )


def _lint(summary: Summary) -> str:
    tools = plural(_count(summary, "tools"), "tool")
    if not _count(summary, "tools"):
        return "nothing to check"
    if not _count(summary, "issues"):
        return f"nothing found by {tools}"
    return (
        f"{plural(_count(summary, 'issues'), 'issue')} "
        f"({_count(summary, 'high'):,} high, {_count(summary, 'medium'):,} medium) "
        f"in {plural(_count(summary, 'files_with_issues'), 'file')}, by {tools}"
    )


def _secrets(summary: Summary) -> str:
    found = _count(summary, "possible_secrets") - _count(summary, "in_tests_or_documents")
    aside = _count(summary, "in_tests_or_documents")
    high = _count(summary, "high")
    grave = f", {high:,} of them high" if high else ""
    beside = f"; {plural(aside, 'weak guess', 'weak guesses')} in tests or documents"
    shown = plural(found, "possible secret") if found else "no possible secrets"
    return f"{shown}{grave}{beside if aside else ''}"


def _dependencies(summary: Summary) -> str:
    if not _count(summary, "manifests"):
        return "no manifests"
    direct = plural(_count(summary, "runtime"), "direct dependency", "direct dependencies")
    others = {"optional": "optional", "development": "for development"}
    more = [f"{_count(summary, key):,} {told}" for key, told in others.items() if summary.get(key)]
    beside = f" (and {', '.join(more)})" if more else ""
    return (
        f"{direct}{beside} in {plural(_count(summary, 'ecosystems'), 'ecosystem')}, "
        f"{_count(summary, 'any'):,} of any version; "
        f"{plural(_count(summary, 'lock_files'), 'lock file')}"
    )


def _todos(summary: Summary) -> str:
    if not _count(summary, "marks"):
        return "none"
    return (
        f"{plural(_count(summary, 'marks'), 'mark')} in "
        f"{plural(_count(summary, 'files'), 'file')}, "
        f"{_count(summary, 'older_than_a_year'):,} older than a year; "
        f"the oldest of {string(summary.get('oldest'), 'an unknown day')}"
    )


def _large_files(summary: Summary) -> str:
    return (
        f"{size(number(summary.get('bytes'), 0))} tracked, "
        f"{size(number(summary.get('object_bytes_on_disk'), 0))} of history; "
        f"{plural(_count(summary, 'large_files'), 'large file')}, "
        f"{_count(summary, 'generated_or_minified'):,} generated, "
        f"{_count(summary, 'vendored_files'):,} vendored"
    )


def _tests(summary: Summary) -> str:
    if not _count(summary, "tests"):
        return "no tests found"
    ratio = summary.get("test_to_source")
    beside = "" if ratio is None else f", {number(ratio, 0):.2f} lines of test for a line of code"
    ci = "CI configured" if summary.get("ci") else "no CI"
    return (
        f"{plural(_count(summary, 'tests'), 'test')} in "
        f"{plural(_count(summary, 'test_files'), 'file')}{beside}; {ci}"
    )


_WRITERS = {
    "survey": _survey,
    "history": _history,
    "lint": _lint,
    "secrets": _secrets,
    "dependencies": _dependencies,
    "todos": _todos,
    "large_files": _large_files,
    "tests": _tests,
}
