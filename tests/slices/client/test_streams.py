"""Streams that break: nothing is lost, nothing comes twice."""

import socket
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from podium.client import errors
from slices.client.forms import FORMS, Form, call, take
from slices.client.standin import IGNORED, StandIn, answer, problem, stream, task

pytestmark = pytest.mark.parametrize("form", FORMS)

HELLO = "retry: 1000\nid: 1.0.0"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.client.wire._FIRST_DELAY", 0.01)


def event(number: int, type_: str = "task.created") -> str:
    document = (
        f'{{"cursor":"1.0.{number}","at":"2026-01-01T00:00:00Z","project":"default",'
        f'"type":"{type_}","version":1,"subject":"s","actor":null,"data":{{"n":{number}}}}}'
    )
    return f"id: 1.0.{number}\nevent: {type_}\ndata: {document}"


def after(target: str) -> str | None:
    return (parse_qs(urlsplit(target).query).get("after") or [None])[0]


async def test_a_stream_goes_on_after_every_kind_of_break(form: Form) -> None:
    script = (
        stream(HELLO, event(1), event(2)),
        IGNORED,
        problem(503, "unavailable"),
        stream(HELLO, event(3), cut=True),
        stream("id: 1.0.7", ": still here"),
        stream(event(8)),
    )
    with StandIn(*script) as server:
        found = await take(form, server.url, lambda client: client.events(types=["task.*"]), 4)
    assert [each.data["n"] for each in found] == [1, 2, 3, 8]
    assert [after(seen.target) for seen in server.seen] == [
        None,
        *(["1.0.2"] * 3),
        "1.0.3",
        "1.0.7",
    ]
    assert parse_qs(urlsplit(server.seen[0].target).query)["type"] == ["task.*"]


async def test_a_break_before_the_first_event_loses_none(form: Form) -> None:
    with StandIn(stream(HELLO, cut=True), stream(event(1))) as server:
        found = await take(form, server.url, lambda client: client.events(), 1)
    assert [each.cursor for each in found] == ["1.0.1"]
    assert after(server.seen[1].target) == "1.0.0"


async def test_it_begins_after_a_cursor(form: Form) -> None:
    with StandIn(stream(event(5))) as server:
        await take(form, server.url, lambda client: client.events(after="1.0.4"), 1)
    assert after(server.seen[0].target) == "1.0.4"


async def test_the_end_of_the_token_ends_the_stream(form: Form) -> None:
    document = '{"status": 401, "code": "unauthenticated", "detail": "The token was revoked."}'
    script = stream(HELLO, event(1), f"event: error\ndata: {document}")
    with StandIn(script) as server, pytest.raises(errors.Unauthenticated, match="revoked"):
        await take(form, server.url, lambda client: client.events())


async def test_a_cursor_too_old_is_told(form: Form) -> None:
    with StandIn(problem(410, "gone")) as server, pytest.raises(errors.Gone):
        await take(form, server.url, lambda client: client.events(after="0.0.1"))


async def test_a_server_that_stays_away_is_given_up_after_the_patience(form: Form) -> None:
    with StandIn(stream(HELLO, event(1)), otherwise=IGNORED) as server:
        began = time.monotonic()
        with pytest.raises(errors.ConnectionFailed):
            await take(form, server.url, lambda client: client.events(patience=0.4))
    assert 0.3 < time.monotonic() - began < 10


async def test_a_server_that_only_says_hello_is_given_up_too(form: Form) -> None:
    script = stream(HELLO, cut=True)
    with StandIn(otherwise=script) as server, pytest.raises(errors.ConnectionFailed):
        await take(form, server.url, lambda client: client.events(patience=0.4))


async def test_the_stream_ends_at_its_time_limit(form: Form) -> None:
    with StandIn(stream(HELLO, event(1)), otherwise=stream(HELLO)) as server:
        began = time.monotonic()
        found = await take(form, server.url, lambda client: client.events(timeout=0.6))
    assert [each.cursor for each in found] == ["1.0.1"]
    assert 0.4 < time.monotonic() - began < 5


async def test_an_event_that_cannot_be_read_is_told(form: Form) -> None:
    script = stream(HELLO, "event: task.created\ndata: {}")
    with StandIn(script) as server, pytest.raises(errors.InvalidResponse):
        await take(form, server.url, lambda client: client.events())


def line(number: int, attempt: int = 1) -> dict[str, Any]:
    at = "2026-01-01T00:00:00Z"
    return {"id": number, "at": at, "attempt": attempt, "stream": "stdout", "text": f"{number}\n"}


def logged(number: int, attempt: int = 1) -> str:
    document = str(line(number, attempt)).replace("'", '"')
    return f"id: {number}\nevent: log\ndata: {document}"


async def test_a_log_is_followed_to_its_end_across_breaks(form: Form) -> None:
    script = (
        stream(logged(1), logged(2), cut=True),
        stream(logged(5), "event: end\ndata: {}"),
    )
    with StandIn(*script) as server:
        found = await take(form, server.url, lambda client: client.tasks.logs("t", follow=True))
    assert [each.id for each in found] == [1, 2, 5]
    assert after(server.seen[1].target) == "2"


async def test_a_log_of_one_attempt_is_followed(form: Form) -> None:
    script = stream(logged(1, 1), logged(2, 2), "event: end\ndata: {}")
    with StandIn(script) as server:
        found = await take(
            form, server.url, lambda client: client.tasks.logs("t", follow=True, attempt=2, after=0)
        )
    assert [each.id for each in found] == [2]


