"""Each advisory lock has a number of its own, which the architecture's page tells."""

import re
from collections import defaultdict
from pathlib import Path

import podium

_TAKEN = re.compile(r"pg_advisory_xact_lock(?:_shared)?\(1886348393, (\d+)\)")
_SOURCES = Path(podium.__file__).parent
_PAGE = _SOURCES.parents[1] / "docs" / "architecture.md"

_OF_TWO = {"8": {"projects/store.py", "scheduler/sql/3_submit.sql"}}
"""Submits share it, and whoever deletes a project holds it alone."""


def test_no_two_locks_share_a_number() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in [*_SOURCES.rglob("*.py"), *_SOURCES.rglob("*.sql")]:
        for number in _TAKEN.findall(path.read_text()):
            homes[number].add(str(path.relative_to(_SOURCES)))
    assert len(homes) >= 8
    assert {number: files for number, files in homes.items() if len(files) > 1} == _OF_TWO
    paragraph = _PAGE.read_text().partition("**Advisory locks**")[2].partition("\n\n")[0]
    assert set(re.findall(r"\b(\d) [a-z]", paragraph)) == set(homes)
