"""Agents inside the worker that say or do what nobody expects: each ends, once, and hurts none."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from podium.scheduler.model import Progress
from podium.worker import outcome
from podium.worker.attempt import Attempt
from podium.worker.reporter import Reporter
from podium.worker.store import LogLine
from slices.worker.conftest import Shop


@pytest.mark.parametrize(
    ("oddity", "code", "says", "advice"),
    [
        ("endless usage", "usage", "inf is no number", "finite"),
        ("huge usage", "usage", "cannot have been used", "since the last call"),
        ("usage that adds up", "usage", "cannot have been used", "since the last call"),
        ("usage without end", "usage", "may count 100 things", "under one name"),
        ("usage of a strange name", "usage", "name", ""),
        ("usage that is no number", "usage", "'many' is no number", "finite"),
        ("strange stream", "log_stream", "stdout", ""),
        ("progress that is no number", "progress", "nan is no number", "finite"),
        ("strange gate", "park_key", "waited for", ""),
        ("a limit's gate", "park_key", "cannot begin with 'limit:'", ""),
        ("a lane's gate", "park_key", "cannot begin with 'lane:'", ""),
        ("strange exception", "exception", "a\ufffdb\ufffdc", ""),
        ("strange failure", "c\ufffd\ufffd", "m\ufffd", ""),
        ("strange wish", "later", "Later.", ""),
        ("no error class", "runtime_crashed", "AttributeError", "worker's log"),
        ("exit", "runtime_crashed", "SystemExit", "must not exit"),
        ("tantrum", "runtime_crashed", "Tantrum", "an ordinary exception"),
        ("cancels itself", "exception", "cancelled", "return or raise"),
    ],
)
async def test_an_odd_agent_fails_once_and_is_told_why(
    shop: Shop, oddity: str, code: str, says: str, advice: str
) -> None:
    async with shop.worker():
        done = await shop.ended(await shop.submit("odd", oddity))
        assert (done.outcome, done.attempt, done.error["code"]) == ("failed", 1, code)
        assert says in done.error["message"]
        assert advice in done.error.get("hint", "")
        assert (await shop.ended(await shop.submit("echo", 1))).output == 1


async def test_odd_words_that_can_be_kept_are(shop: Shop) -> None:
    async with shop.worker():
        spent = await shop.submit("odd", "decimal usage")
        named = await shop.submit("odd", "usage named by an enum")
        said = await shop.submit("odd", "strange words")
        outcomes = {(await shop.ended(each)).outcome for each in (spent, named, said)}
    assert outcomes == {"succeeded"}
    assert (await shop.rows("attempt", spent))[0].usage == {"cost_usd": 0.25}
    assert (await shop.rows("attempt", named))[0].usage == {"tokens": 7}
    assert [line.text for line in await shop.rows("log", said)] == ["a\ufffdb\ufffdc"]
    query = "select data from event where subject = :id and type = 'task.progress'"
    [told] = await shop.engine.run(query, id=said)
    assert told.data["note"] == "d\ufffde\ufffdf"


async def test_a_retry_is_never_put_off_for_ever(shop: Shop) -> None:
    policy = {"max_retries": 1, "initial": 0.01}
    async with shop.worker():
        done = await shop.ended(await shop.submit("odd", "strange wish", spec={"retry": policy}))
    assert (done.outcome, done.attempt) == ("dead", 2)


async def test_an_end_that_the_database_refuses_becomes_a_failure(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_attempt: Attempt) -> str:
        return '{"tokens": "\\u0000"}'

    monkeypatch.setattr(outcome, "usage", refused)
    async with shop.worker():
        odd, other = await shop.submit("echo", 1), await shop.submit("sleep", 0)
        done = [await shop.ended(each) for each in (odd, other)]
    assert [each.error["code"] for each in done] == ["output_refused"] * 2
    assert [each.attempt for each in done] == [1, 1]


async def test_what_cannot_be_written_does_not_take_the_rest_along(shop: Shop) -> None:
    task = await shop.submit("echo", 1)
    worker = await shop.engine.worker()
    [claimed] = await shop.engine.claim(worker)
    reporter = Reporter(shop.engine.database, shop.engine.scheduler, shop.wakeups, worker)
    for text in ("first", "bad\x00", "last"):
        reporter.log(LogLine(task, claimed.attempt, "agent", text))
    reporter.progress(Progress(task, claimed.attempt, 0.5, "bad\x00"))
    texts = await shop.until(lambda: _said(shop, task, 3))
    assert texts[:2] == ["first", "last"]
    assert "dropped" in texts[2]
    reporter.log(LogLine(task, claimed.attempt, "agent", "on it goes"))
    assert (await shop.until(lambda: _said(shop, task, 4)))[3] == "on it goes"
    await reporter.close()


async def _said(shop: Shop, task: Any, lines: int) -> list[str] | None:
    texts = [line.text for line in await shop.rows("log", task)]
    return texts if len(texts) >= lines else None


async def test_a_retry_is_put_off_for_a_day_at_most(shop: Shop) -> None:
    async with shop.worker():
        task_id = await shop.submit("odd", "distant wish", spec={"retry": {"max_retries": 1}})
        async with asyncio.timeout(10):
            while not (rows := await shop.rows("timer", task_id)):
                await asyncio.sleep(0.02)
    assert 86_300 < (rows[0].fires_at - datetime.now(UTC)).total_seconds() <= 86_400
    assert (await shop.rows("attempt", task_id))[0].error["code"] == "later"
