"""The times of cron expressions, where clocks are set forward and back.

It is as with cron: the times of an expression are fixed when neither its minute nor its hour
begins with ``*``; then each comes once on its day. One that is skipped in spring comes right after
the gap, and one that comes twice in autumn counts the first time. All other expressions run with
the clock on the wall: a skipped hour brings nothing, and an hour that comes twice brings its times
twice.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from math import floor

from cronsim import CronSim

_SECOND, _MINUTE, _WEEK = timedelta(seconds=1), timedelta(minutes=1), timedelta(weeks=1)
_FAR = timedelta(days=50 * 366)
"""What does not come within this time never comes."""


def after(expression: str, zone: tzinfo, moment: datetime) -> Iterator[datetime]:
    """The times after a moment, in order. They are whole seconds of UTC."""
    minute, hour = expression.split()[-5:-3]
    fixed = not minute.startswith("*") and not hour.startswith("*")
    return (_fixed if fixed else _running)(expression, zone, moment.astimezone(UTC))


def last(expression: str, zone: tzinfo, moment: datetime) -> datetime | None:
    """The last time at or before a moment; None when there is none."""

    def is_last(at: datetime) -> bool:
        found = next(after(expression, zone, at), None)
        return found is None or found > moment

    begin = (moment - _FAR).replace(microsecond=0)
    found = _earliest(begin, moment, is_last)
    return None if found == begin else found


def _fixed(expression: str, zone: tzinfo, moment: datetime) -> Iterator[datetime]:
    # A time of a gap has its second in the minute after it.
    begin = (moment - _MINUTE).astimezone(zone).replace(tzinfo=None)
    for wall in CronSim(expression, begin):
        at = _instant(wall, zone)
        if at > moment:
            yield at
            moment = at


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """When the clock shows this for the first time, or would but for the gap that ends then."""
    while _is_skipped(local := wall.replace(tzinfo=zone, fold=0)):
        wall += _MINUTE
    return local.astimezone(UTC)


def _is_skipped(local: datetime) -> bool:
    before, later = local.utcoffset(), local.replace(fold=1).utcoffset()
    return before is not None and later is not None and before < later


def _running(expression: str, zone: tzinfo, moment: datetime) -> Iterator[datetime]:
    """Go from one change of the clock to the next; in between it is ahead of UTC by as much."""
    limit = moment + _FAR
    while moment < limit:
        ahead = _ahead(zone, moment + _SECOND)
        for wall in CronSim(expression, (moment + ahead).replace(tzinfo=None)):
            at = wall.replace(tzinfo=UTC) - ahead
            if changed := _change(zone, moment + _SECOND, at):
                moment = changed - _SECOND
                break
            yield at
            moment, limit = at, at + _FAR
        else:
            return


def _change(zone: tzinfo, begin: datetime, end: datetime) -> datetime | None:
    """When the clock is changed for the first time between two moments; None when it is not."""
    ahead = _ahead(zone, begin)
    while begin < end:
        later = min(begin + _WEEK, end)
        if _ahead(zone, later) != ahead:
            return _earliest(begin, later, lambda at: _ahead(zone, at) != ahead)
        begin = later
    return None


def _earliest(begin: datetime, end: datetime, holds: Callable[[datetime], bool]) -> datetime:
    """The first whole second for which it holds, as it does for those after it and for ``end``."""

    def at(second: int) -> datetime:
        return datetime.fromtimestamp(second, UTC)

    seconds = range(floor(begin.timestamp()), floor(end.timestamp()))
    return at(seconds.start + bisect_left(seconds, 1, key=lambda second: int(holds(at(second)))))


def _ahead(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
