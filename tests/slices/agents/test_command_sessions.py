"""Sessions of programs that know nothing of Podium's messages."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.context import RecordingConversation, until
from podium.agents.runtimes.command import CommandRuntime
from podium.kernel.errors import InvalidInput
from slices.agents.commands import Make, command_runtime, maker
from slices.agents.failing import failure

ECHO = "while IFS= read -r line; do printf 'heard %s\\nand so on\\n' $line; done; echo bye"
STREAMING = """
import json, sys
for line in sys.stdin:
    said = json.loads(line)
    print(json.dumps({"type": "assistant", "text": [{"text": said["message"]["content"]}]}))
    print(json.dumps({"type": "noise", "of": said["extra"]}))
    print(json.dumps({"type": "result", "text": "done"}), flush=True)
"""
RULES = [
    {"when": {"/type": "assistant"}, "say": "/text/*/text"},
    {"when": {"/type": "result"}, "text": "/text", "turn_ends": True},
]
FORM = {"type": "user", "message": {"role": "user", "content": "{text}"}, "extra": ["{data}", 1]}


@pytest.fixture
def runtime(tmp_path: Path) -> CommandRuntime:
    return command_runtime(tmp_path)


@pytest.fixture
def make(runtime: CommandRuntime, tmp_path: Path) -> Make:
    return maker(runtime, tmp_path)


def said(conversation: RecordingConversation) -> list[tuple[str, str]]:
    return [(what, text) for what, text, _ in conversation.said]


async def test_lines_of_text(runtime: CommandRuntime, make: Make) -> None:
    context = make(ECHO, session={"quiet_seconds": 0.2})
    context.session = RecordingConversation("one", "two")
    output = await runtime.run(context)
    assert isinstance(output, dict)
    assert output["text"] == "heard one\nand so on\nheard two\nand so on\nbye"
    assert said(context.session) == [
        ("receive", ""),
        ("say", "heard one\nand so on"),
        ("receive", ""),
        ("say", "heard two\nand so on"),
        ("receive", ""),
        ("say", "bye"),
    ]
    assert context.lines() == []


async def test_silence_in_a_pause_is_none(runtime: CommandRuntime, make: Make) -> None:
    slow = "read -r line; echo begun; sleep 0.6; echo ended; read -r line; echo $line"
    context = make(slow, session={"quiet_seconds": 1.0})
    talk = context.session = RecordingConversation("one", "two", closed=False)
    running = asyncio.create_task(runtime.run(context))
    await until(lambda: ("say", "begun") in said(talk))
    talk.pause(on=True)
    await asyncio.sleep(1.5)
    assert said(talk).count(("receive", "")) == 1
    talk.pause(on=False)
    await running
    assert said(talk)[-1] == ("say", "two")


async def test_json_lines_of_its_own_making(runtime: CommandRuntime, make: Make) -> None:
    command = [sys.executable, "-c", STREAMING]
    context = make(command, output="lines", lines=RULES, session={"input": FORM})
    context.session = RecordingConversation('say "{text}"', "two")
    assert await runtime.run(context) == {"text": "done", "session": None}
    assert said(context.session) == [
        ("receive", ""),
        ("say", 'say "{text}"'),
        ("receive", ""),
        ("say", "two"),
        ("receive", ""),
    ]
    noise = [json.loads(line) for line in context.lines("stdout")]
    assert [each["of"] for each in noise] == [[{"n": 1}, 1], [{"n": 2}, 1]]


async def test_without_a_session_what_is_said_is_logged(
    runtime: CommandRuntime, make: Make
) -> None:
    line = json.dumps({"type": "assistant", "text": [{"text": "hello"}]})
    context = make(["echo", line], output="lines", lines=RULES)
    await runtime.run(context)
    assert context.lines() == ["hello"]
    messages = [
        {"podium": "say", "text": "a\0b"},
        {"podium": "ask", "text": "c"},
        {"podium": "idle"},
    ]
    context = make(["printf", "%s\\n", *map(json.dumps, messages)], output="events")
    await runtime.run(context)
    assert context.lines() == ["a\ufffdb", "c"]


async def test_each_input_may_have_as_much_output(runtime: CommandRuntime, make: Make) -> None:
    loud = "while read -r n; do head -c $n /dev/zero | tr '\\0' x; echo; done"
    limits = {"output_bytes": 100_000}
    context = make(loud, session={"quiet_seconds": 0.2}, limits=limits)
    talk = context.session = RecordingConversation(*["60000"] * 4)
    await runtime.run(context)
    assert sum(len(text) for _, text in said(talk)) >= 240_000
    context = make(loud, session={"quiet_seconds": 0.2}, limits=limits)
    context.session = RecordingConversation("60000", "120000", "1")
    assert (await failure(runtime, context)).code == "output_limit"
    assert ("receive", "") in said(context.session)[1:]


async def test_an_agent_may_think_before_its_first_word(
    runtime: CommandRuntime, make: Make
) -> None:
    slow = "read -r one; sleep 0.6; echo $one; read -r two; echo $two"
    for seconds, expected in ((5, ["receive", "say"]), (0.2, ["receive", "receive"])):
        context = make(slow, session={"quiet_seconds": 0.1, "first_word_seconds": seconds})
        context.session = RecordingConversation("one", "two", closed=False)
        await runtime.run(context)
        assert [what for what, _ in said(context.session)][:2] == expected


async def test_the_text_of_a_turn_is_the_result(runtime: CommandRuntime, make: Make) -> None:
    rules = [
        {"when": {"/type": "assistant"}, "text": "/text/*/text", "append": True},
        {"when": {"/type": "result"}, "text": "/text", "append": True, "turn_ends": True},
    ]
    command = [sys.executable, "-c", STREAMING]
    context = make(command, output="lines", lines=rules, session={"input": FORM})
    context.session = RecordingConversation("one", "two")
    assert await runtime.run(context) == {"text": "twodone", "session": None}


async def test_an_agent_that_does_not_listen_goes_on(runtime: CommandRuntime, make: Make) -> None:
    context = make("exec 0<&-; sleep 0.3; echo done", session={})
    context.session = RecordingConversation("x" * 200_000, "y" * 200_000)
    output = await runtime.run(context)
    assert isinstance(output, dict)
    assert output["text"] == "done"
    assert [what for what, _ in said(context.session)].count("receive") == 1
    assert ("give back", "") in said(context.session)


async def test_an_agent_that_takes_none_says_so(runtime: CommandRuntime, make: Make) -> None:
    context = make(["cat"])
    assert not runtime.converses(context.agent.config)
    context.session = RecordingConversation()
    assert (await failure(runtime, context)).code == "agent_not_interactive"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"prompt": "stdin"}, "standard input"),
        ({"output": "json"}, "text, events or lines"),
        ({"output": "lines", "lines": RULES[:1]}, "turn_ends"),
    ],
)
def test_what_cannot_be(runtime: CommandRuntime, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        runtime.validate({"command": ["cat"], "session": {}, **options})
    for wrong in (
        {"input": "json"},
        {"quiet_seconds": 0},
        {"first_word_seconds": 0},
        {"mode": "x"},
    ):
        with pytest.raises(InvalidInput, match="session"):
            runtime.validate({"command": ["cat"], "session": wrong})
