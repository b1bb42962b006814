"""Tasks as their events tell of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from podium.cli.board import Board, Row
from podium.client.models import Event

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def event(second: float, type_: str, subject: str = "a", **data: Any) -> Event:
    return Event(
        cursor="1.1.1",
        at=BEGIN + timedelta(seconds=second),
        type=type_,
        version=1,
        subject=subject,
        data=data,
    )


def told(*events: Event) -> Row:
    board = Board([Row("a", "A")])
    for each in events:
        board.apply(each)
    return board.rows["a"]


def test_a_task_that_ran() -> None:
    row = told(
        event(0, "task.created", state="pending"),
        event(2, "task.queued", after="dependencies"),
        event(2.5, "task.started", attempt=1),
        event(3, "task.progress", fraction=0.5, note="half"),
        event(6.5, "task.completed", attempt=1),
    )
    assert (row.state, row.waited, row.ran, row.note) == ("succeeded", 0.5, 4.0, "50% half")


def test_a_task_that_was_ready_at_once() -> None:
    row = told(event(0, "task.created", state="queued"), event(1, "task.started"))
    assert (row.state, row.waited) == ("running", 1.0)
    assert row.ran is not None
    assert row.ran > 0


def test_a_task_that_moved_on_before_it_was_told_of() -> None:
    row = told(event(1, "task.queued"), event(0, "task.created", state="pending"))
    assert (row.state, row.ready_at) == ("queued", event(1, "task.queued").at)


def test_a_retry_counts_its_last_attempt() -> None:
    row = told(
        event(0, "task.created", state="queued"),
        event(1, "task.started"),
        event(2, "task.retrying", error={"code": "boom", "message": "it broke"}, retry_in=1),
        event(3, "task.queued", after="retry"),
        event(5, "task.started"),
        event(6, "task.failed", error={"code": "boom"}),
    )
    assert (row.state, row.waited, row.ran, row.error) == ("failed", 2.0, 1.0, "boom")


def test_a_task_that_never_started() -> None:
    row = told(
        event(0, "task.created", state="pending"),
        event(3, "task.cancelled", error={"code": "cancelled", "message": "Not wanted."}),
    )
    assert (row.state, row.waited, row.ran, row.error) == ("cancelled", None, None, "Not wanted.")


@pytest.mark.parametrize("type_", ["task.updated", "task.cancelling", "worker.started", "task.new"])
def test_other_events_change_nothing(type_: str) -> None:
    assert told(event(0, "task.created", state="queued"), event(1, type_)).state == "queued"


def test_tasks_of_others_are_passed_over_and_changes_are_told_once() -> None:
    changes: list[str] = []
    board = Board(
        [Row("a", "A"), Row("b", "B")], lambda row: changes.append(f"{row.id} {row.state}")
    )
    for each in (
        event(0, "task.started", "c"),
        event(0, "task.started", "a"),
        event(0, "task.started", "a"),
        event(1, "task.completed", "a"),
    ):
        board.apply(each)
    assert changes == ["a running", "a succeeded"]
    assert not board.ended
    board.apply(event(1, "task.dead", "b"))
    assert board.ended


def test_lines_tell_of_attempts_and_why_they_failed(capsys: pytest.CaptureFixture[str]) -> None:
    board = Board([Row("a", "A")])
    with board.shown():
        for each in (
            event(0, "task.started", attempt=1),
            event(1, "task.retrying", attempt=1, error={"message": "it broke"}, retry_in=1),
            event(2, "task.queued", after="retry"),
            event(3, "task.started", attempt=2),
            event(5, "task.dead", attempt=2, error={"message": "for good"}),
        ):
            board.apply(each)
    assert capsys.readouterr().err.splitlines() == [
        "A: running",
        "A: pending, attempt 1: it broke",
        "A: running, attempt 2",
        "A: dead after 2.0 s, attempt 2: for good",
    ]


def test_of_many_that_ended_the_oldest_are_forgotten() -> None:
    board = Board([Row("live", "L", state="running")])
    for number in range(20):
        board.add(Row(str(number), "T", state="succeeded"))
    assert "live" in board.rows
    assert "19" in board.rows
    assert len(board.rows) == 6
