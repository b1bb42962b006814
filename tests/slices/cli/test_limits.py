"""Queues, limits and ageing priorities by command."""

from uuid import uuid4

from installation import Installation
from slices.cli.commands import Run, made


def test_queues(podium: Run, echo: str) -> None:
    assert podium("queue", "list").err == "No task came to any queue yet.\n"
    said = podium(
        "queue", "set", "mail", "--concurrency", "2", "--rate", "100/1h", "--burst", "5", "--json"
    )
    assert said.json["rate"] == {"count": 100, "seconds": 3600, "burst": 5}
    assert "100/h, 5 at once" in podium("queue", "list").out
    assert "0 of 2" in podium("queue", "show", "mail").out
    assert podium("queue", "pause", "mail", "--json").json["state"] == "paused"
    task = made(podium("task", "create", "-a", echo, "--queue", "mail"))
    told = "Queue mail is paused. Open it: podium queue open mail.\n"
    assert podium("task", "explain", task).out == told
    assert podium("queue", "drain", "mail").status == 0
    refused = podium("task", "create", "-a", echo, "--queue", "mail")
    assert (refused.status, "queue_draining" in refused.err) == (6, True)
    assert podium("task", "wait", task).status == 0
    assert podium("queue", "open", "mail").status == 0
    cleared = podium("queue", "set", "mail", "--clear", "rate", "--json").json
    assert (cleared["rate"], cleared["concurrency"]) == (None, 2)
    assert podium("queue", "reset", "mail").out == "mail is open and has no limits\n"
    assert podium("queue", "show", "mail", "--json").json["concurrency"] is None
    assert podium("queue", "reset", "mail").out == "mail had no rule\n"


def test_a_queue_that_nothing_named_before_is_told_of(podium: Run) -> None:
    said = podium("queue", "pause", "mial")
    assert said.err == "mial is new: no task and no rule named it before.\n"
    assert podium("queue", "drain", "mial").err == ""
    assert podium("queue", "reset", "zzz", "--json").json == {"name": "zzz", "reset": False}


def test_limits(podium: Run, echo: str) -> None:
    assert podium("limit", "list").err.startswith("There are no limits.")
    said = podium("limit", "set", "customer:*", "--concurrency", "1", "--rate", "10/30s", "--json")
    assert said.json["rate"] == {"count": 10, "seconds": 30, "burst": 10}
    assert "10/30s" in podium("limit", "list").out
    ask = ("task", "create", "-a", echo, "--limit", "customer:1", "--limit", "customer:2")
    task = made(podium(*ask, "--delay", "1h"))
    assert podium("task", "show", task, "--json").json["limits"] == ["customer:1", "customer:2"]
    assert podium(*ask, "--wait").status == 0
    refused = podium("task", "create", "-a", echo, "--limit", "nobody")
    assert (refused.status, "podium limit set nobody --concurrency 1" in refused.err) == (4, True)
    asked = podium("limit", "delete", "customer:*")
    assert (asked.status, "There is no terminal to ask on" in asked.err) == (2, True)
    assert podium("limit", "delete", "customer:*", "-y").out == "customer:* is deleted\n"
    assert podium("limit", "delete", "customer:*").out == "customer:* had no rule\n"
    assert podium("limit", "show", "customer:*").status == 4
    assert podium("limit", "set", "x").status == 2


def test_queue_limits_are_checked(podium: Run) -> None:
    for arguments, told in (
        ((), "Nothing to set was given."),
        (("--rate", "fast"), "'fast' is no rate."),
        (("--rate", "5/x"), "'1x' is no duration."),
        (("--burst", "5"), "--burst is part of a rate."),
        (("--rate", "5/s", "--clear", "rate"), "rate cannot be both given and cleared."),
    ):
        said = podium("queue", "set", "q", *arguments)
        assert (said.status, told in said.err) == (2, True), said


def test_priorities_that_age(installation: Installation) -> None:
    name = f"c-{uuid4().hex[:12]}"
    podium = installation.podium
    said = podium("project", "create", name, "--priority-ageing", "90s", "--json")
    assert said.json["priority_ageing"] == 90
    assert "a step each 1 min 30 s" in podium("project", "show", name).out
    changed = podium("project", "edit", name, "--weight", "2", "--json").json
    assert (changed["weight"], changed["priority_ageing"]) == (2, 90)
    assert podium("project", "edit", name, "--priority-ageing", "5m").status == 0
    changed = podium("project", "edit", name, "--no-priority-ageing", "--json").json
    assert (changed["weight"], changed["priority_ageing"]) == (2, None)
    assert "no" in podium("project", "show", name).out
    for arguments in ((), ("--priority-ageing", "1h", "--no-priority-ageing")):
        assert podium("project", "edit", name, *arguments).status == 2
    assert podium("project", "delete", name, "-y").status == 0
