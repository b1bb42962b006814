"""Finding tasks by their words: what one may write, and the way through the parts.

The words of tasks are parted and marked by ``sql/search.sql``, and so are those of a search here.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
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
_LEAST_BEFORE_STAR = 3
_MOST_STARS = 4
_MOST_WITHOUT = 8
_TERM = re.compile(r'(-?)(?:"([^"]*)"|(\S+))')
_WORD = re.compile(
    r"[^\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f\u00a0-\u00bf\u2000-\u206f\u3000-\u303f]+"
)
_PLAIN = re.compile(r"[^\W_]+")
_SHARE = 2
"""Of the parts that were looked through, one in so many is looked through together next."""
_EMPTY = (
    "select n from unnest($1::text[]) with ordinality t (term, n)"
    " where numnode(to_tsquery('simple', term)) = 0 order by n limit 1"
)
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
    between two terms takes either. Terms in which PostgreSQL sees no word count for nothing.
    ``InvalidInput`` where all that is typed is punctuation, and where it would cost too much.
    """
    terms = _terms(words)
    _require_cheap(terms)
    wanted: list[str] = []
    either = False
    for term in terms:
        if term.is_or:
            either = bool(wanted)
        elif term.parts:
            operand = _operand(term)
            if either:
                wanted[-1] = f"({wanted[-1]} | {operand})"
            else:
                wanted.append(operand)
            either = False
    if not wanted:
        raise InvalidInput(
            f"There is no word in {words[:80]!r} to look for.",
            hint="Words are letters and digits; all others part them.",
            field="search",
        )
    return " & ".join(wanted)


class _Term(NamedTuple):
    """What was typed, and the words in it."""

    said: str
    parts: Sequence[str]
    without: bool
    begins: bool
    is_or: bool


def _terms(words: str) -> Sequence[_Term]:
    return [
        _Term(
            said=f"{minus}{phrase or plain}",
            parts=_WORD.findall(phrase or plain),
            without=bool(minus),
            begins=(phrase or plain).endswith("*"),
            is_or=plain.lower() == "or" and not minus,
        )
        for minus, phrase, plain in _TERM.findall(words)
    ]


def _require_cheap(terms: Sequence[_Term]) -> None:
    """All words of the index that begin so are looked up, or all tasks are gone through."""
    begin = [term for term in terms if term.begins and term.parts]
    if short := [term.said for term in begin if _shortest(term.parts[-1]) < _LEAST_BEFORE_STAR]:
        wrong = f"{short[0]!r} stands for too many words"
    elif len(begin) > _MOST_STARS:
        wrong = f"{len(begin)} words end with '*'"
    elif (without := sum(term.without for term in terms)) > _MOST_WITHOUT:
        wrong = f"{without} words are to be left out"
    else:
        return
    raise InvalidInput(
        f"Search cannot do that: {wrong}.",
        hint=f"Write {_LEAST_BEFORE_STAR} characters or more before a '*', and at most "
        f"{_MOST_STARS} words with one and {_MOST_WITHOUT} with '-' before them.",
        field="search",
    )


def _shortest(word: str) -> int:
    """The length of the shortest part: PostgreSQL parts words by signs, too."""
    return min(map(len, _PLAIN.findall(word)), default=0)


def _operand(term: _Term) -> str:
    """Words in one pair of quotes follow each other, as they do in documents, whatever PostgreSQL
    sees no word in; ``:*`` would count for all of them."""
    begins = term.parts[-1:] if term.begins else ()
    whole = term.parts[: len(term.parts) - len(begins)]
    quoted = [f"'{' '.join(whole)}'"] if whole else []
    quoted += [f"'{word}':*" for word in begins]
    return f"{'!' if term.without else ''}({' <-> '.join(quoted)})"


async def require_words(conn: AsyncConnection, words: str) -> None:
    """``InvalidInput`` where a term comes to nothing: without it more tasks match."""
    terms = [term for term in _terms(words) if not term.is_or]
    operands = [_operand(term) if term.parts else "" for term in terms]
    for row in await call_in(conn, _EMPTY, operands):
        place: int = row["n"]
        raise InvalidInput(
            f"There is no word in {terms[place - 1].said[:80]!r} to look for: more tasks would be "
            "changed than are meant.",
            hint="Leave it out.",
            field="search",
        )


async def parts(
    conn: AsyncConnection, project_id: UUID, bound: UUID, words: str, *, upwards: bool
) -> list[int]:
    """The project's parts with ids below the bound, the newest first; or above it, the oldest
    first. None where PostgreSQL sees no word in the words, which would let all tasks pass."""
    statement = _PARTS_AFTER if upwards else _PARTS_BEFORE
    return [row["number"] for row in await call_in(conn, statement, project_id, bound, words)]


def steps(numbers: Sequence[int]) -> Iterable[Sequence[int]]:
    """The parts to look through together, in their order: one at a time, then more and more. All
    that is found in a step is read, so none is much larger than what was looked through before."""
    at = 0
    while at < len(numbers):
        width = max(1, at // _SHARE)
        yield numbers[at : at + width]
        at += width


_WANTED = sa.func.to_tsquery("simple", sa.bindparam("words", type_=sa.Text))
_READ = (
    "select coalesce(t.xmin::text, '') as version from unnest($1::uuid[]) with ordinality c (id, n)"
    " left join task t on t.id = any (array[c.id])"
    " and document_of(t, 0) @@ to_tsquery('simple', $2) order by c.n"
)


async def read(conn: AsyncConnection, ids: Sequence[UUID], words: str) -> list[str]:
    """Of each task the version of its record that has the words; empty where it has them not. To
    read large ones takes milliseconds each, so it is done before there are locks."""
    return [row["version"] for row in await call_in(conn, _READ, ids, words)]


def has_words(record: sa.Table, read: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a task has ``words`` now: its record is of the version that was read, or has them."""
    version = sa.cast(sa.literal_column(f"{record.name}.xmin"), sa.Text)
    document = sa.func.document_of(sa.literal_column(record.name), 0, type_=TSVECTOR)
    return sa.case((version == read, sa.true()), else_=document.op("@@")(_WANTED))


def hits(
    marks: sa.ColumnElement[str], *conditions: sa.ColumnElement[bool]
) -> sa.Select[tuple[UUID]]:
    """Tasks whose documents match ``words`` and lie where ``marks`` say, in no order. They are read
    whole before they are put in order (``offset 0``): no plan may go through all tasks in order
    instead, which takes seconds when the word is rare."""
    wanted = _WANTED.op("&&")(sa.cast(marks, TSQUERY))
    query = sa.select(search.c.task_id).where(search.c.document.op("@@")(wanted), *conditions)
    return query.offset(sa.literal_column("0"))


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