async def test_a_stored_log_is_read_page_by_page(form: Form) -> None:
    pages = (
        answer({"items": [line(1), line(2)], "next": 2}),
        answer({"items": [line(3)], "next": None}),
    )
    with StandIn(*pages) as server:
        found = await take(form, server.url, lambda client: client.tasks.logs("t"))
    assert [each.id for each in found] == [1, 2, 3]
    assert after(server.seen[1].target) == "2"


async def test_events_are_listed_until_the_cursor_stays(form: Form) -> None:
    items = [
        {"cursor": f"1.0.{n}", "at": "2026-01-01T00:00:00Z", "project": None, "type": "a.b",
         "version": 1, "subject": "s", "actor": None, "data": {}} for n in (1, 2)
    ]  # fmt: skip
    pages = (
        answer({"items": items[:1], "next": "1.0.1"}),
        answer({"items": [], "next": "1.0.9"}),
        answer({"items": items[1:], "next": "1.0.11"}),
        answer({"items": [], "next": "1.0.11"}),
    )
    with StandIn(*pages) as server:
        found = await take(form, server.url, lambda client: client.events.list())
    assert [each.cursor for each in found] == ["1.0.1", "1.0.2"]
    assert [after(seen.target) for seen in server.seen] == [None, "1.0.1", "1.0.9", "1.0.11"]


async def test_a_listing_stops_at_its_limit(form: Form) -> None:
    task = {
        "id": "1", "project": "default", "title": "t", "state": "queued", "priority": 0,
        "labels": {}, "queue": "default", "agent": "a", "attempt": 0, "progress": None,
        "error_code": None, "created_at": "2026-01-01T00:00:00Z", "started_at": None,
        "finished_at": None,
    }  # fmt: skip
    pages = (answer({"items": [task] * 2, "next": "x"}), answer({"items": [task], "next": "y"}))
    with StandIn(*pages) as server:
        found = await take(form, server.url, lambda client: client.tasks.list(limit=3))
    assert len(found) == 3
    queries = [parse_qs(urlsplit(seen.target).query) for seen in server.seen]
    assert [(q["limit"], q.get("cursor")) for q in queries] == [(["3"], None), (["1"], ["x"])]


async def test_waiting_gives_up_in_time_and_leaves_the_task_alone(form: Form) -> None:
    server = StandIn(task("running"), stream(HELLO), task("running"), otherwise=stream(HELLO))
    with server, pytest.raises(errors.WaitTimeout) as caught:
        await call(form, server.url, lambda client: client.tasks.wait("t", timeout=0.5))
    assert isinstance(caught.value, TimeoutError)
    assert "explain" in (caught.value.hint or "")
    assert {seen.method for seen in server.seen} == {"GET"}


async def test_waiting_for_what_has_ended_is_one_look(form: Form) -> None:
    with StandIn(task("failed")) as server:
        found = await call(form, server.url, lambda client: client.tasks.wait("t", timeout=0))
    assert (found.state, len(server.seen)) == ("failed", 1)


async def test_an_end_while_the_stream_is_opened_is_seen(form: Form) -> None:
    """Whatever its place in the feed: the stream begins now, and the task is read after that."""
    with StandIn(task("running"), stream(HELLO), task("succeeded")) as server:
        found = await call(form, server.url, lambda client: client.tasks.wait("t"))
    assert found.state == "succeeded"
    assert [urlsplit(seen.target).path.rpartition("/")[2] for seen in server.seen] == [
        "t",
        "stream",
        "t",
    ]
    assert after(server.seen[1].target) is None


async def test_waiting_goes_on_when_an_ended_task_was_retried(form: Form) -> None:
    followed = stream(HELLO, event(1, "task.failed"), event(2, "task.completed"))
    looks = [task("running"), followed, task("running"), task("queued"), task("succeeded")]
    with StandIn(*looks) as server:
        found = await call(form, server.url, lambda client: client.tasks.wait("t"))
    assert found.state == "succeeded"


def nobody() -> str:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("cursor", [None, "1.0.0"])
async def test_a_server_that_was_never_there_is_told_at_the_time_limit(
    form: Form, cursor: str | None
) -> None:
    with pytest.raises(errors.ConnectionFailed, match="No server answers"):
        await take(form, nobody(), lambda client: client.events(after=cursor, timeout=0.4))


async def test_entering_a_stream_of_a_server_that_is_not_there_is_told(form: Form) -> None:
    with pytest.raises(errors.ConnectionFailed, match="No server answers"):
        await call(form, nobody(), lambda client: entered(client.events(timeout=0.4)))


async def test_entering_a_stream_whose_time_is_over_is_no_error(form: Form) -> None:
    assert await call(form, nobody(), lambda client: entered(client.events(timeout=0))) is None


def entered(events: Any) -> Any:
    """The cursor at which a stream begins when it is entered."""
    if hasattr(events, "__enter__"):
        with events:
            return events.cursor
    return entered_async(events)


async def entered_async(events: Any) -> Any:
    async with events:
        return events.cursor


async def test_a_refusal_that_lasted_to_the_time_limit_is_told(form: Form) -> None:
    refusal = problem(503, "unavailable")
    with StandIn(otherwise=refusal) as server, pytest.raises(errors.Unavailable):
        await take(form, server.url, lambda client: client.events(timeout=0.4))


async def test_a_server_silent_until_the_time_limit_has_no_events(form: Form) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert await take(form, url, lambda client: client.events(timeout=0.3)) == []
