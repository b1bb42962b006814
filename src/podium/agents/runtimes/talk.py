"""Sessions of agents that are processes: inputs go to standard input, one turn after the other."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field

from podium.agents.runtime import Conversation, Json, Said
from podium.agents.runtimes.supervise import Orders
from podium.kernel import background
from podium.kernel.clock import boottime

_TEXT, _DATA = "{text}", "{data}"


class Session(BaseModel):
    """How a command agent is talked to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Literal["text", "events"] | dict[str, Any] = Field(
        default="text",
        description="What an input is on standard input: its text and a line end, a message of the "
        "protocol, or a JSON line of the program's own making, given as an object in which "
        '"{text}" and "{data}" stand for what was said.',
    )
    quiet_seconds: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="With the output text: the agent is taken to wait for the next input when it "
        "has written nothing for so long.",
    )
    first_word_seconds: float = Field(
        default=30.0,
        gt=0,
        le=86400,
        description="With the output text: how long it may think before its first word of an "
        "answer; then it is taken to have nothing to say.",
    )

    def line(self, said: Said) -> bytes:
        """An input as the agent reads it."""
        match self.input:
            case "text":
                return said.text.encode(errors="replace") + b"\n"
            case "events":
                message = {"podium": "input", "n": said.n, "text": said.text, "data": said.data}
                if said.author is not None:
                    message["author"] = said.author
                return orjson.dumps(message) + b"\n"
            case form:
                return orjson.dumps(_filled(form, said)) + b"\n"


def _filled(form: Json, said: Said) -> Json:
    match form:
        case str() if form == _DATA:
            return said.data
        case str():
            return form.replace(_TEXT, said.text)
        case dict():
            members = cast("Mapping[str, Json]", form).items()
            return {name: _filled(each, said) for name, each in members}
        case list():
            return [_filled(each, said) for each in form]
        case _:
            return form


class Talk:
    """One session with a process: keeps it company, and is told by its output what it says.

    ``by_silence``: nothing that it writes tells that its turn is over, but that it writes no more.
    ``asks_first``: it tells when it wants its first input, as it does when a turn is over. Any
    other process is given that at once and finds it when it reads: one that starts up cannot be
    told from one that waits.
    """

    def __init__(
        self,
        session: Conversation,
        form: Session,
        *,
        by_silence: bool = False,
        asks_first: bool = False,
    ) -> None:
        self.session = session
        self._form = form
        self._by_silence = by_silence
        self._asks_first = asks_first
        self._turn_over = asyncio.Event()
        self._heard_at: float | None = None
        self._heard = asyncio.Event()
        self._at_turns: list[Callable[[], None]] = []

    def at_each_turn(self, call: Callable[[], None]) -> None:
        """Call this whenever the agent is about to be given an input."""
        self._at_turns.append(call)

    async def keep(self, orders: Orders) -> None:
        """Hand over inputs until the session is closed, and pauses as they come."""
        pausing = asyncio.create_task(self._pause(orders))
        try:
            if self._asks_first:
                await self._turn_over.wait()
            while (said := await self.session.receive()) is not None:
                self._turn_over.clear()
                self._heard_at = None
                for call in self._at_turns:
                    call()
                if not await self._hand_over(said, orders):
                    break  # it listens no more, and goes on with what it does
                await self._turn(orders)
            orders.end_input()
            await pausing
        finally:
            await background.end(pausing)

    async def _hand_over(self, said: Said, orders: Orders) -> bool:
        """Whether the input reached the agent, as far as can be known."""
        reached = False
        try:
            reached = await orders.write(self._form.line(said))
        finally:
            if not reached:
                self.session.give_back()
        return reached

    async def _turn(self, orders: Orders) -> None:
        """Until the agent has dealt with its input. One that ended and has not read all of that
        has not heard it, whatever its end means."""
        try:
            await (self._silence() if self._by_silence else self._turn_over.wait())
        except asyncio.CancelledError:
            if orders.unread() and not self._turn_over.is_set():
                self.session.give_back()
            raise

    def end_turn(self) -> None:
        """The agent has answered, or asked; it can be given the next input."""
        self._turn_over.set()

    def say(self, text: str) -> None:
        """The agent wrote something that is to be read."""
        self._heard_at = boottime()
        self._heard.set()
        self.session.say(text)

    async def _silence(self) -> None:
        """Until it wrote something and then nothing more, or nothing for long; a time in which it
        had to stand still does not count."""
        began = boottime()
        while True:
            form = self._form
            seconds = form.quiet_seconds if self._heard_at else form.first_word_seconds
            left = (self._heard_at or began) + seconds - boottime()
            if self.session.paused:
                await self.session.paused_is(False)  # noqa: FBT003
                began = self._heard_at = boottime()
            elif left <= 0:
                return
            else:
                self._heard.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._heard.wait()

    async def _pause(self, orders: Orders) -> None:
        while True:
            await self.session.paused_is(True)  # noqa: FBT003
            orders.pause(on=True)
            await self.session.paused_is(False)  # noqa: FBT003
            orders.pause(on=False)
