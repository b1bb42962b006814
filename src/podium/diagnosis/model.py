"""What a check found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["warning", "failed"]

MOST = 20
"""Findings of one check that are told of one by one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: ``check`` says which check found it, ``code`` names the trouble for
    programs, ``where`` the thing, ``detail`` says what is the matter and ``advice`` what to do."""

    check: str
    code: str
    outcome: Severity
    where: str
    detail: str
    advice: str


def bounded(found: Iterable[Finding]) -> Sequence[Finding]:
    """The first of them, the worst first; the last of these says how many more there are."""
    ordered = sorted(found, key=lambda finding: finding.outcome != "failed")
    if len(ordered) <= MOST:
        return ordered
    kept, left = ordered[: MOST - 1], len(ordered) - MOST + 1
    more = Finding(
        check=kept[0].check,
        code="more",
        outcome="warning",
        where="",
        detail=f"There are {left} more of this kind.",
        advice="Mend those above first.",
    )
    return [*kept, more]


def duration(seconds: float) -> str:
    """A time span as people say it: 45 s, 10 min, 3 h, 2 days."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
