"""report: gathers what the parts found and writes it for people and for programs."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import cast

from podium.checkup.context import (
    CheckupError,
    Context,
    Json,
    field,
    mapping,
    number,
    objects,
    string,
    strings,
)
from podium.checkup.earlier import report_in
from podium.checkup.graph import PARTS, SURVEY
from podium.checkup.headlines import headline
from podium.checkup.output import SEVERITIES
from podium.checkup.paths import path_of, path_text
from podium.checkup.report_page import page
from podium.checkup.text import clean

VERSION = 1
"""The version of ``report.json``; it grows when a field changes its meaning or goes."""

_RANK = {severity: place for place, severity in enumerate(SEVERITIES)}


def run(input: object, ctx: Context) -> dict[str, Json]:  # noqa: A002 - the protocol's name
    """Write ``report.md`` and ``report.json`` into ``input["out"]`` and keep both as artifacts.

    ``input``: ``out`` (absolute path), ``parts`` (refs that were asked for). Parts that failed
    or were cancelled are reported as such. Returns ``summary`` (``outcome``, counts of findings
    by severity), ``parts`` (a row each), ``report_md``, ``report_json``, ``findings_total``.
    Raises ``CheckupError`` (``out_missing``, ``report_not_written``).
    """
    given = mapping(input)
    out = string(given.get("out"))
    if not out:
        raise CheckupError("invalid_input", "out_missing", "the input names no directory 'out'")
    ctx.progress(0.1, "gathering what the parts found")
    report = compose(given, ctx.dependencies)
    ctx.progress(0.5, "writing the report")
    directory = path_of(out)
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    written = _write(directory, {"report.json": text, "report.md": page(report)})
    for path in written:
        ctx.artifact(path.name, path)
    ctx.progress(1.0, "report written")
    return {
        "summary": report["summary"],
        "parts": [_short(row) for row in objects(report["parts"])],
        "report_md": path_text(str(directory / "report.md")),
        "report_json": path_text(str(directory / "report.json")),
        "findings_total": len(objects(report["findings"])),
    }


def compose(given: Mapping[str, Json], dependencies: Mapping[str, object]) -> dict[str, Json]:
    """The content of ``report.json``; see ``report.schema.json``."""
    asked = given.get("parts")
    wanted = [part.ref for part in PARTS] if asked is None else strings(asked)
    known = [SURVEY, *(part for part in PARTS if part.ref in wanted)]
    parts = [_part(part.ref, part.title, dependencies.get(part.ref)) for part in known]
    findings = _gathered(parts, "findings")
    findings.sort(key=lambda finding: _RANK.get(string(finding.get("severity")), len(_RANK)))
    missing = [*_gathered(parts, "could_not_run"), *_left_out(wanted)]
    cuts = _gathered(parts, "truncated")
    details = mapping(parts[0].get("details"))
    severities = Counter(string(finding.get("severity")) for finding in findings)
    return {
        "version": VERSION,
        "generator": {"name": "podium checkup", "version": metadata.version("podium")},
        "generated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "repository": mapping(details.get("repository")) or {"path": _path(given)},
        "summary": {
            "outcome": _outcome(parts),
            "findings": len(findings),
            **{severity: severities[severity] for severity in SEVERITIES},
            "could_not_run": len(missing),
        },
        "parts": cast("list[Json]", parts),
        "findings": cast("list[Json]", findings),
        "could_not_run": cast("list[Json]", missing),
        "truncated": cast("list[Json]", cuts),
    }


def _path(given: Mapping[str, Json]) -> str:
    return clean(str(path_of(string(given.get("repo")))))


def _gathered(parts: list[dict[str, Json]], key: str) -> list[dict[str, Json]]:
    """Take a list out of every part: the report has it once, for all of them."""
    return [{"part": part["part"], **row} for part in parts for row in objects(part.pop(key, None))]


def _left_out(wanted: list[str]) -> list[dict[str, Json]]:
    """Rows for the parts that nobody asked for: a report must not look as if they found nothing."""
    return [
        {
            "part": part.ref,
            "tool": part.title,
            "why": "It was left out on request.",
            "how_to_get": f"Ask for the checkup without skipping {part.ref}.",
        }
        for part in PARTS
        if part.ref not in wanted
    ]


def _part(ref: str, title: str, dependency: object) -> dict[str, Json]:
    state = string(field(dependency, "state")) or "missing"
    output = mapping(field(dependency, "output"))
    summary = mapping(output.get("summary"))
    return {
        "part": ref,
        "title": title,
        "state": state,
        "headline": headline(ref, summary) if state == "succeeded" else None,
        "error": _error(field(dependency, "error")),
        "queued_seconds": _seconds(field(dependency, "queued_seconds")),
        "run_seconds": _seconds(field(dependency, "run_seconds")),
        "summary": summary,
        "details": mapping(output.get("details")),
        "notes": cast("list[Json]", strings(output.get("notes"))),
        "findings": output.get("findings", []),
        "could_not_run": output.get("could_not_run", []),
        "truncated": output.get("truncated", []),
    }


def _error(error: object) -> Json:
    if not isinstance(error, Mapping):
        return None
    known = cast("Mapping[str, Json]", error)
    return {
        name: clean(string(known.get(name)))
        for name in ("class", "code", "message", "hint")
        if known.get(name)
    }


def _seconds(value: object) -> Json:
    return None if value is None else round(number(value, 0.0), 3)


def _outcome(parts: list[dict[str, Json]]) -> str:
    """``complete``, ``partial`` when a part is missing, ``failed`` when the survey is."""
    if parts[0]["state"] != "succeeded":
        return "failed"
    return "complete" if all(part["state"] == "succeeded" for part in parts) else "partial"


def _short(part: dict[str, Json]) -> Json:
    keys = ("part", "title", "state", "headline", "error", "queued_seconds", "run_seconds")
    return {key: part[key] for key in keys}


def _write(directory: Path, files: Mapping[str, str]) -> list[Path]:
    """Write the files, each at once: a reader never sees half of one."""
    report_in(directory)  # what no checkup wrote is nothing to replace
    written: list[Path] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not any(directory.iterdir()):
            # The report is no part of the repository it may lie in. A directory that holds
            # anything is left as it is: git ignores all that lies beside this file.
            (directory / ".gitignore").write_text("*\n", encoding="utf-8")
        for name, text in files.items():
            target = directory / name
            draft = directory / f".{name}.{os.getpid()}"
            draft.write_text(text, encoding="utf-8")
            draft.replace(target)
            written.append(target)
    except OSError as error:
        refused = isinstance(error, PermissionError)
        raise CheckupError(
            "permission" if refused else "resource",
            "report_not_written",
            f"The report cannot be written to {clean(str(directory))}: {error.strerror}.",
            hint="Create the directory first, or choose another one with --out.",
        ) from error
    return written
