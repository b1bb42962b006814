"""Which times of a schedule start a task, and which do not: catching up, and overlaps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice, takewhile
from uuid import UUID

from podium.kernel.ids import uuid7
from podium.schedules import times
from podium.schedules.model import Cause, Earlier, Firing, Overlap, Schedule

MOST_AT_ONCE = 500
"""Times of one schedule that are gone through in one transaction."""
_ON_TIME = timedelta(seconds=60)
"""What is seen no later than this was not missed: clocks and processes may be a little late."""
_TICK = timedelta(microseconds=1)
_SUPERSEDED = "A later time had come, too."
_CHAINED = frozenset({"buffer_one", "buffer_all", "cancel_other"})


@dataclass(frozen=True, slots=True)
class Due:
    """What has become of a schedule's times up to now."""

    to_start: Sequence[datetime]
    missed: Firing | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decided:
    """Firings in order of their times, and the tasks to be cancelled for them."""

    firings: Sequence[Firing]
    cancelled: Sequence[UUID]


def due(schedule: Schedule, now: datetime, most: int = MOST_AT_ONCE) -> Due:
    """Go through the times that have come, at most ``most`` of them to be started. ``next_at`` of
    the result may have come, too; then it is to be gone through next.

    A time comes after those before it, however far jitter moved these.
    """
    if schedule.next_at is None:
        return Due((), None, None)
    seen = _come(schedule, schedule.next_at, now, most + 1)
    if len(seen) <= most:
        to_start, late = _split(schedule, seen, now)
        return Due(to_start, _missed(late, more=False), _after(schedule, seen))
    horizon = _horizon(schedule, now)
    if horizon is None or horizon <= schedule.next_at:
        return Due(seen[:most], None, seen[most])
    # So much has passed that what is not made up for is not counted to its end.
    rest = _come(schedule, times.first(schedule.timing, horizon - _TICK), now, most + 1)
    if not rest and schedule.rules.catch_up == "latest":
        rest = [times.last(schedule.timing, horizon - _TICK) or seen[-1]]
    to_start, _ = _split(schedule, rest[:most], now)
    skipped = [at for at in seen if at not in set(to_start)]
    next_at = rest[most] if len(rest) > most else _after(schedule, rest or [horizon - _TICK])
    return Due(to_start, _missed(skipped, more=True), next_at)


def moved(schedule: Schedule, at: datetime | None) -> Schedule:
    """The schedule with its next time."""
    fires_at = at and at + times.jitter(schedule.id, schedule.timing, at)
    return replace(schedule, next_at=at, fires_at=fires_at)


def _come(schedule: Schedule, begin: datetime | None, now: datetime, most: int) -> list[datetime]:
    """The first times from ``begin`` on that have come."""
    if begin is None:
        return []
    to_come = chain([begin], times.after(schedule.timing, begin))
    jitter = partial(times.jitter, schedule.id, schedule.timing)
    return list(islice(takewhile(lambda at: at + jitter(at) <= now, to_come), most))


def _after(schedule: Schedule, seen: Sequence[datetime]) -> datetime | None:
    """The time after those that were seen."""
    return times.first(schedule.timing, seen[-1]) if seen else schedule.next_at


def _horizon(schedule: Schedule, now: datetime) -> datetime | None:
    """The time before which none is started; None without one."""
    rules = schedule.rules
    if rules.catch_up == "all":
        return None if rules.catch_up_window is None else now - _of(rules.catch_up_window)
    return now - _ON_TIME - _of(schedule.timing.jitter)


def _split(
    schedule: Schedule, passed: Sequence[datetime], now: datetime
) -> tuple[list[datetime], list[datetime]]:
    """Times to be started, and those that were missed for good."""
    rules = schedule.rules
    on_time = [at for at in passed if now - at <= _ON_TIME + _of(schedule.timing.jitter)]
    late = passed[: len(passed) - len(on_time)]
    oldest = now - _of(rules.catch_up_window) if rules.catch_up_window is not None else None
    fresh = [at for at in late if oldest is None or at >= oldest]
    match rules.catch_up:
        case "all":
            made_up = fresh
        case "latest":
            made_up = [] if on_time else fresh[-1:]
        case "skip":
            made_up = []
    return [*made_up, *on_time], [at for at in late if at not in set(made_up)]


def _of(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _missed(late: Sequence[datetime], *, more: bool) -> Firing | None:
    if not late:
        return None
    count = f"{'At least ' if more else ''}{len(late)}"
    detail = (
        "It had passed when it was seen."
        if len(late) == 1
        else f"{count} times since {late[0]:%Y-%m-%d %H:%M:%S} UTC had passed when they were seen."
    )
    return Firing(uuid7(), late[-1], "time", "missed", detail=detail)


def decide(
    overlap: Overlap, moments: Sequence[datetime], earlier: Earlier, cause: Cause
) -> Decided:
    """What becomes of times at which a task is to start, given the earlier tasks still open."""
    count, last = len(earlier.open), list(earlier.last)
    firings: list[Firing] = []
    for place, at in enumerate(moments):
        superseded = overlap == "cancel_other" and place < len(moments) - 1
        if why := _SUPERSEDED if superseded else _in_the_way(overlap, count, last):
            firings.append(Firing(uuid7(), at, cause, "skipped", detail=why))
            continue
        task_id = uuid7()
        chained = overlap in _CHAINED
        after = tuple(last) if chained else ()
        firings.append(Firing(uuid7(), at, cause, "started", task_id, after=after))
        count, last = count + 1, [task_id] if chained else [*last, task_id]
    cancels = overlap == "cancel_other" and firings
    return Decided(firings, list(earlier.open) if cancels else ())


def _in_the_way(overlap: Overlap, count: int, last: Sequence[UUID]) -> str | None:
    """Why no task is started beside ``count`` open ones, of which nobody waits for the ``last``."""
    if overlap == "skip" and count:
        return f"Task {last[-1]} of an earlier time had not ended."
    if overlap == "buffer_one" and count > len(last):
        return f"Task {last[-1]} of an earlier time was waiting already."
    return None
