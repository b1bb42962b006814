"""What the doctor found."""

from typing import Literal, NamedTuple

Outcome = Literal["ok", "warning", "failed"]


class Finding(NamedTuple):
    """What one check found. ``advice`` says what to do about it, ``code`` what is wrong for
    programs, ``where`` what it is about, if the check looks at more than one thing."""

    check: str
    outcome: Outcome
    detail: str
    advice: str = ""
    code: str = ""
    where: str = ""
