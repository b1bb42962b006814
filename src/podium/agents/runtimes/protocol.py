"""The JSON-lines protocol of agents: messages on standard output, one object a line.

Its reference for authors of agents is ``docs/guides/command-agents.md``.
"""

import re
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from podium.agents.runtime import MAX_COUNTS, Stream
from podium.kernel.errors import ErrorClass
from podium.kernel.fields import told

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Progress(_Message):
    """How far the work is, from 0 to 1, or unknown."""

    podium: Literal["progress"]
    fraction: float | None = Field(default=None, ge=0, le=1)
    note: str | None = Field(default=None, max_length=2000)


class Log(_Message):
    """Text for the log of the attempt."""

    podium: Literal["log"]
    text: str
    stream: Stream = "agent"


class Usage(_Message):
    """What was consumed since the last such message; the counts stand beside ``podium``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[Word, Annotated[float, Field(ge=0, strict=True)]]  # pyright: ignore[reportIncompatibleVariableOverride]

    podium: Literal["usage"]

    def counts(self) -> dict[str, float]:
        """The counts by name."""
        return dict(self.__pydantic_extra__)


class Heartbeat(_Message):
    """Life, when there is nothing else to say."""

    podium: Literal["heartbeat"]


class Artifact(_Message):
    """A file to keep with the task; ``path`` is relative to the agent's working directory."""

    podium: Literal["artifact"]
    name: str = Field(min_length=1, max_length=255)
    path: str = Field(min_length=1, max_length=4096)
    content_type: str = Field(default="application/octet-stream", max_length=255)

    @field_validator("path")
    @classmethod
    def _without_nul(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("holds a NUL character")
        return value


class Say(_Message):
    """What the agent says in a session; without one it goes to the log."""

    podium: Literal["say"]
    text: str = Field(max_length=1_000_000)
    data: Any = None


class Ask(Say):
    """A question to a person, with which the agent's turn in a session is over."""

    podium: Literal["ask"]  # pyright: ignore[reportIncompatibleVariableOverride]


class Idle(_Message):
    """The agent's turn in a session is over: it can be given the next input."""

    podium: Literal["idle"]


class Result(_Message):
    """The attempt's output. The first result or error counts."""

    podium: Literal["result"]
    output: Any  # whatever JSON held; the recursive type cannot be validated


class Error(_Message):
    """Why the attempt failed; it fails whatever the exit status."""

    podium: Literal["error"]
    error_class: ErrorClass = Field(alias="class", default=ErrorClass.AGENT)
    code: Word = "error"
    message: str = Field(max_length=20_000)
    hint: str | None = Field(default=None, max_length=2000)
    detail: dict[str, Any] = Field(default_factory=dict)
    retry_after: float | None = Field(default=None, ge=0, allow_inf_nan=False)


Message = Progress | Log | Usage | Heartbeat | Artifact | Say | Ask | Idle | Result | Error

_FINAL = ("result", "error")
_LONG = ("log", "say", "ask", *_FINAL)
_SHORT_LIMIT = 1024 * 1024
"""Characters of any other message: to read one of many small parts would hold the worker up."""

_message: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="podium")])


class Malformed(ValueError):
    """A line meant as a message that is none; the text says what is wrong with it.

    ``final`` tells that it was meant to end the attempt: as a result or an error.
    """

    def __init__(self, wrong: str, *, final: bool) -> None:
        super().__init__(wrong)
        self.final = final


_MEANT = re.compile(r'\s*\{\s*"podium"\s*:\s*"(\w*)')


def parse(line: str) -> Message | None:
    """The message on this line, or None for an ordinary line of output. Raises ``Malformed``."""
    if not line.lstrip().startswith("{") or '"podium"' not in line:
        return None
    meant = _MEANT.match(line)
    if len(line) > _SHORT_LIMIT and meant and meant[1] not in _LONG:
        raise Malformed(f"it is longer than {_SHORT_LIMIT:,} characters", final=False)
    try:
        value = orjson.loads(line)
    except ValueError as error:
        if meant is None:
            return None
        wrong = f"it is not valid JSON ({error})"
        raise Malformed(wrong, final=meant[1] in _FINAL) from None
    if "podium" not in value:
        return None
    if value["podium"] == "usage" and len(value) > 1 + MAX_COUNTS:  # to validate many takes long
        raise Malformed(f"it counts more than {MAX_COUNTS} things", final=False)
    try:
        return _message.validate_python(value)
    except ValidationError as error:
        raise Malformed(_told(error), final=value["podium"] in _FINAL) from None


def _told(error: ValidationError) -> str:
    found = error.errors(include_url=False)
    return "; ".join(
        ": ".join(filter(None, [".".join(map(str, each["loc"][1:])), told(each)]))
        for each in found[:5]
    )
