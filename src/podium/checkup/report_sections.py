"""The section of each part in ``report.md``."""

from collections.abc import Callable

from podium.checkup.context import Json, mapping, objects, string, strings, whole
from podium.checkup.markdown import (
    Column,
    code,
    count,
    decimal,
    plain,
    severity,
    share,
    table,
    weight,
    yes,
)

Facts = dict[str, Json]
_BAR = 30
_WORTH_A_ROW = 100_000


def _survey(_summary: Facts, details: Facts) -> list[str]:
    columns = [
        Column("Language", "name", plain),
        Column("Files", "files", count),
        Column("Lines", "lines", count),
        Column("Size", "bytes", weight),
    ]
    return table(objects(details.get("languages")), columns, 12)


def _history(_summary: Facts, details: Facts) -> list[str]:
    spots = [_flat_spot(spot) for spot in objects(details.get("hot_spots")) if spot.get("score")]
    lines = (
        ["### Hot spots", "", "Changed often and hard to change: start here.", ""] if spots else []
    )
    columns = [
        Column("File", "path", code),
        Column("Score", "score", decimal),
        Column("Commits, 12 months", "commits_12_months", count),
        Column("All", "commits", count),
        Column("Lines", "lines", count),
        Column("Hardest function", "function", code),
        Column("Paths through it", "complexity", count),
        Column("Main author", "author", plain),
    ]
    lines += table(spots, columns, 15) if spots else _most_changed(details)
    lines += _months(objects(details.get("months")))
    lines += _people(details)
    return lines


def _most_changed(details: Facts) -> list[str]:
    """What to show where no file has a score."""
    columns = [
        Column("File", "path", code),
        Column("Commits, 12 months", "commits_12_months", count),
        Column("All", "commits", count),
        Column("Authors", "authors", count),
    ]
    rows = table(objects(details.get("most_changed")), columns, 10)
    why = "There are no hot spots, as no code is indented. By commits alone:"
    return ["### Most changed files", "", why, "", *rows] if rows else []


def _flat_spot(spot: Facts) -> Facts:
    function = mapping(spot.get("hardest_function"))
    author = f"{string(spot.get('main_author'))} ({share(spot.get('main_author_share'))})"
    return spot | {
        "function": string(function.get("name")),
        "complexity": function.get("complexity"),
        "author": author,
    }


def _months(months: list[Facts]) -> list[str]:
    """A bar for each of the last 12 months."""
    shown = months[-12:]
    most = max((whole(row.get("commits")) for row in shown), default=0)
    if not most:
        return []
    lines = ["### Activity", "", "```text", "month     commits  authors"]
    for row in shown:
        commits = whole(row.get("commits"))
        bar = "█" * max(round(_BAR * commits / most), 1 if commits else 0)
        numbers = f"{commits:>10,} {whole(row.get('authors')):>8,}"
        lines.append(f"{string(row.get('month'))[:7]:7}{numbers}  {bar}".rstrip())
    return [*lines, "```", ""]


def _people(details: Facts) -> list[str]:
    columns = [
        Column("Author", "name", plain),
        Column("Commits, 12 months", "commits_12_months", count),
        Column("All", "commits", count),
        Column("Share of all", "share", share),
        Column("Last", "last_commit", plain),
    ]
    authors = table(objects(details.get("authors")), columns, 10)
    columns = [
        Column("Directory", "area", code),
        Column("Changes", "changes", count),
        Column("Files", "files", count),
        Column("Authors", "authors", count),
        Column("Main author", "main_author", plain),
        Column("Share", "main_author_share", share),
    ]
    areas = table(objects(details.get("areas")), columns, 10)
    lines = ["### Who", "", *authors] if authors else []
    return lines + (["### Where", "", *areas] if areas else [])


def _lint(_summary: Facts, details: Facts) -> list[str]:
    columns = [
        Column("Tool", "tool", plain),
        Column("Version", "version", plain),
        Column("Files", "files", count),
        Column("Rules", "rules", plain),
    ]
    lines = table(objects(details.get("tools")), columns)
    rules = [_flat_rule(rule) for rule in objects(details.get("rules"))]
    columns = [
        Column("Severity", "severity", severity),
        Column("Rule", "shown", plain),
        Column("Times", "count", count),
        Column("Files", "files", count),
        Column("Example", "place", code),
        Column("Says", "message", plain),
    ]
    if rules:
        lines += ["### Rules", "", *table(rules, columns, 25)]
    columns = [Column("File", "path", code), Column("Issues", "issues", count)]
    worst = table(objects(details.get("worst_files")), columns, 10)
    return lines + (["### Files with most issues", "", *worst] if worst else [])


def _flat_rule(rule: Facts) -> Facts:
    examples = objects(rule.get("examples"))
    first = examples[0] if examples else {}
    name = string(rule.get("name"))
    known = string(rule.get("rule"))
    shown = f"{string(rule.get('tool'))} {known}" + (f" ({name})" if name and name != known else "")
    line = whole(first.get("line"))
    place = f"{string(first.get('path'))}:{line}" if line else string(first.get("path"))
    return rule | {"shown": shown, "place": place, "message": first.get("message")}


