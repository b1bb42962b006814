"""Output ``lines``: an agent's own JSON lines, read as its configuration says.

Each coding agent streams JSON of its own making. What Podium needs of it is told by a few rules:
which lines are meant, and where in them the result, the usage and the like stand.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field

from podium.agents.runtime import MAX_COUNTS, AttemptContext, Json
from podium.agents.runtimes.output import MESSAGE_LIMIT, Allowance, Lines
from podium.agents.runtimes.protocol import Word
from podium.agents.runtimes.talk import Talk
from podium.kernel.errors import AttemptFailed, ErrorClass
from podium.kernel.redaction import beginning

_EVERY = "*"
_MESSAGE = 20_000
_NOTE = 2000

Pointer = Annotated[
    str,
    Field(
        pattern=r"^(/([^~/]|~[01])*)+$",
        max_length=500,
        description="A JSON pointer; `*` stands for each element of a list or an object.",
    ),
]


class LineRule(BaseModel):
    """What is read of the lines that it is for; every rule that fits a line is applied to it.

    One that reads nothing keeps its lines out of the log.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: dict[Pointer, bool | int | float | str] = Field(
        default={},
        max_length=20,
        description="Which lines are meant: what must stand where. Without any, all JSON objects.",
    )
    text: Pointer | None = Field(
        default=None, description="The result's text; that of the last such line is the output's."
    )
    append: bool = Field(
        default=False,
        description="The texts of all such lines are one, in their order; in a session those of "
        "one turn.",
    )
    session: Pointer | None = Field(
        default=None, description="The name under which the agent keeps its conversation."
    )
    log: Pointer | None = Field(
        default=None, description="Text for the log, in the place of the line."
    )
    say: Pointer | None = Field(
        default=None,
        description="What the agent says in a session; without one it goes to the log.",
    )
    turn_ends: bool = Field(
        default=False,
        description="With such a line the agent's turn in a session is over: it can be given the "
        "next input.",
    )
    note: Pointer | None = Field(
        default=None, description="What the agent is at, shown as its progress."
    )
    usage: dict[Word, Pointer] = Field(
        default={},
        max_length=MAX_COUNTS,
        description="What was consumed, by name. What a line does not tell is not counted.",
    )
    error: Pointer | None = Field(
        default=None, description="Why the attempt failed; it fails whatever the exit status."
    )
    error_class: ErrorClass = Field(
        default=ErrorClass.AGENT, description="The class of that failure."
    )

    def fits(self, line: Mapping[str, Any]) -> bool:
        """Whether it is for this line."""
        return all(
            any(_same(found, wanted) for found in at(line, pointer))
            for pointer, wanted in self.when.items()
        )


def at(value: object, pointer: str) -> Iterator[object]:
    """What stands there: nothing, one value or, of a pointer with ``*``, several."""
    found = [value]
    for token in pointer.split("/")[1:]:
        found = [inner for each in found for inner in _inner(each, token)]
    return iter(found)


def _inner(value: object, token: str) -> Sequence[object]:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        if token == _EVERY:
            return list(members.values())
        name = token.replace("~1", "/").replace("~0", "~")
        return [members[name]] if name in members else []
    if isinstance(value, list):
        elements = cast("list[object]", value)
        if token == _EVERY:
            return elements
        if token.isdecimal() and int(token) < len(elements):
            return [elements[int(token)]]
    return []


def _same(found: object, wanted: object) -> bool:
    """Equal as JSON: true is not 1."""
    return found == wanted and isinstance(found, bool) is isinstance(wanted, bool)


