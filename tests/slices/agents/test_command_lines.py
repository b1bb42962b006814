"""JSON lines of a program's own making, as rules read them.

The files in ``streams`` are what coding agents wrote when a stand-in played their model: recorded
of Claude Code, Codex, OpenCode, Qwen Code and Copilot, shortened and with other figures; made after
their documentation of the rest. Stand-ins print them here.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.context import RecordingContext
from podium.agents.runtimes import lines
from podium.agents.runtimes.command import CommandRuntime
from podium.cli.coding_agents import KNOWN
from podium.kernel.errors import ErrorClass, InvalidInput
from slices.agents.commands import Make, command_runtime, maker
from slices.agents.failing import failure

STREAMS = Path(__file__).parent / "streams"
AGENTS = {each.name: each for each in KNOWN}
SAID = "Hello from the stand-in."
RULE = {"when": {"/type": "end"}, "text": "/said"}


@pytest.fixture
def runtime(tmp_path: Path) -> CommandRuntime:
    return command_runtime(tmp_path)


@pytest.fixture
def make(runtime: CommandRuntime, tmp_path: Path) -> Make:
    return maker(runtime, tmp_path)


def stand_in(make: Make, name: str, stream: str = "") -> RecordingContext:
    """An attempt of a program that stands in for the coding agent and prints this stream."""
    rules = list(AGENTS[name].lines)
    path = str(STREAMS / f"{stream or name}.jsonl")
    return make(["cat", path], output="lines", lines=rules)


def used(context: RecordingContext) -> dict[str, float]:
    """All that was reported as used, but for the time that Podium itself counts."""
    counts: dict[str, float] = {}
    for report in context.reports:
        if report[0] == "usage":
            for name, count in report[1].items():
                counts[name] = counts.get(name, 0) + count
    return {name: count for name, count in counts.items() if name != "cpu_seconds"}


TOKENS = {"input_tokens": 21, "output_tokens": 12}


@pytest.mark.parametrize(
    ("name", "session", "usage"),
    [
        (
            "claude-code",
            "83e84be5-5603-4566-8ff1-a93d823c18d9",
            {**TOKENS, "cached_input_tokens": 300, "cost_usd": 0.0125},
        ),
        (
            "codex",
            "01a2047a-032b-78a3-985c-ac022c15e633",
            {**TOKENS, "cached_input_tokens": 300, "reasoning_tokens": 5},
        ),
        ("gemini-cli", "a71053db", {**TOKENS, "cached_input_tokens": 3}),
        (
            "opencode",
            "ses_dfb85bb94ffeRsq4D1fyKR05jO",
            {
                "input_tokens": 2390,
                "output_tokens": 6,
                "reasoning_tokens": 0,
                "cached_input_tokens": 0,
                "cost_usd": 0.0125,
            },
        ),
        (
            "qwen-code",
            "e3079736-0a0c-41d0-9afe-fadfa5970f2e",
            {"input_tokens": 9814, "output_tokens": 6, "cached_input_tokens": 0},
        ),
        ("copilot", "46fbb745-9ff8-40a9-add0-3125cc4a484c", {"premium_requests": 0}),
        ("goose", None, {}),
        ("kimi-cli", None, {}),
        ("cursor", "s-1", {}),
        ("droid", "s-1", {}),
    ],
)
async def test_what_coding_agents_say_is_understood(
    runtime: CommandRuntime, make: Make, name: str, session: str | None, usage: dict[str, float]
) -> None:
    context = stand_in(make, name)
    assert await runtime.run(context) == {"text": SAID, "session": session}
    assert used(context) == usage


@pytest.mark.parametrize(
    ("name", "stream", "message"),
    [
        ("claude-code", "claude-code-not-logged-in", "Not logged in · Please run /login"),
        ("codex", "codex-failed", "Missing environment variable: `NOKEY`."),
        ("gemini-cli", "gemini-cli-failed", "Reached max session turns."),
        ("amp", "amp", "Out of credits."),
    ],
)
async def test_failures_that_coding_agents_tell_of_are_theirs(
    runtime: CommandRuntime, make: Make, name: str, stream: str, message: str
) -> None:
    failed = await failure(runtime, stand_in(make, name, stream))
    told = (failed.error_class, failed.code, failed.message)
    assert told == (ErrorClass.AGENT, "agent_error", message)


async def test_what_an_agent_says_and_does_is_shown(runtime: CommandRuntime, make: Make) -> None:
    context = stand_in(make, "claude-code")
    await runtime.run(context)
    assert context.lines("agent") == ["I look first.", SAID]
    assert context.lines("stdout") == []
    assert ("progress", None, "Bash") in context.reports
    assert context.reports.count(("heartbeat",)) == 4


async def test_other_lines_are_logged_in_their_order(runtime: CommandRuntime, make: Make) -> None:
    script = """
        echo starting
        echo '{"type": "other"}'
        echo '{"type": "noise"}'
        echo '["type"]'
        echo '{"type": broken'
        printf '{"type": "end", "said": "x"}'
    """
    context = make(script, output="lines", lines=[RULE, {"when": {"/type": "noise"}}])
    assert await runtime.run(context) == {"text": "x", "session": None}
    logged = ["starting", '{"type": "other"}', '["type"]', '{"type": broken']
    assert context.lines() == logged


async def test_output_that_no_rule_reads_is_a_failure(runtime: CommandRuntime, make: Make) -> None:
    context = make("echo plain; echo '{}'", output="lines", lines=[RULE])
    failed = await failure(runtime, context)
    assert (failed.error_class, failed.code) == (ErrorClass.AGENT, "output_not_understood")
    assert context.lines("stdout") == ["plain", "{}"]


async def test_an_agent_that_ends_badly_has_failed_and_its_text_is_logged(
    runtime: CommandRuntime, make: Make
) -> None:
    context = make("""echo '{"type": "end", "said": "so far"}'; exit 3""", output="lines",
                   lines=[RULE])  # fmt: skip
    assert (await failure(runtime, context)).code == "exit_status"
    assert context.lines("agent") == ["so far"]


@pytest.mark.parametrize(
    ("rule", "line", "text"),
    [
        ({"text": "/a/1/b"}, '{"a": [0, {"b": "x"}]}', "x"),
        ({"text": "/a/*/b"}, '{"a": [{"b": "x"}, {"c": 1}, {"b": "y"}]}', "x\ny"),
        ({"text": "/a/*"}, '{"a": {"b": "x", "c": 3}}', "x"),
        ({"text": "/a~1b/~0"}, '{"a/b": {"~": "x"}}', "x"),
        ({"text": "/a/9"}, '{"a": ["x"]}', None),
        ({"text": "/a/b"}, '{"a": "x"}', None),
        ({"text": "/a"}, '{"a": {"b": 1}}', None),
        ({"text": "/a", "when": {"/b": True}}, '{"a": "x", "b": 1}', "no match"),
        ({"text": "/a", "when": {"/b": 1}}, '{"a": "x", "b": 1.0}', "x"),
        ({"text": "/a", "when": {"/b/*/c": "d"}}, '{"a": "x", "b": [{}, {"c": "d"}]}', "x"),
    ],
)
async def test_pointers(
    runtime: CommandRuntime, make: Make, rule: dict[str, Any], line: str, text: str | None
) -> None:
    context = make(["printf", "%s", line], output="lines", lines=[rule])
    if text == "no match":
        assert (await failure(runtime, context)).code == "output_not_understood"
    else:
        assert await runtime.run(context) == {"text": text, "session": None}


async def test_only_numbers_count_and_those_of_one_place_are_added_up(
    runtime: CommandRuntime, make: Make
) -> None:
    line = '{"models": {"a": {"in": 3}, "b": {"in": 4}}, "out": "9", "cost": -1, "flag": true}'
    usage = {"input_tokens": "/models/*/in", "output_tokens": "/out", "cost_usd": "/cost",
             "calls": "/flag", "gone": "/none"}  # fmt: skip
    context = make(["echo", line], output="lines", lines=[{"usage": usage}])
    assert await runtime.run(context) == {"text": None, "session": None}
    assert used(context) == {"input_tokens": 7}


async def test_texts_of_many_lines_have_a_limit(
    runtime: CommandRuntime, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MESSAGE_LIMIT", 1000)
    script = "print('{\"t\": \"' + 'x' * 300 + '\"}\\n' * 1, end='')"
    many = [sys.executable, "-c", f"for _ in range(4): {script}"]
    last = make(many, output="lines", lines=[{"text": "/t"}])
    assert await runtime.run(last) == {"text": "x" * 300, "session": None}
    joined = make(many, output="lines", lines=[{"text": "/t", "append": True}])
    failed = await failure(runtime, joined)
    assert (failed.error_class, failed.code) == (ErrorClass.RESOURCE, "output_limit")


async def test_it_streams_while_it_runs(runtime: CommandRuntime, make: Make) -> None:
    rule = {"when": {"/type": "say"}, "log": "/said"}
    context = make("""echo '{"type": "say", "said": "begun"}'; sleep 30""", output="lines",
                   lines=[rule])  # fmt: skip
    running = asyncio.create_task(runtime.run(context))
    async with asyncio.timeout(10):
        while not context.lines("agent"):
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert context.lines("agent") == ["begun"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"output": "lines"}, "output lines needs the rules"),
        ({"lines": [RULE]}, "lines need"),
        ({"output": "lines", "lines": [{"text": "said"}]}, "config.lines.0.text"),
        ({"output": "lines", "lines": [{"text": "/a~2"}]}, "config.lines.0.text"),
        ({"output": "lines", "lines": [{"test": "/said"}]}, "config.lines.0.test"),
        ({"output": "lines", "lines": [{"usage": {"Tokens": "/x"}}]}, "config.lines.0.usage"),
    ],
)
def test_wrong_rules_are_refused(
    runtime: CommandRuntime, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        runtime.validate({"command": ["true"], **options})
    assert told in str(caught.value)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_every_known_agent_can_be_registered(runtime: CommandRuntime, known: Any) -> None:
    config = {
        "command": [known.program, *known.arguments],
        "prompt": known.prompt,
        "output": "lines" if known.lines else "text",
        "lines": list(known.lines),
        "exit_codes": dict(known.exit_codes),
    }
    validated = runtime.validate(config)
    assert validated == runtime.validate(validated)
    assert (known.prompt == "argument") is any("{prompt}" in part for part in known.arguments)
