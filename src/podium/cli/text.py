"""Text for people: nothing in it may steer the terminal."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podium.client.models import Rate

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -~])"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BYTES = re.compile(r"[\udc80-\udcff]")

_MINUTE = 60
_HOUR = 3600
_DAY = 86400


def clean(text: str) -> str:
    """Text of others without terminal sequences, control characters and changes of direction; of
    bytes that are no text (of paths, as Python has them) the hexadecimal form."""
    text = _CONTROLS.sub("", _ESCAPES.sub("", text))
    return _BYTES.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)


def last_form(text: str) -> str:
    """What a program has written, as a terminal would show it in the end: of a line that it wrote
    over again and again the last form."""
    return "\n".join(each.rstrip("\r").rpartition("\r")[2] for each in text.split("\n"))


def line(text: str, longest: int = 200) -> str:
    """``clean`` as one line of at most ``longest`` characters."""
    text = " ".join(clean(text).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def duration(seconds: float | None) -> str:
    """Seconds as people read them: 0.31 s, 12 s, 3 min 5 s, 5 min, 2 h 10 min, 4 d 3 h."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    for unit, name, smaller, small_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if seconds >= unit:
            whole, rest = divmod(seconds, unit)
            small = rest // smaller
            return f"{whole:.0f} {name}" + (f" {small:.0f} {small_name}" if small else "")
    raise AssertionError


def several(count: int, what: str) -> str:
    """A number of things: 1 task, 2 tasks."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def rate_text(rate: "Rate | None") -> str:
    """A rate as it is given on the command line: 5/s, 100/h, 10/30s."""
    if rate is None:
        return "at any rate"
    units = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m"))
    factor, unit = next((each for each in units if rate.seconds % each[0] == 0), (1, "s"))
    time = unit if rate.seconds == factor else f"{rate.seconds / factor:g}{unit}"
    burst = f", {rate.burst} at once" if rate.burst != rate.count else ""
    return f"{rate.count}/{time}{burst}"


def age(moment: datetime | None) -> str:
    """How long ago something was."""
    return "-" if moment is None else duration((datetime.now(UTC) - moment).total_seconds())


def local_time(moment: datetime | None, *, zone: bool = True) -> str:
    """A moment in this machine's time zone, to the second; ``zone`` has it named."""
    if moment is None:
        return "-"
    return moment.astimezone().strftime(f"%Y-%m-%d %H:%M:%S{' %Z' if zone else ''}")


def zones(moments: Iterable[datetime]) -> str:
    """The names that this machine's time zone has at these moments: CET, or CET/CEST."""
    return "/".join(dict.fromkeys(moment.astimezone().strftime("%Z") for moment in moments))


def time_of_zone(moment: datetime, name: str) -> str:
    """A moment in a time zone with its offset, and in this machine's where the two differ."""
    from zoneinfo import ZoneInfo

    there, here = moment.astimezone(ZoneInfo(name)), moment.astimezone()
    told = there.isoformat(" ", "seconds")
    return told if there.utcoffset() == here.utcoffset() else f"{told}  ({local_time(here)})"


def size(count: int) -> str:
    """Bytes as people read them."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
