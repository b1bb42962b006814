"""What becomes of times that have come: late ones, many at once, and overlaps."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from podium.kernel.ids import uuid7
from podium.schedules import deciding, times
from podium.schedules.deciding import MOST_AT_ONCE
from podium.schedules.model import CatchUp, Earlier, Firing, Overlap, Rules, Schedule, Timing

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def hourly(next_at: datetime, catch_up: CatchUp, **options: object) -> Schedule:
    window = options.get("window")
    timing = Timing("0 * * * *", None, "UTC", NOON, ends_at=options.get("ends_at"))  # pyright: ignore[reportArgumentType]
    return Schedule(
        id=UUID(int=1),
        project_id=UUID(int=2),
        name="s",
        timing=timing,
        rules=Rules(catch_up=catch_up, catch_up_window=window),  # pyright: ignore[reportArgumentType]
        task={},
        may_run_code=True,
        next_at=next_at,
        fires_at=next_at,
        earlier=Earlier(),
        created_by="x",
        created_at=NOON,
        updated_at=NOON,
    )


@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_what_is_on_time_starts(catch_up: CatchUp) -> None:
    come = deciding.due(hourly(NOON, catch_up), NOON + timedelta(seconds=59))
    assert (come.to_start, come.missed, come.next_at) == ([NOON], None, NOON + HOUR)


@pytest.mark.parametrize(
    ("catch_up", "window", "hours"),
    [
        ("skip", None, []),
        ("latest", None, [3]),
        ("latest", 600, []),
        ("all", None, [0, 1, 2, 3]),
        ("all", 7800, [2, 3]),
    ],
)
def test_late_times_are_made_up_for_as_the_policy_says(
    catch_up: CatchUp, window: float | None, hours: Sequence[int]
) -> None:
    """Four times passed; the last of them half an hour ago."""
    come = deciding.due(hourly(NOON, catch_up, window=window), NOON + 3.5 * HOUR)
    assert come.to_start == [NOON + hour * HOUR for hour in hours]
    assert come.next_at == NOON + 4 * HOUR
    missed = 4 - len(hours)
    assert (come.missed is None) == (missed == 0)
    if come.missed:
        said = "It had passed" if missed == 1 else f"{missed} times since 2026-03-02 12:00:00"
        assert (come.missed.detail or "").startswith(said)
        assert come.missed.at == max(NOON + hour * HOUR for hour in range(4) if hour not in hours)


def test_a_time_that_is_on_time_stands_for_the_late_ones_of_latest() -> None:
    come = deciding.due(hourly(NOON, "latest"), NOON + 3 * HOUR + timedelta(seconds=5))
    assert come.to_start == [NOON + 3 * HOUR]
    come = deciding.due(hourly(NOON, "all"), NOON + 3 * HOUR + timedelta(seconds=5))
    assert come.to_start == [NOON + hour * HOUR for hour in range(4)]


def test_very_many_late_times_come_in_parts_or_as_one() -> None:
    now = NOON + 2000.5 * HOUR
    found: list[datetime] = []
    schedule, rounds = hourly(NOON, "all"), 0
    while schedule.next_at and schedule.next_at <= now:
        come = deciding.due(schedule, now)
        found += come.to_start
        assert come.next_at
        schedule = hourly(come.next_at, "all")
        rounds += 1
    assert found == [NOON + hour * HOUR for hour in range(2001)]
    assert rounds == -(-2001 // MOST_AT_ONCE)
    come = deciding.due(hourly(NOON, "latest"), now)
    assert (come.to_start, come.next_at) == ([NOON + 2000 * HOUR], NOON + 2001 * HOUR)
    assert come.missed
    assert "At least 501 times" in (come.missed.detail or "")


def test_the_latest_of_very_many_has_come_by_its_own_delay() -> None:
    schedule = hourly(NOON, "latest")
    schedule = replace(schedule, timing=replace(schedule.timing, jitter=1800))
    held = NOON + 2000 * HOUR
    comes = held + times.jitter(schedule.id, schedule.timing, held)
    early = deciding.due(schedule, comes - timedelta(seconds=1))
    assert (early.to_start, early.next_at) == ([held - HOUR], held)
    later = deciding.due(replace(schedule, next_at=held), comes)
    assert (later.to_start, later.next_at) == ([held], held + HOUR)


def test_it_ends() -> None:
    come = deciding.due(hourly(NOON, "all", ends_at=NOON + HOUR), NOON + 9 * HOUR)
    assert (come.to_start, come.next_at) == ([NOON, NOON + HOUR], None)


def outcomes(firings: Sequence[Firing]) -> list[str]:
    return [each.outcome for each in firings]


_EARLIER = [uuid7(), uuid7()]


@pytest.mark.parametrize(
    ("overlap", "still_open", "expected"),
    [
        ("skip", 0, ["started", "skipped", "skipped"]),
        ("skip", 1, ["skipped", "skipped", "skipped"]),
        ("buffer_one", 0, ["started", "started", "skipped"]),
        ("buffer_one", 1, ["started", "skipped", "skipped"]),
        ("buffer_one", 2, ["started", "skipped", "skipped"]),
        ("buffer_all", 2, ["started", "started", "started"]),
        ("cancel_other", 2, ["skipped", "skipped", "started"]),
        ("allow_all", 2, ["started", "started", "started"]),
    ],
)
def test_overlaps(overlap: Overlap, still_open: int, expected: list[str]) -> None:
    earlier = _EARLIER[:still_open]
    moments = [NOON, NOON + HOUR, NOON + 2 * HOUR]
    decided = deciding.decide(overlap, moments, Earlier(earlier, earlier), "time")
    assert outcomes(decided.firings) == expected
    assert [each.at for each in decided.firings] == moments
    assert list(decided.cancelled) == (earlier if overlap == "cancel_other" else [])
    before = tuple(earlier)
    for each in decided.firings:
        if each.outcome == "skipped":
            assert each.detail
        else:
            waits = overlap not in ("skip", "allow_all")
            assert each.after == (before if waits else ())
            assert each.task_id
            before = (each.task_id,)


def test_one_that_waits_is_enough_for_buffer_one() -> None:
    runs, waits = _EARLIER
    decided = deciding.decide("buffer_one", [NOON], Earlier([runs, waits], [waits]), "time")
    assert outcomes(decided.firings) == ["skipped"]


@given(
    some.sampled_from([1.0, 7.0, 60.0, 3600.0]),
    some.sampled_from([0.0, 5.0, 100.0, 3000.0]),
    some.sampled_from(["skip", "latest", "all"]),
    some.sampled_from([None, 0.0, 50.0, 10_000.0]),
    some.lists(some.floats(0, 20_000), min_size=1, max_size=6),
    some.sampled_from([2, 200]),
)
@settings(deadline=None)
def test_each_time_is_gone_through_once(
    every: float,
    jitter: float,
    catch_up: CatchUp,
    window: float | None,
    waits: list[float],
    most: int,
) -> None:
    """Whenever it is looked at: what is started has come, in order and once; the next time comes
    after all that; and with ``all`` nothing is left out."""
    timing = Timing(None, every, "UTC", NOON, jitter=jitter)
    first = NOON + timedelta(seconds=every)
    schedule = replace(hourly(first, catch_up, window=window), timing=timing)

    def moved(at: datetime) -> datetime:
        return at + times.jitter(schedule.id, timing, at)

    now, started = NOON, list[datetime]()
    for wait in waits:
        now += timedelta(seconds=wait)
        for _ in range(10):
            come = deciding.due(schedule, now, most)
            assert come.next_at
            assert come.next_at >= (schedule.next_at or NOON)
            assert all(at < come.next_at for at in come.to_start)
            assert all(moved(at) <= now for at in come.to_start)
            started += come.to_start
            schedule = replace(schedule, next_at=come.next_at)
    assert started == sorted(set(started))
    if catch_up == "all" and window is None and started:
        count = (started[-1] - first) // timedelta(seconds=every) + 1
        assert len(started) == count


def test_what_jitter_holds_back_is_not_lost_after_an_outage() -> None:
    """Of more times than fit, some have come by their own delay and some not yet: they come later,
    each once."""
    timing = Timing(None, 1.0, "UTC", NOON, jitter=100)
    schedule = replace(hourly(NOON + timedelta(seconds=1), "skip"), timing=timing)
    now, started = NOON + HOUR, list[datetime]()
    for _ in range(400):
        come = deciding.due(schedule, now)
        started += come.to_start
        schedule = replace(schedule, next_at=come.next_at)
        now += timedelta(seconds=1)
    assert started == sorted(set(started))
    assert len(started) == (started[-1] - started[0]) // timedelta(seconds=1) + 1
    assert started[-1] > NOON + HOUR + timedelta(seconds=200)
