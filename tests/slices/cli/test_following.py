"""Following tasks when a server answers in an order that a real one cannot be made to."""

from podium.cli.commands.task_follow import finished
from podium.client import Podium
from slices.client.standin import StandIn, answer, stream, task

HELLO = "id: 1.0.0"


def event(number: int, type_: str) -> str:
    document = (
        f'{{"cursor":"1.0.{number}","at":"2026-01-01T00:00:00Z","project":"default",'
        f'"type":"{type_}","version":1,"subject":"t","data":{{}}}}'
    )
    return f"id: 1.0.{number}\nevent: {type_}\ndata: {document}"


def test_an_end_while_the_stream_is_opened_is_seen() -> None:
    with (
        StandIn(task("running"), stream(HELLO), task("succeeded")) as server,
        Podium(server.url, "token") as client,
    ):
        (found,) = finished(client, ["t", "t"], timeout=None, quiet=True)
    assert found.state == "succeeded"
    assert not [seen for seen in server.seen if "history" in seen.target]


def test_a_task_that_is_retried_meanwhile_has_not_ended() -> None:
    followed = stream(
        HELLO, *map(event, (1, 2, 3), ("task.failed", "task.redriven", "task.completed"))
    )
    script = (task("running"), followed, task("running"), task("queued"), task("succeeded"))
    seen: list[str] = []
    with StandIn(*script) as server, Podium(server.url, "token") as client:
        tasks = finished(
            client, ["t"], timeout=None, quiet=True, told=lambda event: seen.append(event.type)
        )
    assert [each.state for each in tasks] == ["succeeded"]
    assert seen == ["task.failed", "task.redriven", "task.completed"]


def test_what_has_ended_needs_no_stream() -> None:
    with StandIn(task("cancelled"), answer({})) as server, Podium(server.url, "token") as client:
        finished(client, ["t"], timeout=0, quiet=True)
    assert len(server.seen) == 1
