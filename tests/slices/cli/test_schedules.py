"""Schedules by command."""

from slices.cli.commands import Run


def test_a_schedule_from_its_making_to_its_end(podium: Run, echo: str) -> None:
    assert podium("schedule", "list").err.startswith("There is no schedule yet;")
    made = podium(
        *("schedule", "create", "nightly", "--cron", "0 2 * * *", "--tz", "Europe/Berlin"),
        *("--agent", echo, "--input", '{"prompt": "x"}', "--priority", "5", "--retries", "2"),
        *("--overlap", "buffer_one", "--catch-up", "all", "--catch-up-window", "2d"),
        *("--jitter", "10m", "--label", "team=core", "--json"),
    ).json
    assert (made["cron"], made["timezone"], made["jitter"]) == ("0 2 * * *", "Europe/Berlin", 600)
    assert (made["overlap"], made["catch_up"], made["catch_up_window"]) == (
        "buffer_one",
        "all",
        172800,
    )
    assert made["task"] == {
        "agent": echo,
        "input": {"prompt": "x"},
        "priority": 5,
        "labels": {"team": "core"},
        "retry": {"max_retries": 2},
    }
    assert "At 02:00 every day (Europe/Berlin)" in podium("schedule", "list").out
    shown = podium("schedule", "show", "nightly").out
    assert "buffer_one" in shown
    assert "none older than 2 d" in shown
    assert shown.count("02:00:00") + shown.count("01:00:00") + shown.count("00:00:00") >= 5
    changed = podium(
        *("schedule", "edit", "nightly", "--every", "90m", "--retries", "3", "--title", "Night"),
        *("--clear", "catch-up-window", "--json"),
    ).json
    assert (changed["cron"], changed["every"], changed["catch_up_window"]) == (None, 5400, None)
    assert changed["task"] == {**made["task"], "title": "Night", "retry": {"max_retries": 3}}
    moved = podium("schedule", "edit", "nightly", "-c", "text", "--sticky", "k", "--json").json
    assert (moved["task"]["capabilities"], moved["task"]["sticky"]) == (["text"], "k")
    back = podium("schedule", "edit", "nightly", "--agent", echo, "--json").json
    assert back["task"] == changed["task"]
    both = podium("schedule", "edit", "nightly", "--agent", echo, "-c", "text")
    assert "either an agent or capabilities" in both.err
    paused = podium("schedule", "pause", "nightly", "--note", "Rest.", "--json").json
    assert (paused["state"], paused["note"]) == ("paused", "Rest.")
    assert podium("schedule", "resume", "nightly", "--json").json["state"] == "active"
    task = podium("schedule", "trigger", "nightly").out.strip()
    assert podium("task", "wait", task).status == 0
    assert podium("task", "list", "--label", "schedule=nightly", "--json").json[0]["id"] == task
    assert task in podium("schedule", "firings", "nightly").out
    assert podium("schedule", "delete", "nightly", "--yes").out == "nightly is deleted\n"
    assert podium("schedule", "show", "nightly").status != 0


def test_passed_times_are_filled(podium: Run, echo: str) -> None:
    podium("schedule", "create", "hourly", "--cron", "0 * * * *", "--paused", "-a", echo)
    span = ("--from", "2026-03-01T00:00Z", "--to", "2026-03-01T02:30Z")
    dry = podium("schedule", "backfill", "hourly", *span, "--dry-run", "--json").json
    assert dry == [f"2026-03-01T0{hour}:00:00Z" for hour in range(3)]
    assert podium("schedule", "backfill", "hourly", *span, "--dry-run").out.count("2026-") == 3
    filled = podium("schedule", "backfill", "hourly", *span, "--at-once", "--json").json
    assert [each["at"] for each in filled] == dry
    assert podium("task", "wait", *(each["task_id"] for each in filled)).status == 0
    again = podium("schedule", "backfill", "hourly", *span)
    assert again.err == "No time of it in this range has passed without a task.\n"


def test_times_are_seen_before_anything_is_made(podium: Run) -> None:
    seen = podium("schedule", "times", "--cron", "30 9 * * 1-5", "-n", "3", "--json").json
    assert seen["description"] == "At 09:30 on Monday through Friday (UTC)"
    assert [at[11:] for at in seen["items"]] == ["09:30:00Z"] * 3
    told = podium("schedule", "times", "--every", "15m", "--starts-at", "2090-01-01T00:00Z")
    assert told.out.startswith("Every 15 minutes\n20")
    zoned = podium("schedule", "times", "--cron", "30 9 * 1 *", "--tz", "Asia/Tokyo").out
    assert zoned.count(" 09:30:00+09:00  (") == 10


def test_what_cannot_be_is_told(podium: Run, echo: str) -> None:
    create = ("schedule", "create", "x")
    for arguments, told in (
        ((*create, "-a", echo), "either --cron or --every"),
        ((*create, "-a", echo, "--cron", "* * * * *", "--every", "5m"), "either --cron or --every"),
        ((*create, "--every", "5m"), "either --agent or --capability"),
        ((*create, "-a", echo, "--cron", "* * 32 * *"), "no cron expression: Bad day-of-month"),
        ((*create, "-a", echo, "--every", "soon"), "no duration"),
        (("schedule", "edit", "x"), "Nothing to change"),
        (("schedule", "edit", "x", "--note", "a", "--clear", "note"), "both given and cleared"),
        (("schedule", "times"), "either the name of a schedule, or its times"),
        (("schedule", "show", "nowhere"), "no schedule 'nowhere'"),
        (
            ("schedule", "backfill", "x", "--from", "2026-11-10", "--to", "2026-11-01"),
            "The range is reversed",
        ),
    ):
        said = podium(*arguments)
        assert said.status != 0
        assert told in said.err