def _secrets(_summary: Facts, details: Facts) -> list[str]:
    rows = [
        row | {"place": f"{string(row.get('path'))}:{whole(row.get('line'))}"}
        for row in objects(details.get("secrets"))
    ]
    columns = [
        Column("Severity", "severity", severity),
        Column("Kind", "kind", plain),
        Column("Where", "place", code),
        Column("Characters", "length", count),
        Column("Fingerprint", "fingerprint", code),
    ]
    return table([row for row in rows if row.get("severity") != "info"], columns, 30)


def _dependencies(_summary: Facts, details: Facts) -> list[str]:
    columns = [
        Column("Ecosystem", "ecosystem", plain),
        Column("Manifests", "manifests", count),
        Column("To run", "runtime", count),
        Column("Optional", "optional", count),
        Column("Development", "development", count),
        Column("One version", "exact", count),
        Column("Range", "range", count),
        Column("Any", "any", count),
        Column("From a place", "source", count),
        Column("Set elsewhere", "managed", count),
        Column("Locked", "locked_packages", count),
    ]
    lines = table(objects(details.get("ecosystems")), columns)
    columns = [
        Column("Manifest", "path", code),
        Column("Ecosystem", "ecosystem", plain),
        Column("To run", "runtime", count),
        Column("Optional", "optional", count),
        Column("Development", "development", count),
        Column("Lock file", "lock", code),
    ]
    manifests = table(objects(details.get("manifests")), columns, 20)
    lines += ["### Manifests", "", *manifests] if manifests else []
    differing = [_flat_difference(row) for row in objects(details.get("differing"))]
    columns = [
        Column("Package", "name", code),
        Column("Ecosystem", "ecosystem", plain),
        Column("Versions", "shown", plain),
    ]
    shown = table(differing, columns, 10)
    return lines + (["### One package in several versions", "", *shown] if shown else [])


def _flat_difference(row: Facts) -> Facts:
    versions = objects(row.get("versions"))
    shown = "; ".join(
        f"{string(item.get('spec'))} in {string(item.get('manifest'))}" for item in versions[:3]
    )
    return row | {"shown": shown}


def _todos(_summary: Facts, details: Facts) -> list[str]:
    rows = [
        row | {"place": f"{string(row.get('path'))}:{whole(row.get('line'))}"}
        for row in objects(details.get("todos"))
    ]
    columns = [
        Column("Since", "since", plain),
        Column("Mark", "mark", plain),
        Column("Where", "place", code),
        Column("Author", "author", plain),
        Column("Text", "text", code),
    ]
    lines = ["The oldest first.", "", *table(rows, columns, 25)] if rows else []
    columns = [Column("Directory", "area", code), Column("Marks", "marks", count)]
    areas = objects(details.get("by_area"))
    return lines + (table(areas, columns, 8) if len(areas) > 1 else [])


def _large_files(_summary: Facts, details: Facts) -> list[str]:
    columns = [
        Column("Kind", "kind", plain),
        Column("Files", "files", count),
        Column("Size", "bytes", weight),
    ]
    lines = table(objects(details.get("kinds")), columns)
    columns = [
        Column("File", "path", code),
        Column("Size", "bytes", weight),
        Column("Lines", "lines", count),
        Column("Kind", "kind", plain),
    ]
    for title, key in (("Largest files", "largest"), ("Generated or minified", "generated")):
        found = table(objects(details.get(key)), columns, 10)
        lines += [f"### {title}", "", *found] if found else []
    columns = [
        Column("Path", "path", code),
        Column("Size", "bytes", weight),
    ]
    blobs = objects(details.get("biggest_blobs"))
    gone = [
        row
        for row in blobs
        if not row.get("in_snapshot") and whole(row.get("bytes")) >= _WORTH_A_ROW
    ]
    heavy = table(gone, columns, 10)
    return lines + (["### Biggest objects of the history alone", "", *heavy] if heavy else [])


def _tests(summary: Facts, details: Facts) -> list[str]:
    columns = [
        Column("Language", "language", plain),
        Column("Test files", "test_files", count),
        Column("Tests", "tests", count),
        Column("Skipped", "skipped", count),
    ]
    lines = table(objects(details.get("languages")), columns)
    frameworks = ", ".join(strings(details.get("frameworks"))) or "none recognised"
    commands = [string(row.get("command")) for row in objects(details.get("entry_points"))]
    lines += [f"- Frameworks: {plain(frameworks, 500)}."]
    lines += [f"- Run by: {', '.join(code(command) for command in commands) or 'not found'}."]
    lines += [f"- Coverage configured: {yes(summary.get('coverage_configured'))}.", ""]
    columns = [
        Column("CI", "system", plain),
        Column("Configuration", "path", code),
        Column("Seems to run tests", "runs_tests", yes),
    ]
    return lines + table(objects(details.get("ci")), columns, 12)


SECTIONS: dict[str, Callable[[Facts, Facts], list[str]]] = {
    "survey": _survey,
    "history": _history,
    "lint": _lint,
    "secrets": _secrets,
    "dependencies": _dependencies,
    "todos": _todos,
    "large_files": _large_files,
    "tests": _tests,
}
"""By part: what writes the section of its summary and details."""
