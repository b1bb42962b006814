"""Finding tasks by their words, and lists in other orders than that of creation."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from podium.kernel.errors import InvalidInput
from podium.kernel.ids import uuid7, uuid7s
from podium.storage.database import Database, call_in
from podium.tasks import search
from slices.tasks.conftest import Desk


async def found(desk: Desk, words: str, **params: Any) -> list[str]:
    """Titles of what a search finds, in its order."""
    params = {"search": words, "limit": 1000, **params}
    page = await desk.call("GET", "tasks", params=params)
    return [task["title"] for task in page["items"]]


async def indexed(desk: Desk) -> None:
    """Wait until search has seen all that happened so far."""
    (end,) = await desk.run("select max(id) from event")
    async with asyncio.timeout(20):
        while True:
            rows = await desk.run(
                "select from search_place p where from_id is null and not exists ("
                " select from event e where id <= :end"
                " and (e.epoch, e.xid, e.id) > (p.epoch, p.xid, p.id))",
                end=end[0],
            )
            if rows:
                return
            await asyncio.sleep(0.05)


async def made(desk: Desk, *titles: str, **fields: Any) -> None:
    for title in titles:
        await desk.create(title=title, **fields)


async def test_all_words_are_found_wherever_they_stand(desk: Desk) -> None:
    await desk.create(title="Review the parser", input={"prompt": "Look at src/podium/app.py"})
    await desk.create(title="Größe prüfen", input=["façade", 42], labels={"team": "core"})
    await indexed(desk)
    parser, size = "Review the parser", "Größe prüfen"
    for words in (
        "parser",
        "REVIEW parser",
        "app.py",
        "podium/app.py",
        "look prompt",
        '"the parser"',
    ):
        assert await found(desk, words) == [parser], words
    for words in ("größe", "façade", "42", "core", "team prüf*"):
        assert await found(desk, words) == [size], words
    assert await found(desk, "parser or größe") == [size, parser]
    assert await found(desk, "pars*") == [parser]
    assert await found(desk, "parser -review") == []
    assert await found(desk, "-parser") == [size]
    assert await found(desk, '"parser the"') == []
    assert await found(desk, "pars") == []
    await desk.create(title="\u201clexer\u201d\u2014done\u2026")
    await indexed(desk)
    assert len(await found(desk, "lexer done")) == 1


async def test_results_and_errors_are_found_when_the_task_has_ended(desk: Desk) -> None:
    done = await desk.create(input={"answer": "a marmalade sandwich"}, title="Breakfast")
    failing = await desk.create("fails", title="Lunch")
    async with desk.worker():
        await desk.until(done)
        failed = await desk.until(failing)
    await indexed(desk)
    assert await found(desk, "marmalade", state="succeeded") == ["Breakfast"]
    assert await found(desk, "marmalade", state="failed") == []
    word = failed["error"]["message"].split()[-1]
    assert await found(desk, word, state="failed", agent="fails") == ["Lunch"]
    assert await found(desk, word, agent="echo") == []


async def test_what_changes_is_found_by_its_new_words_only(desk: Desk) -> None:
    task = await desk.create(title="A first name")
    await indexed(desk)
    await desk.call("PUT", f"tasks/{task['id']}", json={"title": "Another"})
    await indexed(desk)
    assert await found(desk, "first") == []
    assert await found(desk, "another") == ["Another"]
    await desk.call("POST", f"tasks/{task['id']}/cancel")
    await indexed(desk)
    assert await found(desk, "another", state="cancelled") == ["Another"]
    await desk.call("POST", f"tasks/{task['id']}/retry")
    await indexed(desk)
    assert await found(desk, "another", state="cancelled") == []
    assert await found(desk, "another", state="queued") == ["Another"]
    await desk.call("POST", f"tasks/{task['id']}/cancel")
    await desk.call("DELETE", f"tasks/{task['id']}", 204)
    await indexed(desk)
    assert await found(desk, "another") == []
    rows = await desk.run("select from search where task_id = :id", id=task["id"])
    assert not rows


async def test_filters_go_with_words(desk: Desk) -> None:
    await desk.agent("sleep")
    await made(desk, "apple one", "apple two", labels={"kind": "fruit"})
    await made(desk, "apple three", queue="other")
    await desk.create("sleep", title="apple four", delay=60)
    await indexed(desk)
    assert await found(desk, "apple") == ["apple four", "apple three", "apple two", "apple one"]
    assert await found(desk, "apple", label="kind:fruit") == ["apple two", "apple one"]
    assert await found(desk, "apple", queue="other") == ["apple three"]
    assert await found(desk, "apple", queue="nothing") == []
    assert await found(desk, "apple", agent="sleep") == ["apple four"]
    assert await found(desk, "apple", state="pending") == ["apple four"]
    assert await found(desk, "apple", state=["pending", "succeeded"]) == ["apple four"]
    assert await found(desk, "apple", state="queued", queue="default", limit=1) == ["apple two"]
    assert await found(desk, "apple", created_before="2020-01-01T00:00:00Z") == []


async def test_pages_by_cursor_in_both_directions_miss_nothing(desk: Desk) -> None:
    titles = [f"pear {n:02}" for n in range(23)]
    made = await desk.bulk(
        [{"title": title, "agent": "echo"} for title in await _with_echo(desk, titles)]
    )
    await indexed(desk)
    assert len(made["ids"]) == 23
    for extra in ({}, {"search": "pear"}):
        assert await _paged(desk, 5, **extra) == titles[::-1]
        assert await _paged(desk, 5, sort="oldest", **extra) == titles
        page = await desk.call("GET", "tasks", params={"offset": 20, "limit": 2, **extra})
        assert [task["title"] for task in page["items"]] == ["pear 02", "pear 01"]


async def _with_echo(desk: Desk, titles: Sequence[str]) -> Sequence[str]:
    await desk.agent("echo")
    return titles


async def _paged(desk: Desk, limit: int, **params: Any) -> list[str]:
    titles: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await desk.call("GET", "tasks", params={"limit": limit, **params, **cursor})
        titles += [task["title"] for task in page["items"]]
        if page["next"] is None:
            return titles
        cursor = {"cursor": page["next"]}


async def test_sorts_by_end_by_length_and_by_priority(desk: Desk) -> None:
    for n, (title, seconds) in enumerate((("short", 1), ("long", 9), ("middle", 5), ("open", 0))):
        task = await desk.create(title=title, priority=n % 3)
        if seconds:
            await desk.run(
                "update task set outcome = 'succeeded', started_at = now(),"
                " finished_at = now() + make_interval(secs => :seconds) where id = :id",
                id=task["id"],
                seconds=seconds,
            )
    expected = {
        "finished": ["long", "middle", "short", "open"],
        "longest": ["long", "middle", "short", "open"],
        "priority": ["middle", "long", "open", "short"],
    }
    for sort, titles in expected.items():
        page = await desk.call("GET", "tasks", params={"sort": sort})
        assert [task["title"] for task in page["items"]] == titles, sort
        assert page["next"] is None
        page = await desk.call("GET", "tasks", params={"sort": sort, "offset": 1, "limit": 2})
        assert [task["title"] for task in page["items"]] == titles[1:3]
    await desk.call("GET", "tasks", 422, params={"sort": "priority", "cursor": str(UUID(int=1))})
    await desk.call("GET", "tasks", 422, params={"sort": "title"})


async def test_counts_up_to_a_limit(desk: Desk) -> None:
    await desk.agent("echo")
    await desk.bulk([{"title": f"plum {n % 2}", "agent": "echo"} for n in range(12)])
    await indexed(desk)
    count = {"count": 12, "capped": False}
    assert await desk.call("GET", "tasks/count") == count
    assert await desk.call("GET", "tasks/count", params={"search": "plum"}) == count
    six = await desk.call("GET", "tasks/count", params={"search": "plum 1", "state": "queued"})
    assert six == {"count": 6, "capped": False}
    for extra in ({}, {"search": "plum"}):
        some = await desk.call("GET", "tasks/count", params={"most": 5, **extra})
        assert some == {"count": 5, "capped": True}
    assert await desk.call("GET", "tasks/count", params={"state": "failed"}) == {
        "count": 0,
        "capped": False,
    }


async def test_parts_are_opened_and_gone_through(desk: Desk) -> None:
    """The same with parts of three tasks, which hold other projects apart."""
    await desk.agent("echo")
    titles = [f"fig {n:02} {'odd' if n % 2 else 'even'}" for n in range(40)]
    await desk.bulk([{"title": title, "agent": "echo"} for title in titles])
    await indexed(desk)
    own = "(select id from task where project_id = (select id from project where name = :name))"
    async with desk.database.transaction() as conn:
        raw = f"delete from search where task_id in {own}".replace(":name", f"'{desk.project}'")
        await call_in(conn, raw)
        await call_in(
            conn,
            "delete from search_part where project_id ="
            f" (select id from project where name = '{desk.project}')",
        )
        ids = await call_in(conn, f"{own[1:-1]} order by id".replace(":name", f"'{desk.project}'"))
        for at in range(0, 40, 4):
            chunk = [row["id"] for row in ids[at : at + 4]]
            await call_in(conn, "select place_in_parts($1, 3)", chunk)
    parts = await desk.run(
        "select tasks from search_part p join project on project.id = project_id"
        " where name = :name order by after_id",
        name=desk.project,
    )
    assert [row[0] for row in parts] == [4] * 10 + [0]
    assert await found(desk, "fig") == titles[::-1]
    assert await found(desk, "odd") == titles[::-1][::2]
    assert await found(desk, "odd", sort="oldest") == titles[1::2]
    assert await found(desk, "fig 07") == [titles[7]]
    assert await _paged(desk, 3, search="even") == titles[::-1][1::2]


async def test_a_sorted_search_sorts_all_that_match(desk: Desk) -> None:
    for title, seconds in (("nut long", 90), ("nut a", 1), ("nut b", 2), ("nut c", 3)):
        task = await desk.create(title=title)
        await desk.run(
            "update task set outcome = 'succeeded', started_at = now(),"
            " finished_at = now() + make_interval(secs => :seconds) where id = :id",
            id=task["id"],
            seconds=seconds,
        )
    await indexed(desk)
    assert await found(desk, "nut", sort="longest", limit=1) == ["nut long"]
    shown = await found(desk, "nut", sort="longest", offset=1, limit=2)
    assert shown == ["nut c", "nut b"]
    states = ["succeeded", "failed"]
    assert await found(desk, "nut", sort="longest", state=states, limit=1) == ["nut long"]


async def test_what_documents_do_not_know_yet_is_seen(desk: Desk) -> None:
    """A document may be behind: what it says only narrows down."""
    first = (await desk.create(title="kiwi one"))["id"]
    second = (await desk.create(title="kiwi two"))["id"]
    for each in (first, second):
        await desk.call("POST", f"tasks/{each}/cancel")
    await indexed(desk)
    await desk.run("update task set outcome = 'succeeded' where id = :id", id=first)
    await desk.run("delete from task where id = :id", id=second)
    assert await found(desk, "kiwi", state="cancelled") == []
    page = await desk.call("GET", "tasks", params={"search": "kiwi", "limit": 1})
    assert [task["id"] for task in page["items"]] == [first]
    count = await desk.call("GET", "tasks/count", params={"search": "kiwi"})
    assert count == {"count": 1, "capped": False}


async def test_tasks_of_before_are_gone_through_in_order(database: Database) -> None:
    """Search is new, or events went before it came to them; tasks are submitted meanwhile."""
    project, lane = uuid7(), 1
    ids = sorted(uuid7s(12))
    await database.call("insert into project (id, name) values ($1, 'old')", project)
    await database.call(
        "insert into lane (id, project_id, queue, capabilities) overriding system value"
        " values ($1, $2, 'default', '{a}')",
        lane,
        project,
    )
    new = (
        "insert into task (id, project_id, lane_id, title, input, created_by)"
        " select i, $2, $3, 'melon', '1', 'x' from unnest($1::uuid[]) i"
    )
    await database.call(new, ids[:10], project, lane)
    await database.call("update search_place set from_id = '00000000-0000-0000-0000-000000000000'")
    gone = "insert into search values ($1, 1, 1, null, null, 'melon'::tsvector)"
    await database.call(gone, ids[10])  # of a task whose last event nobody saw
    told = "insert into event (type, subject, data) values ('task.created', $1, '{}')"
    await database.call(told, ids[9])
    await database.call(new, ids[11:], project, lane)
    await database.call(told, ids[11])
    index = "select * from index_tasks(3, 2, 0::smallint, 0, 0)"
    for _ in range(10):
        (row,) = await database.call(index)
        if not row["more"]:
            break
    parts = await database.call("select * from search_part order by after_id")
    assert [row["tasks"] for row in parts] == [3, 3, 3, 2, 0]
    rows = await database.call("select task_id, part from search order by task_id")
    assert [row["task_id"] for row in rows] == [*ids[:10], ids[11]]
    assert [row["part"] for row in rows] == sorted(row["part"] for row in rows)


@pytest.mark.parametrize("words", ["", "   ", "\u2014 \u2026", "...", '"" -/', "or", "x" * 501])
async def test_a_search_without_words_is_refused(desk: Desk, words: str) -> None:
    answer = await desk.call("GET", "tasks", 422, params={"search": words})
    assert answer["code"] == "invalid_input"


def test_queries_hold_nothing_that_the_database_could_misread() -> None:
    assert search.query("a b") == "('a') & ('b')"
    assert search.query('src/app.py -"old name" new/abc*') == (
        "('src app py') & !('old name') & ('new' <-> 'abc':*)"
    )
    assert search.query("a or b c") == "(('a') | ('b')) & ('c')"
    assert search.query("it's :* & ! | <-> \\ (") == "('it s')"
    assert search.query("or a or") == "('a')"
    with pytest.raises(InvalidInput, match="no word"):
        search.query("'--'")


@pytest.mark.parametrize(
    "text",
    [
        "deploy → now",
        "a 🚀 b",
        "src/├──/app",
        "y│z",
        "step ① done",
        "x 👩\u200d💻 y",
        "ok\u0301 x",
        "\u0930\u093f\\\u093f\u0660",
        "1e5 0x1f 12abc v1.2.3-rc1",
    ],
)
async def test_a_phrase_is_found_where_it_stands(database: Database, text: str) -> None:
    for words in (f'"{text}"', text):
        (row,) = await database.call(
            "select words_of($1) @@ to_tsquery('simple', $2) as found, to_tsquery('simple', $2)",
            f"before {text} after",
            search.query(words),
        )
        assert row["found"], row


async def test_what_may_cost_much_is_refused(desk: Desk) -> None:
    eight = " ".join(f"-w{n}" for n in range(8))
    four = "abc* abd* abe* src/abf*"
    for words in (four, f"abc {eight}"):
        assert await found(desk, words) == []
    for words in ("ab*", '"some ab*"', "a→*", "abc→d*", f"{four} abg*", f"abc {eight} -x"):
        answer = await desk.call("GET", "tasks", 422, params={"search": words})
        assert answer["detail"].startswith("Search cannot do that"), words
        assert answer["hint"]
        assert answer["errors"][0]["field"] == "search"


async def test_a_term_that_comes_to_nothing_changes_nothing(desk: Desk) -> None:
    task = await desk.create(title="nightly")
    await indexed(desk)
    assert await found(desk, "nightly 🚀") == ["nightly"]
    for words in ("nightly 🚀", "nightly -→", '"" nightly'):
        for dry_run in (True, False):
            body = {"filter": {"search": words}, "dry_run": dry_run}
            answer = await desk.call("POST", "tasks/cancel", 422, json=body)
            assert "no word" in answer["detail"], words
    assert (await desk.get(task))["state"] == "queued"
    body = {"filter": {"search": "nightly or else"}, "dry_run": False}
    assert (await desk.call("POST", "tasks/cancel", json=body))["changed"] == [task["id"]]
