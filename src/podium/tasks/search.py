"""Finding tasks by their words: what one may write, and the way through the parts.

The words of tasks are parted and marked by ``sql/search.sql``, and so are those of a search here.
"""

import re
from collections.abc import Iterable, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.errors import InvalidInput
from podium.storage.database import call_in, metadata

search = sa.Table(
    "search",
    metadata,
    sa.Column("task_id", sa.Uuid, primary_key=True),
    sa.Column("lane_id", sa.Integer, nullable=False),
    sa.Column("part", sa.Integer, nullable=False),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
    sa.Column("seconds", sa.REAL),
    sa.Column("document", TSVECTOR, nullable=False),
)
search_part = sa.Table(
    "search_part",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, server_default=sa.FetchedValue()),
    sa.Column("project_id", sa.Uuid, nullable=False),
    sa.Column("after_id", sa.Uuid, nullable=False),
    sa.Column("last_id", sa.Uuid, nullable=False),
    sa.Column("tasks", sa.Integer, nullable=False, server_default=sa.FetchedValue()),
)
search_place = sa.Table(
    "search_place",
    metadata,
    sa.Column("epoch", sa.SmallInteger, nullable=False),
    sa.Column("xid", sa.BigInteger, nullable=False),
    sa.Column("id", sa.BigInteger, nullable=False),
    sa.Column("from_id", sa.Uuid),
)

MOST_CHARS = 500
_TERM = re.compile(r'(-?)(?:"([^"]*)"|(\S+))')
_WORD = re.compile(
    r"[^\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f\u00a0-\u00bf\u2000-\u206f\u3000-\u303f]+"
)
_WIDER = 4
"""How many times as many parts are looked through when the page is not full."""
_PARTS_BEFORE = (
    "select number from search_part where project_id = $1 and after_id < $2"
    " and numnode(to_tsquery('simple', $3)) > 0 order by after_id desc"
)
_PARTS_AFTER = (
    "select number from search_part where project_id = $1 and last_id > $2"
    " and numnode(to_tsquery('simple', $3)) > 0 order by after_id"
)


def query(words: str) -> str:
    """What PostgreSQL's ``to_tsquery`` looks for: all the terms, in any order.

    A term is a word, a ``"phrase"`` or a path, whose parts must follow each other; ``-`` before it
    leaves out the tasks that have it, ``*`` behind it takes all words that begin so, and ``or``
    between two terms takes either.
    """
    wanted: list[str] = []
    either = False
    for minus, phrase, plain in _TERM.findall(words):
        if plain.lower() == "or" and not minus:
            either = bool(wanted)
            continue
        if (term := _term(minus, phrase or plain)) is None:
            continue
        if either:
            wanted[-1] = f"({wanted[-1]} | {term})"
        else:
            wanted.append(term)
        either = False
    if not wanted:
        raise InvalidInput(
            f"There is no word in {words[:80]!r} to look for.",
            hint="Words are letters and digits; all others part them.",
            field="search",
        )
    return " & ".join(wanted)


def _term(minus: str, text: str) -> str | None:
    found = _WORD.findall(text)
    if not found:
        return None
    quoted = [f"'{word}'" for word in found]
    if text.endswith("*"):
        quoted[-1] += ":*"
    return f"{'!' if minus else ''}({' <-> '.join(quoted)})"


async def parts(
    conn: AsyncConnection, project_id: UUID, bound: UUID, words: str, *, upwards: bool
) -> list[int]:
    """The project's parts with ids below the bound, the newest first; or above it, the oldest
    first. None where PostgreSQL sees no word in the words, which would let all tasks pass."""
    statement = _PARTS_AFTER if upwards else _PARTS_BEFORE
    return [row["number"] for row in await call_in(conn, statement, project_id, bound, words)]


def steps(numbers: Sequence[int]) -> Iterable[Sequence[int]]:
    """The parts to look through together, in their order: one, then more and more."""
    at, width = 0, 1
    while at < len(numbers):
        yield numbers[at : at + width]
        at, width = at + width, width * _WIDER


def hits() -> sa.CTE:
    """Tasks whose documents match ``words`` and lie where ``marks`` say, in no order. It is read
    whole before it is put in order: no plan may go through all tasks in order instead, which takes
    seconds when the word is rare."""
    wanted = sa.func.to_tsquery("simple", sa.bindparam("words", type_=sa.Text))
    marks = sa.cast(sa.bindparam("marks", type_=sa.Text), TSQUERY)
    return (
        sa.select(search.c.task_id)
        .where(search.c.document.op("@@")(wanted.op("&&")(marks)))
        .cte("hits")
        .prefix_with("materialized")
    )


def marks(*alternatives: Iterable[str]) -> str:
    """A query for documents that have one mark of each group; groups without any do not count."""
    groups = [" | ".join(f"'#{mark}'" for mark in group) for group in alternatives]
    return " & ".join(f"({group})" for group in groups if group)


async def paces(conn: AsyncConnection, lanes: Sequence[int], most: int) -> dict[int, list[float]]:
    """Of each lane the seconds that its newest tasks took which succeeded."""
    rows = await call_in(conn, _PACES, lanes, most)
    return {row["lane_id"]: row["seconds"] for row in rows}


_PACES = (
    "select lane_id, array(select seconds from search s where s.lane_id = l.lane_id"
    " and seconds is not null order by task_id desc limit $2) as seconds"
    " from unnest($1::int[]) as l (lane_id)"
)
