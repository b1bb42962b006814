"""Cron expressions where clocks change: fixed times come once a day, all others with the clock."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from podium.schedules import cron

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"
ZONES = (BERLIN, "America/New_York", LORD_HOWE, "UTC", "America/Santiago", "Africa/Cairo")
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def between(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """The times after ``begin``, up to ``end``."""
    found = cron.after(expression, ZoneInfo(zone), begin)
    return list(takewhile(lambda at: at <= end, found))


def on(expression: str, zone: str, day: str) -> list[str]:
    """The times of a day as UTC has them: ``00:30``, ``23:00:15``."""
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = (datetime.fromisoformat(day) + DAY).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = between(expression, zone, begin - timedelta(microseconds=1), end - MINUTE)
    return [f"{at:%H:%M:%S}".removesuffix(":00") for at in found]


SPRING, AUTUMN = "2026-03-29", "2026-10-25"
"""In Berlin, the clock goes from 02:00 to 03:00 at 01:00 UTC, and then back from 03:00 to 02:00."""


@pytest.mark.parametrize(
    ("expression", "spring", "autumn"),
    [
        ("30 2 * * *", ["01:00"], ["00:30"]),
        ("0 30 2 * * *", ["01:00"], ["00:30"]),
        ("15 30 2 * * *", ["01:00:15"], ["00:30:15"]),
        ("*/30 30 2 * * *", ["01:00", "01:00:30"], ["00:30", "00:30:30"]),
        ("0,30 2 * * *", ["01:00"], ["00:00", "00:30"]),
        ("0 1-4 * * *", ["00:00", "01:00", "02:00"], ["23:00", "00:00", "02:00", "03:00"]),
        ("*/30 2 * * *", [], ["00:00", "00:30", "01:00", "01:30"]),
        ("15 */30 2 * * *", [], ["00:00:15", "00:30:15", "01:00:15", "01:30:15"]),
        (
            "*/40 1-3 * * *",
            ["00:00", "00:40", "01:00", "01:40"],
            ["23:00", "23:40", "00:00", "00:40", "01:00", "01:40", "02:00", "02:40"],
        ),
    ],
)
def test_what_comes_when_the_clock_changes(
    expression: str, spring: list[str], autumn: list[str]
) -> None:
    assert on(expression, BERLIN, SPRING) == spring
    assert on(expression, BERLIN, AUTUMN) == autumn


def test_it_goes_on_within_the_minute_after_a_gap() -> None:
    after_gap = datetime(2026, 3, 29, 1, 0, 10, tzinfo=UTC)
    found = between("*/20 15,45 2 * * *", BERLIN, after_gap, after_gap + HOUR)
    assert [at.second for at in found] == [20, 40]


def test_the_last_time_before_the_second_pass_is_of_the_first() -> None:
    moment = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
    for expression in ("30 2 * * *", "0 30 2 * * *"):
        found = cron.last(expression, ZoneInfo(BERLIN), moment)
        assert found == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert cron.last("*/10 2 * * *", ZoneInfo(BERLIN), moment) == moment - 5 * MINUTE


def test_what_lies_in_gaps_alone_never_comes() -> None:
    always_skipped = cron.after("* * 2 * 3 0L", ZoneInfo(BERLIN), datetime(2026, 1, 1, tzinfo=UTC))
    assert next(always_skipped, None) is None


_SECONDS = some.one_of(some.just(""), some.integers(0, 59).map("{} ".format))
_DAYS: dict[str, Callable[[date], bool]] = {
    "* * *": lambda _: True,
    "* * 1-5": lambda day: day.isoweekday() <= 5,
    "*/2 3,10 *": lambda day: day.day % 2 == 1 and day.month in (3, 10),
}


@given(
    _SECONDS,
    some.integers(0, 59),
    some.one_of(some.integers(0, 3), some.integers(0, 23)),
    some.sampled_from(sorted(_DAYS)),
    some.sampled_from(ZONES),
    some.integers(2000, 2040),
)
@settings(deadline=None)
def test_fixed_times_come_once_on_each_of_their_days(
    seconds: str, minute: int, hour: int, days: str, zone: str, year: int
) -> None:
    begin = datetime(year, 1, 1, tzinfo=ZoneInfo(zone)) - timedelta(microseconds=1)
    end = datetime(year, 12, 31, 23, 59, 59, tzinfo=ZoneInfo(zone))
    found = between(f"{seconds}{minute} {hour} {days}", zone, begin, end)
    every_day = (begin.date() + count * DAY for count in range(1, 367))
    named = [day for day in every_day if day.year == year and _DAYS[days](day)]
    assert [at.astimezone(ZoneInfo(zone)).date() for at in found] == named


def changes(zone: str, year: int) -> Iterator[datetime]:
    """Midnights of UTC after which the clock changes within a day."""
    midnight = datetime(year, 1, 1, tzinfo=UTC)
    for _ in range(365):
        local = midnight.astimezone(ZoneInfo(zone))
        if local.utcoffset() != (midnight + DAY).astimezone(ZoneInfo(zone)).utcoffset():
            yield midnight
        midnight += DAY


_RUNNING: dict[str, Callable[[datetime], bool]] = {
    "* * * * *": lambda _: True,
    "*/7 * * * *": lambda wall: wall.minute % 7 == 0,
    "15 * * * *": lambda wall: wall.minute == 15,
    "0 0 * * * *": lambda wall: wall.minute == 0,
    "*/30 2 * * *": lambda wall: wall.hour == 2 and wall.minute % 30 == 0,
    "*/20 0 * * 0,5": lambda wall: (
        wall.hour == 0 and wall.minute % 20 == 0 and wall.isoweekday() in (5, 7)
    ),
    "0 */6 * * *": lambda wall: wall.hour % 6 == 0 and wall.minute == 0,
    "0 */10 5 * * *": lambda wall: wall.hour == 5 and wall.minute % 10 == 0,
}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", _RUNNING)
def test_all_others_come_whenever_the_clock_shows_their_time(expression: str, zone: str) -> None:
    for midnight in [*changes(zone, 2026), datetime(2026, 6, 1, tzinfo=UTC)]:
        begin, end = midnight - DAY, midnight + 2 * DAY
        minutes = [begin + count * MINUTE for count in range(1, 3 * 24 * 60 + 1)]
        shown = [at for at in minutes if _RUNNING[expression](at.astimezone(ZoneInfo(zone)))]
        assert between(expression, zone, begin, end) == shown


_CHANGES = [midnight for zone in ZONES for midnight in changes(zone, 2026)]


@given(
    some.sampled_from(
        ["30 2 * * *", "9 15,45 1-4 * * *", "*/7 2 * * *", "5 */3 * * *", "* 0 * * *"]
    ),
    some.sampled_from(ZONES),
    some.sampled_from(_CHANGES),
    some.timedeltas(timedelta(0), 2 * DAY),
)
@settings(deadline=None)
def test_it_goes_on_from_any_moment_as_from_one_before(
    expression: str, zone: str, midnight: datetime, later: timedelta
) -> None:
    begin, moment, end = midnight - DAY, midnight + later, midnight + 4 * DAY
    all_of_them = between(expression, zone, begin, end)
    assert all_of_them == sorted(set(all_of_them))
    passed = [at for at in all_of_them if at <= moment]
    assert between(expression, zone, moment, end) == all_of_them[len(passed) :]
    assert not passed or cron.last(expression, ZoneInfo(zone), moment) == passed[-1]
