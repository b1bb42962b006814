"""What becomes of an agent's standard output and error: logs, and the attempt's output."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal, Protocol

import orjson

from podium.agents.runtime import AttemptContext, Json, Stream
from podium.agents.runtimes import protocol
from podium.agents.runtimes.artifacts import Reach, opened
from podium.agents.runtimes.lines import LineCollector, LineRule
from podium.agents.runtimes.output import LINE_LIMIT, MESSAGE_LIMIT, Allowance, Lines, Tail
from podium.agents.runtimes.supervise import Sink
from podium.agents.runtimes.talk import Talk
from podium.kernel.errors import AttemptFailed, ErrorClass
from podium.kernel.redaction import beginning

OutputMode = Literal["text", "json", "events", "lines"]

_TEXT_LIMIT = 128 * 1024
_STDERR_TAIL = 2000
_SHOWN = 200


class LogSink:
    """Sends a stream to the attempt's log, whole lines at a time, and keeps its tail."""

    def __init__(
        self, ctx: AttemptContext, stream: Stream, allowance: Allowance, keep: int = _STDERR_TAIL
    ) -> None:
        self._ctx = ctx
        self._stream: Stream = stream
        self._allowance = allowance
        self._lines = Lines()
        self.tail = Tail(keep)

    async def feed(self, data: bytes) -> None:
        """Log the lines that ``data`` completes."""
        self._allowance.take(len(data))
        self.tail.add(data)
        self._log(self._lines.feed(data))

    async def close(self) -> None:
        """Log what is left."""
        self._log(self._lines.close())

    def _log(self, lines: list[str]) -> None:
        if lines:
            self._ctx.log("\n".join(lines), self._stream)


class Collector(Sink, Protocol):
    """Takes standard output and makes the attempt's output of it."""

    def reported(self) -> AttemptFailed | None:
        """The failure that the agent told of itself."""
        ...

    def discard(self) -> None:
        """The attempt failed: log what would have been its output, if that was not logged."""
        ...

    def output(self) -> Json:
        """The output of an agent that ended well. Raises ``AttemptFailed`` when it is unusable."""
        ...


class TextCollector(LogSink):
    """Output ``text``: everything is logged, or in a session said; the output is its last part."""

    def __init__(self, ctx: AttemptContext, allowance: Allowance, talk: Talk | None = None) -> None:
        super().__init__(ctx, "stdout", allowance, _TEXT_LIMIT)
        self._talk = talk

    def _log(self, lines: list[str]) -> None:
        if self._talk is None:
            super()._log(lines)
        elif lines:
            self._talk.say("\n".join(lines))

    def reported(self) -> None:
        """Plain text tells of no failure."""

    def discard(self) -> None:
        """All was logged as it came."""

    def output(self) -> Json:
        """The text without its last line end, and whether its beginning was left out."""
        text = self.tail.text()
        return {"text": text, "exit_code": 0, "truncated": self.tail.truncated}


class JsonCollector:
    """Output ``json``: standard output is one JSON value and is logged only when it is not."""

    def __init__(self, ctx: AttemptContext, allowance: Allowance) -> None:
        self._ctx = ctx
        self._allowance = allowance
        self._size = Allowance(MESSAGE_LIMIT)
        self._content = bytearray()

    async def feed(self, data: bytes) -> None:
        """Keep it."""
        self._allowance.take(len(data))
        self._size.take(len(data))
        self._content += data

    async def close(self) -> None:
        """Nothing is left to do."""

    def reported(self) -> None:
        """A plain value tells of no failure."""

    def discard(self) -> None:
        """Log what was written."""
        lines = Lines()
        text = lines.feed(bytes(self._content)) + lines.close()
        if text:
            self._ctx.log("\n".join(text), "stdout")

    def output(self) -> Json:
        """The value."""
        try:
            return orjson.loads(self._content)
        except ValueError as error:
            self.discard()
            raise AttemptFailed(
                ErrorClass.AGENT,
                "output_not_json",
                f"The agent's standard output is not one JSON value: {error}.",
                hint="Write nothing else to standard output, or choose the output text or events.",
            ) from None


