"""The times of schedules: cron expressions across clock changes, intervals, bounds and jitter."""

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from podium.kernel.errors import InvalidInput
from podium.kernel.ids import uuid7
from podium.schedules import times
from podium.schedules.model import Timing

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def cron(expression: str, zone: str = "UTC", **bounds: datetime) -> Timing:
    return Timing(expression, None, zone, BEGIN, bounds.get("starts_at"), bounds.get("ends_at"))


def every(seconds: float, **bounds: datetime) -> Timing:
    starts_at = bounds.get("starts_at")
    return Timing(None, seconds, "UTC", starts_at or BEGIN, starts_at, bounds.get("ends_at"))


def texts(timing: Timing, after: str, count: int) -> list[str]:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = islice(times.after(timing, moment), count)
    return [at.isoformat(" ").removesuffix("+00:00").removesuffix(":00") for at in found]


def test_cron_is_read_in_its_time_zone() -> None:
    assert texts(cron("0 9 * * 1-5", NEW_YORK), "2026-03-05 20:00", 3) == [
        "2026-03-06 14:00",
        "2026-03-09 13:00",  # the clocks there changed on Sunday
        "2026-03-10 13:00",
    ]
    assert texts(cron("*/20 * * * * *"), "2026-03-05 20:00", 2) == [
        "2026-03-05 20:00:20",
        "2026-03-05 20:00:40",
    ]


def test_a_time_that_does_not_exist_comes_after_the_gap_and_one_that_comes_twice_counts_once() -> (
    None
):
    assert texts(cron("30 2 * * *", BERLIN), "2026-03-28 00:00", 3) == [
        "2026-03-28 01:30",
        "2026-03-29 01:00",  # 02:30 is skipped: 03:00 in summer time
        "2026-03-30 00:30",
    ]
    night = cron("30 2 * * *", BERLIN)
    assert texts(night, "2026-10-24 12:00", 2) == ["2026-10-25 00:30", "2026-10-26 01:30"]
    # Asked between the two, it does not come again, nor does one that has passed.
    assert texts(night, "2026-10-25 01:15", 1) == ["2026-10-26 01:30"]
    assert texts(night, "2026-10-25 01:45", 1) == ["2026-10-26 01:30"]
    assert texts(cron("*/30 * * * *", BERLIN), "2026-10-25 00:00", 3) == [
        "2026-10-25 00:30",
        "2026-10-25 01:00",
        "2026-10-25 01:30",
    ]


def test_an_interval_counts_from_where_it_begins() -> None:
    assert texts(every(5400), "2026-03-01 00:00", 2) == ["2026-03-01 01:30", "2026-03-01 03:00"]
    assert texts(every(5400), "2026-03-01 01:29", 1) == ["2026-03-01 01:30"]
    later = every(3600, starts_at=datetime(2026, 3, 2, 0, 10, tzinfo=UTC))
    assert texts(later, "2026-03-01 00:00", 2) == ["2026-03-02 00:10", "2026-03-02 01:10"]


def test_times_lie_between_start_and_end() -> None:
    first, final = datetime(2026, 3, 2, 9, tzinfo=UTC), datetime(2026, 3, 4, 9, tzinfo=UTC)
    for timing in (cron("0 9 * * *"), every(86400)):
        bounded = Timing(timing.cron, timing.every, "UTC", first, starts_at=first, ends_at=final)
        assert texts(bounded, "2026-03-01 00:00", 9) == [
            "2026-03-02 09:00",
            "2026-03-03 09:00",
            "2026-03-04 09:00",
        ]
        assert times.first(bounded, final) is None
        assert times.last(bounded, final + timedelta(days=9)) == final
        assert times.last(bounded, first) == first
        assert times.last(bounded, first - timedelta(seconds=1)) is None


_CRONS = ("* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15,45 1-4 * * 0", "0 12 L * *")
_LATER = some.timedeltas(timedelta(0), timedelta(days=700))


@given(
    some.sampled_from(_CRONS),
    some.sampled_from(["UTC", BERLIN, NEW_YORK, "Australia/Lord_Howe"]),
    _LATER,
)
def test_times_grow_and_the_last_one_is_the_last_before_the_next(
    expression: str, zone: str, later: timedelta
) -> None:
    timing, now = cron(expression, zone), BEGIN + later
    come = list(islice(times.after(timing, now), 20))
    assert come == sorted(set(come))
    assert come[0] > now
    before = times.last(timing, now)
    assert before is not None
    assert before <= now
    assert times.first(timing, before) == come[0]
    for at in come[:3]:
        assert times.last(timing, at) == at


@given(some.floats(1, 1e6), _LATER)
def test_intervals_are_even(seconds: float, later: timedelta) -> None:
    timing, now = every(seconds), BEGIN + later
    come = list(islice(times.after(timing, now), 3))
    before = times.last(timing, now)
    assert before is not None
    assert before <= now < come[0]
    gaps = [(later - sooner).total_seconds() for sooner, later in zip([before, *come], come)]  # noqa: B905
    assert gaps == pytest.approx([seconds] * 3, abs=1e-5)


def test_jitter_is_spread_and_stays_what_it_was() -> None:
    timing, ident = Timing("* * * * *", None, "UTC", BEGIN, jitter=30), UUID(int=1)
    spread = [times.jitter(ident, timing, at) for at in islice(times.after(timing, BEGIN), 200)]
    assert spread == [
        times.jitter(ident, timing, at) for at in islice(times.after(timing, BEGIN), 200)
    ]
    assert min(spread) >= timedelta(0)
    assert max(spread) < timedelta(seconds=30)
    assert timedelta(seconds=12) < sorted(spread)[100] < timedelta(seconds=18)
    assert times.jitter(uuid7(), timing, BEGIN) != times.jitter(uuid7(), timing, BEGIN)


@pytest.mark.parametrize(
    ("timing", "field", "told"),
    [
        (Timing(None, None, "UTC", BEGIN), "cron", "either cron or every"),
        (Timing("* * * * *", 5, "UTC", BEGIN), "cron", "either cron or every"),
        (cron("61 * * * *"), "cron", "no cron expression: Bad minute"),
        (cron("* * *"), "cron", "Wrong number of fields"),
        (cron("0 0 31 2 *"), "cron", "Bad day-of-month"),
        (cron("0 0 29 2 *", ends_at=datetime(2027, 1, 1, tzinfo=UTC)), "ends_at", "never fire"),
        (cron("* * * * *", "Europe/Berlim"), "timezone", "the closest is 'Europe/Berlin'"),
        (cron("* * * * *", "../etc/passwd"), "timezone", "no time zone"),
    ],
)
def test_what_could_never_fire_is_refused(timing: Timing, field: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        times.check(timing, BEGIN)
    assert told in refused.value.message
    assert refused.value.context["field"] == field
    assert refused.value.hint


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        (cron("0 9 * * 1-5", BERLIN), "At 09:00 on Monday through Friday (Europe/Berlin)"),
        (every(900), "Every 15 minutes"),
        (every(3600), "Every hour"),
        (every(90.5), "Every 90.5 seconds"),
    ],
)
def test_times_are_told_in_words(timing: Timing, words: str) -> None:
    assert times.described(timing) == words


def test_an_end_is_reached() -> None:
    end = BEGIN + timedelta(hours=1)
    all_of_them = times.after(every(600, ends_at=end), BEGIN)
    assert len(list(takewhile(lambda at: at <= end, all_of_them))) == 6
