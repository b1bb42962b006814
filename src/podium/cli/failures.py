"""How errors are told, and what the exit status is."""

import errno
import json
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, cast

from typer.exceptions import TyperException

from podium.cli.text import clean
from podium.client.errors import ApiError, ConnectionFailed, InvalidResponse, PodiumError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Status(IntEnum):
    """What the exit statuses of every command mean. After 3 the same may succeed later."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_SERVER = 3
    REFUSED = 4
    CANCELLED = 5
    CONFLICT = 6
    SERVER_FAILED = 7
    INTERRUPTED = 130


class Failure(Exception):
    """A command cannot do what it was asked. ``code`` is stable; ``errors`` are each a ``field``,
    or the place of one, and a ``message``."""

    def __init__(
        self,
        status: Status,
        code: str,
        message: str,
        hint: str | None = None,
        errors: "Sequence[Mapping[str, str]]" = (),
    ) -> None:
        super().__init__(message)
        self.errors = errors
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint


_BY_HTTP_STATUS = {
    400: Status.USAGE,
    401: Status.REFUSED,
    403: Status.REFUSED,
    404: Status.REFUSED,
    409: Status.CONFLICT,
    410: Status.REFUSED,
    413: Status.USAGE,
    415: Status.USAGE,
    422: Status.USAGE,
    429: Status.NO_SERVER,
    502: Status.NO_SERVER,
    503: Status.NO_SERVER,
    504: Status.NO_SERVER,
}

_NOT_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""How writing to a stream fails, which names no file."""
_MOST_FIELDS = 20
"""More wrong fields are only counted for people."""


def report(error: Exception, *, as_json: bool, about: str | None = None) -> Status:
    """Tell an error on standard error and give the exit status; bugs keep their traceback.

    ``about`` is the one of several things that it is about.
    """
    if isinstance(error, Failure):
        status, told = error.status, _own_error(error)
    elif isinstance(error, PodiumError):
        status, told = status_of(error), _client_error(error)
    elif isinstance(error, TyperException):
        return _usage(error, as_json=as_json)
    elif isinstance(error, OSError) and error.errno in _NOT_WRITTEN and not error.filename:
        status = Status.FAILED
        told = {"code": "not_written", "message": f"Output cannot be written: {error.strerror}."}
    else:
        raise error
    _write(told if about is None else {**told, "about": about}, as_json=as_json)
    return status


def status_of(error: PodiumError) -> Status:
    """The exit status that tells of an error of the SDK."""
    if isinstance(error, ConnectionFailed):
        return Status.NO_SERVER
    if isinstance(error, ApiError):
        return _BY_HTTP_STATUS.get(error.status, Status.SERVER_FAILED)
    return Status.SERVER_FAILED if isinstance(error, InvalidResponse) else Status.FAILED


def _own_error(error: Failure) -> "dict[str, object]":
    told: dict[str, object] = {"code": error.code, "message": error.message}
    if error.hint:
        told["hint"] = error.hint
    if error.errors:
        told["errors"] = [dict(each) for each in error.errors]
    return told


def _client_error(error: PodiumError) -> "dict[str, object]":
    told: dict[str, object] = {"code": error.code, "message": error.message}
    if error.hint:
        told["hint"] = error.hint
    if isinstance(error, ApiError):
        told["status"] = error.status
        if error.errors:
            told["errors"] = [dict(item) for item in error.errors]
        if error.request_id:
            told["request_id"] = error.request_id
    return told


def _usage(error: TyperException, *, as_json: bool) -> Status:
    message = _of_typer(error)
    if type(error).__name__ == "NoArgsIsHelpError":
        if not as_json:
            sys.stderr.write(f"{message}\n")
            return Status.USAGE
        message = "Missing command."
    context = getattr(error, "ctx", None)
    told = {"code": "usage", "message": message}
    if context is not None:
        told["hint"] = f"see '{context.command_path} --help'"
    _write(told, as_json=as_json)
    return Status.USAGE


def _of_typer(error: TyperException) -> str:
    """What Typer says, without the words of pydantic, with which it checks values."""
    errors = getattr(error.__cause__, "errors", None)
    if errors is None:
        return error.format_message()
    found = errors()[0]
    match found["type"]:
        case "int_parsing":
            error.message = "it must be a whole number."
        case "float_parsing":
            error.message = "it must be a number."
        case _:
            wrong = str(found["msg"]).removeprefix("Value error, ").removesuffix(".")
            wrong = wrong.replace("Input should", "it must", 1)
            error.message = f"{wrong}{_closest(wrong, found['input'])}."
    return error.format_message()


def _closest(wrong: str, given: object) -> str:
    """Words that name the one of the values which Typer lists that a wrong one is most like."""
    import re
    from difflib import get_close_matches

    _, among, values = wrong.partition(" is not one of ")
    known = re.findall(r"'([^']*)'", values) if among else []
    close = get_close_matches(str(given).lower(), known, n=1)
    return f"; the closest is '{close[0]}'" if close else ""


def _write(told: "Mapping[str, object]", *, as_json: bool) -> None:
    if as_json:
        sys.stderr.write(json.dumps({"error": told}) + "\n")
        return
    red, dim, plain = ("\033[1;31m", "\033[2m", "\033[0m") if _coloured() else ("", "", "")
    message = clean(str(told["message"]))
    about = str(told.get("about", ""))
    if about and about not in message:
        message = f"{about}: {message}"
    lines = [f"{red}Error:{plain} {message}"]
    fields = _fields(told)
    lines += [f"  {field}" for field in fields[:_MOST_FIELDS]]
    if len(fields) > _MOST_FIELDS:
        lines.append(f"  and {len(fields) - _MOST_FIELDS:,} more; --json tells all.")
    if "hint" in told:
        lines.append(f"  Hint: {clean(str(told['hint']))}")
    marks = ", ".join(
        f"{name} {clean(str(told[key]))}"
        for key, name in (("code", "code"), ("request_id", "request"))
        if key in told
    )
    lines.append(f"  {dim}({marks}){plain}")
    sys.stderr.write("\n".join(lines) + "\n")


def _fields(told: "Mapping[str, object]") -> list[str]:
    """What was wrong with which field, as far as the message does not say it."""
    errors = cast("list[dict[str, str]]", told.get("errors") or [])
    message = str(told["message"])
    if len(errors) == 1 and errors[0]["message"].removesuffix(".") in message:
        field = errors[0]["field"]
        # The name of a field says no more than the sentence; its place within something does.
        return [clean(f"at {field}")] if "." in field and field not in message else []
    lines = [f"{item['field']}: {item['message']}" for item in errors]
    return [clean(line) for line in lines if f" {line}" not in f" {message}"]


def _coloured() -> bool:
    import os

    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
