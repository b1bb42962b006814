"""The pages of the documentation, their blocks and their headings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"))
)
_FENCE = re.compile(r"^ *(`{3,}|~{3,})(.*)$")


class Block(NamedTuple):
    """A fenced block: where it begins, its language, what else its fence says, its text."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> Iterator[Block]:
    lines = iter(enumerate((ROOT / page).read_text().splitlines(), 1))
    for number, line in lines:
        if not (fence := _FENCE.match(line)):
            continue
        language, _, rest = fence[2].strip().partition(" ")
        title = re.search(r'title="(.*?)"', rest)
        text: list[str] = []
        for _, inner in lines:
            if inner.strip() == fence[1]:
                break
            text.append(inner)
        else:
            raise AssertionError(f"{page}:{number}: the block has no end")
        yield Block(page, number, language, title[1] if title else "", "\n".join(text) + "\n")


def prose(page: str) -> str:
    """A page without its blocks and code."""
    kept: list[str] = []
    inside = ""
    for line in (ROOT / page).read_text().splitlines():
        fence = _FENCE.match(line)
        if fence and not inside:
            inside = fence[1]
        elif inside:
            inside = "" if line.strip() == inside else inside
        else:
            kept.append(re.sub(r"`[^`]*`", "", line))
    return "\n".join(kept)


def anchors(page: str) -> set[str]:
    """The names by which links reach the headings of a page."""
    headings = re.findall(r"^#{1,6} +(.*?) *$", _without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in headings}


def _without_blocks(page: str) -> str:
    return re.sub(
        r"^ *(`{3,}).*?^ *\1 *$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL
    )
