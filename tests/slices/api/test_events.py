"""Reading events: pages after a cursor, and the newest."""

import httpx
import pytest

from podium.events import store
from podium.events.model import NewEvent
from podium.kernel.ids import uuid7
from podium.storage.database import Database


@pytest.fixture(autouse=True)
async def events(database: Database) -> list[str]:
    """Some events of no project; the types in order."""
    types = [f"worker.{letter}" for letter in "abcdefgh"]
    for each in types:
        async with database.transaction() as conn:
            await store.append(conn, [NewEvent(each, uuid7()), NewEvent("other", uuid7())])
    return types


async def read(api: httpx.AsyncClient, **query: str | int) -> tuple[list[str], str]:
    answer = await api.get("/events", params={"project": "*", "type": "worker.*", **query})
    assert answer.status_code == 200, answer.text
    return [item["type"] for item in answer.json()["items"]], answer.json()["next"]


async def test_the_newest_come_in_order_of_time(api: httpx.AsyncClient, events: list[str]) -> None:
    assert (await read(api, last=3))[0] == events[-3:]
    assert (await read(api, last=1000))[0] == events
    assert (await read(api, limit=3))[0] == events[:3]


async def test_what_comes_after_the_newest_is_found_with_their_cursor(
    api: httpx.AsyncClient, database: Database
) -> None:
    _, cursor = await read(api, last=1)
    assert (await read(api, after=cursor))[0] == []
    async with database.transaction() as conn:
        await store.append(conn, [NewEvent("worker.next", uuid7())])
    assert (await read(api, after=cursor))[0] == ["worker.next"]


@pytest.mark.parametrize(
    ("query", "advice"),
    [("last=0", ""), ("last=10001", ""), ("last=1&after=0.0.0", "Leave out `after`")],
)
async def test_what_makes_no_sense_is_refused(
    api: httpx.AsyncClient, query: str, advice: str
) -> None:
    answer = await api.get(f"/events?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert advice in answer.json().get("hint", "")


@pytest.mark.parametrize("unknown", ["task.succeeded", "tsk.*", "task.completed.*"])
async def test_a_type_that_no_event_has_is_refused_with_those_that_are_known(
    api: httpx.AsyncClient, unknown: str
) -> None:
    for path in ("/events", "/events/stream"):
        answer = await api.get(path, params={"type": unknown})
        told = answer.json()
        assert (answer.status_code, told["errors"][0]["field"]) == (422, "type")
        assert unknown in told["detail"]
        assert "task.completed" in told["hint"]


@pytest.mark.parametrize("known", ["task.completed", "task.*"])
async def test_a_type_that_some_event_has_is_taken(api: httpx.AsyncClient, known: str) -> None:
    assert (await api.get("/events", params={"type": known})).status_code == 200