class EventCollector:
    """Output ``events``: the JSON-lines protocol; other lines are logged."""

    def __init__(
        self,
        ctx: AttemptContext,
        allowance: Allowance,
        reach: Reach,
        talk: Talk | None = None,
    ) -> None:
        self._ctx = ctx
        self._allowance = allowance
        self._reach = reach
        self._talk = talk
        self._asked = False
        self._lines = Lines(keep_whole="{")
        self._final: protocol.Result | protocol.Error | None = None
        self._final_was_malformed: str | None = None

    async def feed(self, data: bytes) -> None:
        """Obey messages and log the rest, in the order in which they came."""
        self._allowance.take(len(data))
        await self._take(self._lines.feed(data))

    async def close(self) -> None:
        """Take a last line without an end."""
        await self._take(self._lines.close())

    def discard(self) -> None:
        """All but the result was logged as it came."""

    def reported(self) -> AttemptFailed | None:
        """What an error message said."""
        final = self._final
        if not isinstance(final, protocol.Error):
            return None
        return AttemptFailed(
            final.error_class,
            final.code,
            final.message,
            hint=final.hint,
            detail=final.detail,
            retry_after=final.retry_after,
        )

    def output(self) -> Json:
        """The result message's output, or None when there was none."""
        if isinstance(self._final, protocol.Result):
            return self._final.output
        if self._final_was_malformed is not None:
            raise AttemptFailed(
                ErrorClass.AGENT,
                "malformed_result",
                f"The agent's result message cannot be used: {self._final_was_malformed}.",
                hint="The line is in the attempt's log; see the guide to command agents.",
            )
        return None

    async def _take(self, lines: list[str]) -> None:
        plain: list[str] = []
        for line in lines:
            try:
                message = protocol.parse(line)
            except protocol.Malformed as malformed:
                # Only a line that grew too long to be kept comes as a piece of this length.
                cut = len(line) == LINE_LIMIT
                wrong = f"it is longer than {MESSAGE_LIMIT:,} characters" if cut else str(malformed)
                self._note(plain, f"Message ignored: {wrong}: {beginning(line, _SHOWN)}")
                if malformed.final:
                    self._final_was_malformed = wrong
                continue
            if message is None:
                plain.append(line)
            else:
                self._log(plain)
                await self._obey(message)
        self._log(plain)

    def _log(self, plain: list[str]) -> None:
        if plain:
            self._ctx.log("\n".join(plain), "stdout")
            plain.clear()

    def _note(self, plain: list[str], text: str) -> None:
        self._log(plain)
        self._ctx.log(text, "agent")

    async def _obey(self, message: protocol.Message) -> None:
        match message:
            case protocol.Progress():
                self._ctx.progress(message.fraction, message.note)
            case protocol.Log():
                self._ctx.log(message.text.replace("\0", "\ufffd"), message.stream)
            case protocol.Usage():
                self._ctx.usage(**message.counts())
            case protocol.Heartbeat():
                self._ctx.heartbeat()
            case protocol.Artifact():
                await self._keep(message)
            case protocol.Say() | protocol.Idle():
                self._say(message)
            case protocol.Result() | protocol.Error():
                self._end(message)

    def _say(self, message: protocol.Say | protocol.Idle) -> None:
        talk = self._talk
        if talk is None:
            if isinstance(message, protocol.Say):
                self._ctx.log(message.text.replace("\0", "\ufffd"), "agent")
            return
        match message:
            case protocol.Ask():
                talk.session.ask(message.text, message.data)
                talk.end_turn()
            case protocol.Say():
                talk.session.say(message.text, message.data)
            case protocol.Idle():
                if not self._asked:  # a question has ended the turn already
                    talk.end_turn()
        self._asked = isinstance(message, protocol.Ask)

    def _end(self, message: protocol.Result | protocol.Error) -> None:
        if self._final is None:
            self._final = message
        else:
            self._note([], f"Message ignored: a {self._final.podium} had been given already.")

    async def _keep(self, message: protocol.Artifact) -> None:
        with ExitStack() as stack:
            try:
                path = stack.enter_context(opened(message.path, self._reach))
            except (OSError, ValueError) as error:
                told = f"{message.path}: {error}"
                self._note([], f"Artifact {message.name!r} was not kept: {told}.")
                return
            await self._ctx.artifact(message.name, path, message.content_type)


def collector(
    mode: OutputMode,
    ctx: AttemptContext,
    allowance: Allowance,
    reach: Reach,
    rules: Sequence[LineRule],
    talk: Talk | None = None,
) -> Collector:
    """The collector for an ``output`` mode; ``rules`` are for ``lines``, ``talk`` for a session."""
    match mode:
        case "text":
            return TextCollector(ctx, allowance, talk)
        case "json":
            return JsonCollector(ctx, allowance)
        case "events":
            return EventCollector(ctx, allowance, reach, talk)
        case "lines":
            return LineCollector(ctx, allowance, rules, talk)
