"""Sessions by the contract of the runtime port, on every adapter."""

import asyncio
from pathlib import Path

import pytest

from contract.context import RecordingContext, RecordingConversation, until
from contract.kinds import KINDS, Bench, Kind
from podium.agents.runtime import Said


def spoken(conversation: RecordingConversation) -> list[tuple[str, str]]:
    return [(what, text) for what, text, _ in conversation.said]


async def test_inputs_are_answered_one_by_one(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "talk")
    context.session = RecordingConversation("a", "b?", "ü\nc")
    assert await bench.run(kind, context) == ["a", "b?", "ü\nc"]
    # The next input is asked for once the one before is dealt with, and not before.
    assert spoken(context.session) == [
        ("receive", ""),
        ("say", "heard a"),
        ("receive", ""),
        ("ask", "why b?"),
        ("receive", ""),
        ("say", "heard ü\nc"),
        ("receive", ""),
    ]
    assert [data for _, _, data in context.session.said if data] == [{"n": 1}, {"n": 3}]


async def test_what_was_said_earlier_is_given(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "talk")
    earlier = [Said(1, "input", "before", {"x": 1}, "ann"), Said(2, "say", "yes")]
    context.session = RecordingConversation("now", earlier=earlier)
    assert await bench.run(kind, context) == ["before", "yes", "now"]


async def test_a_session_that_is_cancelled_ends_while_it_waits(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "talk")
    context.session = RecordingConversation("a", closed=False)
    running = asyncio.create_task(bench.run(kind, context))
    await until(
        lambda: spoken(context.session)[-1:] == [("receive", "")] and len(context.session.said) > 1
    )
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_nothing_goes_on_while_it_is_paused(bench: Bench, kind: Kind, tmp_path: Path) -> None:
    marks = [tmp_path / "marks"]
    context = bench.context(kind, "count", str(marks[0]), confinement="none")
    if kind.is_process:
        marks.append(tmp_path / "marks.child")
    context.session = RecordingConversation(closed=False)
    running = asyncio.create_task(bench.run(kind, context))
    await until(lambda: all(each.exists() for each in marks))
    for _ in range(2):
        context.session.pause(on=True)
        before = await _standing(marks)
        await asyncio.sleep(0.3)
        assert _sizes(marks) == before
        context.session.pause(on=False)
        await until(
            lambda before=before: all(
                now > then for now, then in zip(_sizes(marks), before, strict=True)
            )
        )
    context.session.pause(on=True)
    await _standing(marks)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def _sizes(marks: list[Path]) -> list[int]:
    return [each.stat().st_size for each in marks]


async def _standing(marks: list[Path]) -> list[int]:
    """The sizes once they no longer grow."""
    found: list[int] = []
    while found != (found := _sizes(marks)):
        await asyncio.sleep(0.15)
    return found


@pytest.mark.parametrize("kind", [each for each in KINDS if each.runtime != "command"], ids=str)
async def test_a_function_that_does_not_ask_is_given_nothing(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "echo", 1)
    context.session = RecordingConversation("a")
    assert (await bench.run(kind, context))["got"] == 1
    assert spoken(context.session) == []


async def test_a_task_that_nobody_talks_to_has_no_session(bench: Bench, kind: Kind) -> None:
    context: RecordingContext = bench.context(kind, "echo")
    assert context.session is None
    assert (await bench.run(kind, context))["got"] is None
