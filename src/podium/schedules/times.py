"""The times of a schedule: which come next, which have passed, and how far jitter moves them."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import cast
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from podium.kernel.errors import InvalidInput
from podium.kernel.fields import closest
from podium.schedules import cron
from podium.schedules.model import Timing

_LAST_YEAR = 9000


def after(timing: Timing, moment: datetime) -> Iterator[datetime]:
    """The times after a moment, in order."""
    if timing.starts_at is not None:
        moment = max(moment, timing.starts_at - timedelta(microseconds=1))
    source = _cron(timing, moment) if timing.cron else _intervals(timing, moment)
    for found in source:
        if timing.ends_at is not None and found > timing.ends_at:
            return
        yield found


def first(timing: Timing, moment: datetime) -> datetime | None:
    """The first time after a moment; None when there is none."""
    return next(after(timing, moment), None)


def last(timing: Timing, moment: datetime) -> datetime | None:
    """The last time at or before a moment; None when there is none."""
    if timing.ends_at is not None:
        moment = min(moment, timing.ends_at)
    if timing.cron:
        found = cron.last(timing.cron, _zone(timing.timezone), moment)
    else:
        found = _interval(timing, _steps(timing, moment))
    earliest = timing.starts_at or (found if timing.cron else timing.anchor)
    return found if found and earliest and found >= earliest else None


def jitter(schedule_id: UUID, timing: Timing, at: datetime) -> timedelta:
    """How much later than ``at`` it fires: the same for each look, and another for each time."""
    if not timing.jitter:
        return timedelta(0)
    seed = hashlib.sha256(schedule_id.bytes + at.isoformat().encode()).digest()
    share = int.from_bytes(seed[:8]) / 2**64
    return timedelta(seconds=timing.jitter * share)


def described(timing: Timing) -> str:
    """The times in words: ``At 09:00 on Monday through Friday (Europe/Berlin)``."""
    if timing.cron:
        return f"{CronSim(timing.cron, datetime.now(UTC)).explain()} ({timing.timezone})"
    return f"Every {_in_words(cast('float', timing.every))}"


def _in_words(seconds: float) -> str:
    units = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next((size, unit) for size, unit in units if seconds % size == 0 or size == 1)
    return unit if seconds == size else f"{seconds / size:g} {unit}s"


def check(timing: Timing, now: datetime) -> None:
    """Raise ``InvalidInput`` unless there is at least one time to come."""
    if (timing.cron is None) == (timing.every is None):
        raise InvalidInput(
            "A schedule needs either cron or every.",
            hint='cron is an expression such as "0 9 * * 1-5", every a number of seconds.',
            field="cron",
        )
    _check_zone(timing.timezone)
    if timing.cron is not None:
        _check_cron(timing.cron)
    if first(timing, now) is None:
        raise InvalidInput(
            "This schedule would never fire: no time of it is to come.",
            hint="Look at ends_at, and at days that no month has.",
            field="ends_at" if timing.ends_at else "cron",
        )


def _check_zone(name: str) -> None:
    if name not in _zones():
        near = closest(name, _zones())
        raise InvalidInput(
            f"{name[:80]!r} is no time zone{near}.",
            hint="Use a name of the IANA database, such as Europe/Berlin or UTC.",
            field="timezone",
        )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:  # it was known to the server that accepted it
        raise InvalidInput(
            f"The time zone {name} is not known to this server.",
            hint="Update the package tzdata where it runs, or change the schedule's time zone.",
            field="timezone",
        ) from None


def _check_cron(expression: str) -> None:
    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise InvalidInput(
            f"{expression[:80]!r} is no cron expression: {error}.",
            hint="It has the fields minute, hour, day of the month, month and day of the week, such"
            ' as "0 9 * * 1-5"; a sixth in front of them is for seconds.',
            field="cron",
        ) from None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _cron(timing: Timing, moment: datetime) -> Iterator[datetime]:
    found = cron.after(cast("str", timing.cron), _zone(timing.timezone), moment)
    return takewhile(lambda at: at.year <= _LAST_YEAR, found)


def _intervals(timing: Timing, moment: datetime) -> Iterator[datetime]:
    step = max(0, _steps(timing, moment) + 1)
    while (time := _interval(timing, step)).year < _LAST_YEAR:
        yield time
        step += 1


def _steps(timing: Timing, moment: datetime) -> int:
    """How many whole intervals lie between the anchor and the moment; below 0 before it."""
    return (moment - timing.anchor) // timedelta(seconds=cast("float", timing.every))


def _interval(timing: Timing, step: int) -> datetime:
    return timing.anchor + step * timedelta(seconds=cast("float", timing.every))
