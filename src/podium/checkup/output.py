"""What a part hands back, in one shape for all parts."""

import json
from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict, cast

from podium.checkup.context import Json
from podium.checkup.text import clean, shorten

OUTPUT_LIMIT = 200_000
"""The most bytes that a part's output has as JSON."""

_TEXT_LIMIT = 2_000

Severity = Literal["high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low", "info")


class Finding(TypedDict):
    """Something that a person should look at. ``kind`` is a stable word."""

    severity: Severity
    kind: str
    title: str
    path: NotRequired[str]
    line: NotRequired[int]
    detail: NotRequired[str]
    count: NotRequired[int]


class Missing(TypedDict):
    """A check that could not run: what, why, and how to get it."""

    tool: str
    why: str
    how_to_get: str


class Cut(TypedDict):
    """Something that was left out because a limit was reached."""

    what: str
    limit: str


def findings_of() -> list[Finding]:
    """An empty list of findings, typed."""
    return []


@dataclass(slots=True)
class Output:
    """Collects a part's results.

    ``summary`` holds a few numbers, ``details`` the tables of the part (documented per part),
    ``findings`` what to look at, most severe first once it is handed back.
    """

    summary: dict[str, Json] = field(default_factory=dict[str, Json])
    details: dict[str, Json] = field(default_factory=dict[str, Json])
    findings: list[Finding] = field(default_factory=findings_of)
    notes: list[str] = field(default_factory=list[str])
    could_not_run: list[Missing] = field(default_factory=list[Missing])
    truncated: list[Cut] = field(default_factory=list[Cut])

    def cut(self, what: str, limit: str) -> None:
        """Say that a limit was reached."""
        self.truncated.append({"what": what, "limit": limit})

    def as_json(self) -> dict[str, Json]:
        """The output as JSON of at most ``OUTPUT_LIMIT`` bytes, safe for any consumer."""
        self.findings.sort(key=lambda finding: SEVERITIES.index(finding["severity"]))
        whole = {
            "summary": self.summary,
            "findings": self.findings,
            "details": self.details,
            "notes": self.notes,
            "could_not_run": self.could_not_run,
            "truncated": self.truncated,
        }
        return _bounded(cast("dict[str, Json]", _safe(cast("Json", whole))))


def _safe(value: Json) -> Json:
    if isinstance(value, str):
        return shorten(clean(value), _TEXT_LIMIT)
    if isinstance(value, list):
        return [_safe(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): _safe(item) for key, item in value.items()}
    return value


def _bounded(output: dict[str, Json]) -> dict[str, Json]:
    """Halve the largest list until the whole fits, and say which lists were shortened."""
    shortened: dict[str, int] = {}
    while len(json.dumps(output, ensure_ascii=False).encode()) > OUTPUT_LIMIT - 2_000:
        lists = dict(_lists(output, ""))
        if not lists:
            break
        name = max(lists, key=lambda key: len(json.dumps(lists[key])))
        shortened.setdefault(name, len(lists[name]))
        del lists[name][len(lists[name]) // 2 :]
    cuts = cast("list[Json]", output["truncated"])
    for name, count in shortened.items():
        limit = f"{count:,} entries made the output larger than {OUTPUT_LIMIT:,} bytes"
        cuts.append({"what": f"the list {name}", "limit": limit})
    return output


def _lists(value: Json, name: str) -> list[tuple[str, list[Json]]]:
    if isinstance(value, list):
        return [(name, value)] if value else []
    if isinstance(value, dict):
        return [
            found
            for key, item in value.items()
            for found in _lists(item, f"{name}.{key}" if name else key)
        ]
    return []