class LineCollector:
    """Output ``lines``: the rules say what JSON lines mean; all others are logged."""

    def __init__(
        self,
        ctx: AttemptContext,
        allowance: Allowance,
        rules: Sequence[LineRule],
        talk: Talk | None = None,
    ) -> None:
        self._ctx = ctx
        self._talk = talk
        self._allowance = allowance
        self._rules = rules
        self._lines = Lines(keep_whole="{")
        self._size = Allowance(MESSAGE_LIMIT)
        self._text: list[str] = []
        self._in_new_turn = False
        self._session: str | None = None
        self._failure: AttemptFailed | None = None
        self._understood = False
        if talk is not None:
            talk.at_each_turn(self._begin_turn)

    async def feed(self, data: bytes) -> None:
        """Read the lines that ``data`` completes, in their order."""
        self._allowance.take(len(data))
        self._take(self._lines.feed(data))

    async def close(self) -> None:
        """Take a last line without an end."""
        self._take(self._lines.close())

    def discard(self) -> None:
        """All but the result was logged as it came."""
        if self._text:
            self._ctx.log("".join(self._text), "agent")

    def reported(self) -> AttemptFailed | None:
        """The first failure that a line told."""
        return self._failure

    def output(self) -> Json:
        """The result's text, null if there was none, and the session's name if one was told."""
        if not self._understood:
            raise AttemptFailed(
                ErrorClass.AGENT,
                "output_not_understood",
                "No line of the agent's output is one that its configuration reads.",
                hint="Its log shows what it wrote; correct config.lines, or the flags that have "
                "the program write JSON lines.",
            )
        return {"text": "".join(self._text) if self._text else None, "session": self._session}

    def _take(self, lines: list[str]) -> None:
        plain: list[str] = []
        for line in lines:
            value = _object(line)
            rules = [] if value is None else [rule for rule in self._rules if rule.fits(value)]
            if value is None or not rules:
                plain.append(line)
                continue
            self._log(plain)
            self._understood = True
            self._ctx.heartbeat()
            for rule in rules:
                self._obey(rule, value)
        self._log(plain)

    def _log(self, plain: list[str]) -> None:
        if plain:
            self._ctx.log("\n".join(plain), "stdout")
            plain.clear()

    def _obey(self, rule: LineRule, line: Mapping[str, Any]) -> None:
        if (text := _told(line, rule.text)) is not None:
            self._add(text, append=rule.append)
        if rule.session:
            self._session = _told(line, rule.session) or self._session
        if log := _told(line, rule.log):
            self._ctx.log(log, "agent")
        if said := _told(line, rule.say):
            self._say(said)
        if rule.turn_ends and self._talk is not None:
            self._talk.end_turn()
        if note := _told(line, rule.note):
            self._ctx.progress(None, beginning(note, _NOTE))
        if counts := _counts(line, rule.usage):
            self._ctx.usage(**counts)
        if self._failure is None and (message := _told(line, rule.error)):
            shown = beginning(message, _MESSAGE)
            self._failure = AttemptFailed(rule.error_class, "agent_error", shown)

    def _say(self, text: str) -> None:
        if self._talk is None:
            self._ctx.log(text, "agent")
        else:
            self._talk.session.say(text)

    def _begin_turn(self) -> None:
        self._in_new_turn = True

    def _add(self, text: str, *, append: bool) -> None:
        if not append or self._in_new_turn:
            self._text.clear()
        if self._in_new_turn:
            self._size.renew()
            self._in_new_turn = False
        if append:
            self._size.take(len(text))
        self._text.append(text)


def _object(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        return orjson.loads(line)
    except ValueError:
        return None


def _told(line: Mapping[str, Any], pointer: str | None) -> str | None:
    """The texts that stand there, as one."""
    found = [each for each in at(line, pointer) if isinstance(each, str)] if pointer else []
    return "\n".join(found).replace("\0", "\ufffd") if found else None


def _counts(line: Mapping[str, Any], usage: Mapping[str, str]) -> dict[str, float]:
    """The numbers that stand there; several in one place are added up."""
    counts: dict[str, float] = {}
    for name, pointer in usage.items():
        numbers = [each for each in at(line, pointer) if _is_count(each)]
        if numbers:
            counts[name] = sum(cast("list[float]", numbers))
    return counts


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
