"""``report.md``: the page for people, made of what ``report.json`` holds."""

from podium.checkup.context import Json, mapping, objects, string, strings, whole
from podium.checkup.markdown import Column, code, plain, seconds, severity, table, word
from podium.checkup.report_sections import SECTIONS
from podium.checkup.text import plural

_FIRST = 15
_PER_KIND = 4


def page(report: dict[str, Json]) -> str:
    """The whole page."""
    parts = objects(report.get("parts"))
    lines = _head(report)
    lines += _at_a_glance(parts)
    lines += _look_first(report)
    for part in parts:
        lines += _section(part)
    lines += _could_not_run(report)
    lines += _timings(parts)
    return "\n".join(lines).rstrip() + "\n"


def _head(report: dict[str, Json]) -> list[str]:
    repository = mapping(report.get("repository"))
    name = string(repository.get("name")) or string(repository.get("path"), "a repository")
    facts: list[str] = []
    branch = repository.get("branch")
    where = f" on {code(branch)}" if branch else ""
    if head := string(repository.get("head")):
        facts.append(f"commit {code(head[:12])}{where}")
    elif where:
        facts.append(f"no commit yet{where}")
    if last := repository.get("last_commit"):
        facts.append(f"last changed {plain(last)}")
    facts.append(f"looked at on {plain(report.get('generated_at'))}")
    facts += [
        f"from {code(remote.get('url'))}" for remote in objects(repository.get("remotes"))[:1]
    ]
    lines = [f"# Checkup of {plain(name)}", "", _sentence("; ".join(facts)), ""]
    return lines + _outcome(report)


def _sentence(text: str) -> str:
    ended = text.removesuffix(".")
    return f"{ended[:1].upper()}{ended[1:]}."


def _outcome(report: dict[str, Json]) -> list[str]:
    match string(mapping(report.get("summary")).get("outcome")):
        case "partial":
            return ["**Not every part could do its work; see below.**", ""]
        case "failed":
            return ["**The repository could not be surveyed, so there is little to report.**", ""]
        case _:
            return []


def _at_a_glance(parts: list[dict[str, Json]]) -> list[str]:
    rows = [{"title": part["title"], "found": part["headline"] or _why_not(part)} for part in parts]
    columns = [Column("Part", "title", plain), Column("What it found", "found", plain)]
    return ["## At a glance", "", *table(rows, columns)]


def _why_not(part: dict[str, Json]) -> str:
    error = mapping(part.get("error"))
    return f"{word(part.get('state'))}: {string(error.get('message'), 'no result')}"


def _look_first(report: dict[str, Json]) -> list[str]:
    grave = _gravest(report, {"high", "medium"}) or [_nothing_grave(report), ""]
    slight = _gravest(report, {"low"})
    return [
        "## Look at these first",
        "",
        *grave,
        *(["## Worth knowing", ""] if slight else []),
        *slight,
    ]


def _nothing_grave(report: dict[str, Json]) -> str:
    match string(mapping(report.get("summary")).get("outcome")):
        case "failed":
            return "Nothing was looked at."
        case "partial":
            return "The parts that finished found nothing grave."
        case _:
            return "Nothing grave was found."


def _gravest(report: dict[str, Json], severities: set[str]) -> list[str]:
    """The first findings of these severities, not more than a few of one kind."""
    chosen: list[dict[str, Json]] = []
    kinds: dict[str, int] = {}
    left_out = 0
    for finding in objects(report.get("findings")):
        if finding.get("severity") not in severities:
            continue
        kind = string(finding.get("kind"))
        kinds[kind] = kinds.get(kind, 0) + 1
        if kinds[kind] > _PER_KIND or len(chosen) >= _FIRST:
            left_out += 1
        else:
            chosen.append(finding | {"place": _place(finding)})
    columns = [
        Column("Severity", "severity", severity),
        Column("What", "title", plain),
        Column("Where", "place", code),
        Column("More", "detail", plain),
    ]
    lines = table(chosen, columns)
    if left_out:
        which = "this severity" if len(severities) == 1 else "these severities"
        lines += [f"{plural(left_out, 'more finding')} of {which} in report.json.", ""]
    return lines


def _place(finding: dict[str, Json]) -> str:
    path, line = string(finding.get("path")), whole(finding.get("line"))
    return f"{path}:{line}" if path and line else path


def _section(part: dict[str, Json]) -> list[str]:
    lines = [f"## {plain(part['title'])}", ""]
    if part["state"] != "succeeded":
        error = mapping(part.get("error"))
        lines += [f"This part did not finish. {_sentence(plain(_why_not(part), 500))}", ""]
        if hint := string(error.get("hint")):
            lines += [f"What to do: {plain(hint, 500)}.", ""]
        return lines
    write = SECTIONS.get(string(part["part"]))
    body = write(mapping(part.get("summary")), mapping(part.get("details"))) if write else []
    headline = string(part.get("headline"))
    lines += [_sentence(headline), ""] if headline else []
    lines += body
    notes = strings(part.get("notes"))
    return lines + [f"- {plain(note, 500)}" for note in notes] + ([""] if notes else [])


def _could_not_run(report: dict[str, Json]) -> list[str]:
    missing = objects(report.get("could_not_run"))
    cuts = objects(report.get("truncated"))
    lines: list[str] = []
    if missing:
        columns = [
            Column("Check", "tool", plain),
            Column("Part", "part", word),
            Column("Why not", "why", plain),
            Column("How to get it", "how_to_get", plain),
        ]
        lines += ["## What could not run", "", *table(missing, columns)]
    if cuts:
        columns = [
            Column("Part", "part", word),
            Column("What was left out", "what", plain),
            Column("Limit", "limit", plain),
        ]
        lines += ["## Limits that were reached", "", *table(cuts, columns)]
    return lines


def _timings(parts: list[dict[str, Json]]) -> list[str]:
    timed = [part for part in parts if part.get("run_seconds") is not None]
    if not timed:
        return []
    columns = [
        Column("Part", "title", plain),
        Column("Ended", "state", word),
        Column("Waited", "queued_seconds", seconds),
        Column("Ran", "run_seconds", seconds),
    ]
    return ["## Timings", "", *table(timed, columns)]
