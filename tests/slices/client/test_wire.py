"""Requests, errors, delays and event streams, without any server."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.client import errors, wire
from podium.client.connection import Connection

HERE = Connection("http://127.0.0.1:8250", "podium_id_secret")


def test_a_query_is_written_the_way_the_api_reads_it() -> None:
    request = wire.Request(
        "GET",
        "tasks",
        {
            "state": ["queued", "running"],
            "label": ["a:b c"],
            "agent": None,
            "limit": 5,
            "all": True,
            "created_after": datetime(2026, 1, 2, tzinfo=UTC),
        },
    )
    parts = urlsplit(request.url(HERE))
    assert parts.path == "/api/v1/orchestration/tasks"
    assert parse_qsl(parts.query) == [
        ("state", "queued"),
        ("state", "running"),
        ("label", "a:b c"),
        ("limit", "5"),
        ("all", "true"),
        ("created_after", "2026-01-02T00:00:00+00:00"),
    ]


def test_a_path_of_the_servers_own_is_outside_the_prefix() -> None:
    assert wire.Request("GET", "/health/live").url(HERE) == "http://127.0.0.1:8250/health/live"


def test_a_segment_cannot_leave_its_place() -> None:
    assert wire.segment("../../tokens?x=1#y") == "..%2F..%2Ftokens%3Fx%3D1%23y"


@pytest.mark.parametrize(
    "make",
    [
        lambda: wire.Request("POST", "tasks", body={"input": {"prompt": "\udcff"}}).content(),
        lambda: wire.Request("GET", "tasks", {"agent": "\udcff"}).url(HERE),
        lambda: wire.segment("\udcff"),
    ],
)
def test_what_is_no_text_is_told(make: Callable[[], object]) -> None:
    with pytest.raises(errors.InvalidInput, match=r"UTF-8 can hold. It holds '\\udcff'"):
        make()


def test_a_header_that_cannot_be_sent_is_told() -> None:
    request = wire.Request("POST", "tasks", headers=wire.idempotency("schlüssel"))
    with pytest.raises(errors.InvalidInput, match=r"ASCII characters. It holds '\\xfc'"):
        request.all_headers(HERE, "test")


def test_every_documented_error_has_its_class_here() -> None:
    """The two lists are written apart; here they meet."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "errors.md").read_text()
    row = re.compile(r"^\| `(\w+)` \| (\d+) \| `(\w+)` \| .+ \| [A-Z`].+\. \|$", re.MULTILINE)
    documented = {code: (int(status), name) for code, status, name in row.findall(text)}
    ours = {code: (kind.status, kind.__name__) for code, kind in errors.ApiError.by_code.items()}
    assert len(documented) > 20
    assert ours == documented


def test_a_change_that_may_have_been_made_is_not_told_as_none() -> None:
    """``Unavailable`` promises that nothing was changed."""
    error = errors.api_error(503, {"code": "outcome_unknown", "detail": "?"})
    assert type(error) is errors.OutcomeUnknown
    assert not isinstance(error, errors.Unavailable)


def test_a_problem_becomes_its_error_with_all_that_it_says() -> None:
    document = {
        "type": "https://podium.dev/errors/schema_mismatch",
        "title": "Value does not match its schema",
        "status": 422,
        "detail": "input does not match.",
        "code": "schema_mismatch",
        "hint": "Correct it.",
        "request_id": "abc",
        "errors": [{"field": "input.name", "message": "is missing"}],
        "task_id": "1",
    }
    error = errors.api_error(422, document)
    assert type(error) is errors.SchemaMismatch
    assert isinstance(error, errors.InvalidInput)
    assert (error.message, error.hint, error.request_id) == (
        "input does not match.",
        "Correct it.",
        "abc",
    )
    assert error.errors == ({"field": "input.name", "message": "is missing"},)
    assert error.context == {"task_id": "1"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, errors.NotFound),
        (418, errors.ApiError),
        (500, errors.ServerFault),
        (507, errors.ServerFault),
    ],
)
def test_a_code_from_the_future_becomes_the_class_of_its_status(
    status: int, kind: type[errors.ApiError]
) -> None:
    error = errors.api_error(status, {"code": "brand_new", "detail": "?"})
    assert type(error) is kind
    assert (error.code, error.status) == ("brand_new", status)


def test_an_answer_that_is_no_problem_document_is_told_all_the_same() -> None:
    error = wire.problem(wire.Answer(502, {"x-request-id": "r"}, b"<html>"))
    assert isinstance(error, errors.ApiError)
    assert (error.status, error.request_id) == (502, "r")
    assert "502" in error.message


