"""Errors: one clear message, what to do, a code, and the right exit status."""

import json

import pytest
import typer

from podium.cli.failures import Failure, Status, report
from podium.client import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("x"), Status.REFUSED),
        (errors.Forbidden("x"), Status.REFUSED),
        (errors.Unauthenticated("x"), Status.REFUSED),
        (errors.Gone("x"), Status.REFUSED),
        (errors.InvalidInput("x"), Status.USAGE),
        (errors.TooLarge("x"), Status.USAGE),
        (errors.Conflict("x"), Status.CONFLICT),
        (errors.IdempotencyMismatch("x"), Status.CONFLICT),
        (errors.ServerFault("x"), Status.SERVER_FAILED),
        (errors.RateLimited("x"), Status.NO_SERVER),
        (errors.Unavailable("x"), Status.NO_SERVER),
        (errors.NoServer("x"), Status.NO_SERVER),
        (errors.ConnectionFailed("x"), Status.NO_SERVER),
        (errors.InvalidResponse("x"), Status.SERVER_FAILED),
        (errors.WaitTimeout("x"), Status.FAILED),
        (Failure(Status.CANCELLED, "declined", "x"), Status.CANCELLED),
        (typer.BadParameter("x"), Status.USAGE),
    ],
)
def test_the_exit_status_tells_the_kind(
    error: Exception, status: Status, capsys: pytest.CaptureFixture[str]
) -> None:
    for as_json in (True, False):
        assert report(error, as_json=as_json) is status
    captured = capsys.readouterr()
    assert captured.out == ""
    first, rest = captured.err.split("\n", 1)
    assert json.loads(first)["error"]["code"]
    assert rest.startswith("Error: ")


def test_an_error_of_the_server_is_told_with_its_fields_and_its_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = errors.api_error(
        422,
        {
            "detail": "Not \x1b[31mgood.",
            "code": "invalid_input",
            "hint": "Correct it.",
            "request_id": "r1",
            "errors": [{"field": "agent", "message": "is missing"}],
        },
    )
    report(error, as_json=False)
    assert capsys.readouterr().err.splitlines() == [
        "Error: Not good.",
        "  agent: is missing",
        "  Hint: Correct it.",
        "  (code invalid_input, request r1)",
    ]
    report(error, as_json=True)
    told = json.loads(capsys.readouterr().err)["error"]
    assert told["errors"] == [{"field": "agent", "message": "is missing"}]
    assert told["status"] == 422


def test_one_wrong_field_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*fields: str, detail: str) -> list[str]:
        wrong = [{"field": field, "message": "is missing"} for field in fields]
        document = {"detail": detail, "code": "invalid_input", "errors": wrong}
        report(errors.api_error(422, document), as_json=False)
        return capsys.readouterr().err.splitlines()[:-1]

    assert told("agent", detail="agent: is missing.") == ["Error: agent: is missing."]
    assert told("agent", detail="The agent is missing.") == ["Error: The agent is missing."]
    assert told("tasks.3.agent", detail="The agent is missing.") == [
        "Error: The agent is missing.",
        "  at tasks.3.agent",
    ]
    assert told("b.a", "a", "c", detail="b.a: is missing; 2 more fields are wrong.") == [
        "Error: b.a: is missing; 2 more fields are wrong.",
        "  a: is missing",
        "  c: is missing",
    ]


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        report(ZeroDivisionError(), as_json=False)
