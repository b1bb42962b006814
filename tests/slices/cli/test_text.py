"""Text for people, and what must not reach their terminals."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from podium.cli.output import table
from podium.cli.text import (
    age,
    clean,
    duration,
    last_form,
    line,
    local_time,
    size,
    time_of_zone,
    zones,
)


@pytest.mark.parametrize(
    ("dirty", "safe"),
    [
        ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07shown", "shown"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("over\rwritten\x08\x7f", "overwritten"),
        ("\x9b31mC1", "31mC1"),
        ("abc\u202edcba", "abcdcba"),
        ("cut \x1b", "cut "),
        ("ünïcode ✓ 漢字", "ünïcode ✓ 漢字"),
        ("/caf\udce9/x", "/caf\\xe9/x"),
    ],
)
def test_what_would_steer_a_terminal_is_taken_out(dirty: str, safe: str) -> None:
    assert clean(dirty) == safe


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    assert not any(
        (ord(character) < 32 and character not in "\n\t") or 0x7F <= ord(character) <= 0x9F
        for character in clean(text)
    )


def test_a_line_is_one_line_of_bounded_length() -> None:
    assert line("a\n  b\tc") == "a b c"
    assert line("x" * 300, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "-"),
        (-1, "0.00 s"),
        (0.314, "0.31 s"),
        (9.96, "10.0 s"),
        (42.4, "42 s"),
        (185, "3 min 5 s"),
        (300.4, "5 min"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (356400, "4 d 3 h"),
    ],
)
def test_durations(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**40, "3.0 TiB")]
)
def test_sizes(count: int, told: str) -> None:
    assert size(count) == told


def test_moments() -> None:
    assert (age(None), local_time(None)) == ("-", "-")
    assert age(datetime.now(UTC) - timedelta(minutes=2, seconds=3)) == "2 min 3 s"
    assert len(local_time(datetime.now(UTC), zone=False)) == len("2026-01-01 00:00:00")


def test_moments_name_their_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    winter, summer = datetime(2026, 1, 1, 8, tzinfo=UTC), datetime(2026, 7, 1, 8, tzinfo=UTC)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert local_time(winter) == "2026-01-01 09:00:00 CET"
        assert zones([winter, winter]) == "CET"
        assert zones([winter, summer]) == "CET/CEST"
        assert time_of_zone(summer, "Europe/Paris") == "2026-07-01 10:00:00+02:00"
        told = "2026-07-01 08:00:00+00:00  (2026-07-01 10:00:00 CEST)"
        assert time_of_zone(summer, "UTC") == told
        shown = table(("Name", "At"), [("a", winter), ("b", None)])
        assert [column.header for column in shown.columns] == ["Name", "At (CET)"]
        assert list(shown.columns[1].cells) == [Text("2026-01-01 09:00:00"), Text("-")]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ("10%\r20%\rdone", "done"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("1\r2\r\nx", "2\nx"),
    ],
)
def test_of_a_line_that_was_written_over_its_last_form_is_left(raw: str, left: str) -> None:
    assert last_form(raw) == left