@pytest.mark.parametrize("status", [404, 405])
def test_what_does_not_know_the_api_is_no_podium(status: int) -> None:
    error = wire.problem(wire.Answer(status, {}, b"<html>"))
    assert isinstance(error, errors.InvalidResponse)
    assert (str(status) in error.message, "Check the address" in str(error.hint)) == (True, True)


def test_an_answer_that_cannot_be_read_says_so() -> None:
    with pytest.raises(errors.InvalidResponse, match="cannot be read"):
        wire.decode(b'{"items": 1}', wire.LogPage)


@given(st.integers(1, 60))
def test_delays_grow_to_a_limit_and_are_spread(attempt: int) -> None:
    longest = min(5.0, 0.1 * 2 ** (attempt - 1))
    assert longest / 2 <= wire.delay(attempt) <= longest


@pytest.mark.parametrize(
    ("asked", "least"), [("7", 7.0), ("100000", 60.0), ("soon", 0.0), ("", 0.0)]
)
def test_the_server_says_how_long_to_wait_within_reason(asked: str, least: float) -> None:
    waited = wire.delay(1, wire.Answer(429, {"retry-after": asked}, b""))
    assert least <= waited <= max(least, 0.1)


@pytest.mark.parametrize(
    ("status", "repeatable", "again"),
    [
        (503, True, True),
        (503, False, False),
        (429, False, True),
        (500, True, False),
        (502, True, True),
    ],
)
def test_what_is_sent_again(status: int, repeatable: bool, again: bool) -> None:  # noqa: FBT001
    request = wire.Request("POST", "tasks", repeatable=repeatable)
    assert wire.may_retry(request, status) is again


STREAM = (
    "retry: 1000\nid: 1.0.0\n\n"
    ": still here\n\n"
    'id: 1.1.1\nevent: task.created\ndata: {"a":\ndata: 1}\n\n'
    "event: end\r\ndata: {}\r\n\r\n"
    "unknown\ndata:ünïcode ✓\n\n"
).encode()


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_a_stream_is_read_the_same_however_it_is_cut(places: list[int]) -> None:
    edges = [0, *sorted(places), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in pairwise(edges)]
    parser = wire.MessageParser()
    found = [message for chunk in chunks for message in parser.feed(chunk)]
    told = [(m.id, m.event, m.data) for m in found if m.event or m.id]
    assert told == [
        ("1.0.0", "", ""),
        ("1.1.1", "task.created", '{"a":\n1}'),
        (None, "end", "{}"),
        (None, "message", "ünïcode ✓"),
    ]


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_LONGEST_LINE", 1000)
    parser = wire.MessageParser()
    with pytest.raises(errors.InvalidResponse, match="longer than"):
        _ = [list(parser.feed(b"data: " + b"x" * 100)) for _ in range(20)]


@pytest.mark.parametrize(
    ("value", "place", "told"),
    [
        (object(), "input", "no form for the type object"),
        (float("nan"), "input", "a finite number, not nan"),
        ([{"a": (1.5, float("-inf"))}], "input.0.a.1", "a finite number, not -inf"),
        ({"tags": {1, 2}}, "input.tags", "no form for the type set"),
        ([b"raw"], "input.0", "no form for the type bytes"),
        ({1: 2}, "input", "text as names, not 1"),
        ([{"a": {2.5: 1}}], "input.0.a", "text as names, not 2.5"),
        ({date(2026, 1, 2): 1}, "input", r"text as names, not datetime.date\(2026, 1, 2\)"),
        ({"a": {None: 1}}, "input.a", "text as names, not None"),
        ({True: {1}}, "input", "text as names, not True"),
        ({(1,): 2}, "input", r"text as names, not \(1,\)"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(
    value: object, place: str, told: str
) -> None:
    request = wire.Request("POST", "tasks", body={"input": value, "title": None})
    with pytest.raises(errors.InvalidInput, match=told) as caught:
        request.content()
    assert caught.value.message.startswith(f"{place}: ")
    assert caught.value.errors[0]["field"] == place


def test_moments_and_ids_are_sent_as_their_text() -> None:
    moment, task_id = datetime(2026, 1, 2, tzinfo=UTC), UUID(int=7)
    body = {"start_at": moment, "depends_on": (task_id,), "input": {"day": moment.date()}}
    assert msgspec.json.decode(wire.Request("POST", "tasks", body=body).content() or b"") == {
        "start_at": "2026-01-02T00:00:00Z",
        "depends_on": [str(task_id)],
        "input": {"day": "2026-01-02"},
    }


def test_a_body_too_deep_for_json_is_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(errors.InvalidInput, match="must be JSON"):
        wire.Request("POST", "tasks", body=deep).content()
