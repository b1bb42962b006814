"""Collecting what linters find, by rule and by file."""

from collections import Counter
from dataclasses import dataclass, field

from podium.checkup import languages
from podium.checkup.context import Json
from podium.checkup.detectors import redact
from podium.checkup.output import SEVERITIES, Finding, Missing, Output, Severity
from podium.checkup.text import display, plural, shorten

_EXAMPLES = 3
_RULES = 100
_FILES = 25
_MESSAGE = 200


@dataclass(slots=True)
class _Rule:
    count: int = 0
    url: str | None = None
    name: str | None = None
    files: set[str] = field(default_factory=set[str])
    examples: list[dict[str, Json]] = field(default_factory=list[dict[str, Json]])


@dataclass(slots=True)
class Issues:
    """Issues by (tool, rule, severity). Messages are shown for a few examples of each only."""

    rules: dict[tuple[str, str, Severity], _Rule] = field(
        default_factory=dict[tuple[str, str, Severity], _Rule]
    )
    files: Counter[str] = field(default_factory=Counter[str])
    tools: dict[str, dict[str, Json]] = field(default_factory=dict[str, dict[str, Json]])
    missing: list[Missing] = field(default_factory=list[Missing])
    notes: list[str] = field(default_factory=list[str])
    cuts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def add(
        self,
        tool: str,
        rule: str,
        severity: Severity,
        path: str,
        line: int,
        message: str,
        *,
        name: str | None = None,
        url: str | None = None,
    ) -> None:
        """Count one issue. Data that is wrong inside tests is mostly meant to be so."""
        if severity == "high" and languages.is_test(path):
            severity = "info"
        known = self.rules.setdefault((tool, rule, severity), _Rule(url=url, name=name))
        known.count += 1
        known.files.add(path)
        self.files[path] += 1
        if len(known.examples) < _EXAMPLES:
            shown = shorten(redact(message.strip()), _MESSAGE)
            known.examples.append({"path": display(path), "line": line, "message": shown})

    def ran(self, tool: str, files: int, version: str | None = None, **facts: Json) -> None:
        """Say that a tool ran, over how many files."""
        self.tools[tool] = {"tool": tool, "version": version, "files": files, **facts}

    def describe(self, output: Output) -> None:
        """Fill in a part's output."""
        ranked = sorted(
            self.rules.items(),
            key=lambda item: (SEVERITIES.index(item[0][2]), -item[1].count, item[0]),
        )
        counts: Counter[str] = Counter()
        for (tool, _, severity), rule in ranked:
            counts[severity] += rule.count
            self.tools.setdefault(tool, {"tool": tool})
        output.summary = {
            "issues": sum(counts.values()),
            **{severity: counts[severity] for severity in SEVERITIES},
            "rules": len(ranked),
            "files_with_issues": len(self.files),
            "tools": len(self.tools),
        }
        output.details["tools"] = [dict(facts) for facts in self.tools.values()]
        output.details["rules"] = [_row(key, rule) for key, rule in ranked[:_RULES]]
        output.details["worst_files"] = [
            {"path": display(path), "issues": count}
            for path, count in self.files.most_common(_FILES)
        ]
        output.findings += [_finding(key, rule) for key, rule in ranked if key[2] != "info"][
            :_RULES
        ]
        output.could_not_run += self.missing
        output.notes += self.notes
        for what, limit in self.cuts:
            output.cut(what, limit)
        if len(ranked) > _RULES:
            output.cut("rules", f"{_RULES} of {len(ranked)} are listed")


def _row(key: tuple[str, str, Severity], rule: _Rule) -> Json:
    tool, name, severity = key
    return {
        "tool": tool,
        "rule": name,
        "name": rule.name,
        "severity": severity,
        "count": rule.count,
        "files": len(rule.files),
        "url": rule.url,
        "examples": list(rule.examples),
    }


def _finding(key: tuple[str, str, Severity], rule: _Rule) -> Finding:
    tool, name, severity = key
    first = rule.examples[0]
    title = f"{tool} {name}" + (f" ({rule.name})" if rule.name and rule.name != name else "")
    return {
        "severity": severity,
        "kind": "lint",
        "title": f"{title}: {plural(rule.count, 'time')} in {plural(len(rule.files), 'file')}",
        "path": str(first["path"]),
        "line": int(str(first["line"])),
        "detail": str(first["message"]),
        "count": rule.count,
    }
