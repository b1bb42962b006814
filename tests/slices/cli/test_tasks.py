"""Tasks by command, against a real Podium: asked, created, watched, changed and ended."""

import json
import time
from pathlib import Path

from installation import Installation, interrupt
from slices.cli.commands import Run, made, until


def test_ask_streams_and_prints_the_result(podium: Run, echo: str) -> None:
    said = podium("ask", "hello there", "--agent", echo)
    assert (said.status, said.out) == (0, "hello there\n")
    assert said.err.startswith("Task ")
    assert "hello there" not in said.err  # a program may read both as one
    said = podium("ask", "-", "-a", echo, "--json", stdin="from standard input")
    assert said.json["output"]["text"] == "from standard input"
    assert said.err == ""


def test_of_what_is_written_over_the_last_form_is_told(podium: Run) -> None:
    podium("agent", "add", "bar", "--", "printf", "10%%\\r20%%\\rdone\\n")
    said = podium("ask", "x", "-a", "bar")
    assert said.out == "done\n"
    task = said.err.splitlines()[0].removeprefix("Task ")
    assert podium("task", "logs", task).out == "done\n"


def test_ask_of_an_agent_that_fails(podium: Run) -> None:
    podium("agent", "add", "broken", "--", "sh", "-c", "echo what >&2; exit 3")
    said = podium("ask", "x", "-a", "broken")
    assert (said.status, said.out) == (1, "")
    assert "The task failed: The agent ended with exit status 3: what" in said.err
    assert "what" in said.err
    assert podium("ask", "x", "-a", "broken", "--json").json["state"] == "failed"
    assert podium("ask", "x", "-a", "nobody").status == 4


def test_ask_says_when_its_result_is_not_all(podium: Run) -> None:
    podium("agent", "add", "long", "--", "seq", "1", "100000")
    said = podium("ask", "x", "-a", "long")
    assert (said.status, said.out[-7:]) == (0, "100000\n")
    task_id = said.err.splitlines()[0].removeprefix("Task ")
    assert said.err.splitlines()[-1].endswith(f"podium task logs {task_id}")
    assert podium("task", "logs", task_id).out.startswith("1\n2\n")


def test_where_an_output_is_that_is_too_large_is_told(podium: Run, tmp_path: Path) -> None:
    script = "head -c 400000 /dev/zero | tr '\\0' x | sed 's/.*/\"&\"/'"
    podium("agent", "add", "big", "--output", "json", "--", "sh", "-c", script)
    said = podium("ask", "x", "-a", "big")
    assert '"artifact": "output.json"' in said.out
    hint = said.err.splitlines()[-1]
    assert hint.startswith("All of the output: podium task download ")
    assert podium(*hint.split()[5:], "--to", str(tmp_path / "whole")).status == 0
    assert (tmp_path / "whole").read_text() == f'"{"x" * 400_000}"'
    assert podium("task", "show", hint.split()[-2]).err == f"{hint}\n"


def test_ask_ends_at_its_time_limit(podium: Run) -> None:
    podium("agent", "add", "slow", "--", "sleep", "60")
    began = time.monotonic()
    said = podium("ask", "x", "-a", "slow", "--timeout", "1s")
    assert said.status == 1
    assert time.monotonic() - began < 30


def test_ctrl_c_cancels_what_was_asked(installation: Installation, podium: Run) -> None:
    podium("agent", "add", "slow", "--", "sleep", "60")
    project = podium("agent", "list", "--json").json[0]["project"]
    process = installation.begin("ask", "x", "-a", "slow", "-p", project)
    until(lambda: bool(podium("task", "list", "-s", "running", "--json").json))
    [task] = podium("task", "list", "--json").json
    worker = podium("status", "--json").json["workers"][0]
    shown = podium("task", "show", task["id"]).out
    assert f"slow on {worker['name']} at {worker['host']}" in shown
    interrupt(process)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (5, ""), err
    assert [t["state"] for t in podium("task", "list", "--json").json] == ["cancelled"]


def test_a_task_by_every_command(podium: Run, echo: str) -> None:
    task_id = made(
        podium(
            "task", "create", "-a", echo, "-i", '{"prompt": "hi"}', "-t", "Say hi",
            "-l", "kind=test", "--priority", "5", "--retries", "1", "--backoff", "fixed",
            "--run-timeout", "1m",
        )
    )  # fmt: skip
    said = podium("task", "wait", task_id)
    assert (said.status, said.out) == (0, f"{task_id} succeeded\n")
    shown = podium("task", "show", task_id)
    for text in ("Say hi", "succeeded", "kind=test", "echo"):
        assert text in shown.out
    assert podium("task", "show", task_id, "--json").json["retry"]["max_retries"] == 1
    assert task_id in podium("task", "list").out
    assert [t["id"] for t in podium("task", "list", "-l", "kind=test", "--json").json] == [task_id]
    assert podium("task", "list", "-l", "kind=other").err == "There are no such tasks.\n"
    assert "task.completed" in podium("task", "history", task_id).out
    assert podium("task", "history", task_id, "--json").json[0]["type"] == "task.created"
    tried = podium("task", "attempts", task_id).out
    assert "succeeded" in tried
    worker = podium("status", "--json").json["workers"][0]
    assert f"{worker['name']} at {worker['host']}" in tried
    assert podium("task", "attempts", task_id, "--json").json[0]["attempt"] == 1
    assert podium("task", "logs", task_id).out.strip() == "hi"
    assert podium("task", "logs", "-f", task_id, "--json").lines[0]["text"].strip() == "hi"
    explained = podium("task", "explain", task_id).out
    assert "succeeded" in explained
    assert echo not in explained, "whoever names the agent needs not be told"
    assert podium("task", "explain", task_id, "--json").json["agent"]["name"] == echo
    assert podium("task", "artifacts", task_id).err == "It has no artifacts.\n"
    assert podium("task", "cancel", task_id).out == f"{task_id} had already ended\n"
    said = podium("task", "retry", task_id)
    assert (said.status, said.err.count(task_id)) == (6, 1), said
    unanswered = podium("task", "delete", task_id)
    assert (unanswered.status, "Delete 1 task and all" in unanswered.err) == (2, True)
    assert podium("task", "delete", task_id, "--yes").out == f"{task_id} is deleted\n"
    assert podium("task", "show", task_id).status == 4


def test_the_beginning_of_an_id_is_enough(podium: Run, echo: str) -> None:
    ids = [made(podium("task", "create", "-a", echo, "--delay", "1h")) for _ in range(2)]
    differ = next(place for place in range(36) if ids[0][place] != ids[1][place])
    common = ids[0][:differ]
    for task_id in ids:
        beginning = task_id[: len(common) + 1]
        assert podium("task", "show", beginning, "--json").json["id"] == task_id
        for given in (beginning.upper(), f"{beginning}…", f"{beginning}...", f"{task_id}…"):
            assert podium("task", "show", given, "--json").json["id"] == task_id
    said = podium("task", "cancel", ids[0], common)
    assert (said.status, "several tasks begin with" in said.err) == (2, True)
    assert all(f"  {task_id} pending   {echo}\n" in said.err for task_id in ids), said.err
    assert podium("task", "show", ids[0], "--json").json["state"] == "pending"
    last = made(podium("task", "create", "-a", echo, "--depends-on", ids[1][: len(common) + 1]))
    assert podium("task", "show", last, "--json").json["depends_on"][0]["id"] == ids[1]
    last = made(podium("task", "create", "-a", echo, "--delay", "1h"))
    while last[-1] != "f":  # the last of those that begin so
        last = made(podium("task", "create", "-a", echo, "--delay", "1h"))
    cancelled = podium("task", "cancel", last[:-1])
    assert (cancelled.out, cancelled.err) == (f"{last} is cancelled\n", "")
    for unknown, status in (("00000000", 4), ("0000", 2), ("nonsense-", 2), ("0" * 34, 2)):
        said = podium("task", "explain", unknown)
        assert (said.status, "'podium task list' shows" in said.err) == (status, True)


def test_a_task_that_waits(podium: Run, echo: str) -> None:
    task_id = made(podium("task", "create", "-c", "rare", "--queue", "other"))
    assert "queued" in podium("task", "show", task_id).out
    explained = podium("task", "explain", task_id)
    assert "has the capability rare. Register one that has it" in explained.out
    said = podium(
        "task",
        "edit",
        task_id,
        "-t",
        "Another",
        "-i",
        "[1]",
        "--queue-timeout",
        "1h",
        "--deadline",
        "2999-01-01T00:00Z",
    )
    assert "Another" in said.out
    assert podium("task", "edit", task_id, "-l", "a=b", "--json").json["labels"] == {"a": "b"}
    assert podium("task", "edit", task_id).status == 2
    said = podium("task", "wait", task_id, "--timeout", "1s")
    assert said.status == 1
    assert "wait_timeout" in said.err
    cancelled = podium("task", "cancel", task_id, "--reason", "not wanted", "--json")
    assert cancelled.json == {"id": task_id, "result": "cancelled"}
    said = podium("task", "wait", task_id)
    assert said.status == 5
    assert "not wanted" in said.out
    assert podium("task", "retry", task_id, "--json").json["state"] == "queued"
    assert podium("task", "cancel", task_id).status == 0


def test_an_edit_keeps_what_it_does_not_change(podium: Run, echo: str) -> None:
    task_id = made(
        podium(
            "task", "create", "-a", echo, "--delay", "1h", "--queue-timeout", "2h",
            "--run-timeout", "30m", "--heartbeat-timeout", "1m", "--retries", "3",
            "--backoff", "fixed",
        )
    )  # fmt: skip
    before = podium("task", "show", task_id, "--json").json
    edited = podium("task", "edit", task_id, "--run-timeout", "90m", "--json").json
    assert edited["timeouts"] == {"queue": 7200, "run": 5400, "heartbeat": 60}
    assert edited["retry"] == before["retry"]
    edited = podium("task", "edit", task_id, "--retries", "5", "--json").json
    assert edited["retry"] == {**before["retry"], "max_retries": 5}
    assert edited["timeouts"] == {"queue": 7200, "run": 5400, "heartbeat": 60}
    assert podium("task", "cancel", task_id).status == 0


def test_watching_ends_with_the_tasks(podium: Run, echo: str) -> None:
    first = made(podium("task", "create", "-a", echo, "--delay", "2s"))
    said = podium("task", "watch", first, "--json")
    assert (said.status, said.err) == (0, "")
    assert [event["type"] for event in said.lines][-2:] == ["task.started", "task.completed"]
    said = podium("task", "watch", first, "--json")
    assert (said.status, said.out) == (0, "")
    second = made(podium("task", "create", "-a", echo, "--delay", "1h"))
    assert podium("task", "cancel", second).status == 0
    assert podium("task", "watch", first, second, "--json").status == 5


def test_tasks_in_a_row(podium: Run, echo: str) -> None:
    first = made(podium("task", "create", "-a", echo, "--delay", "5s", "-t", "First"))
    second = made(
        podium("task", "create", "-a", echo, "--depends-on", first, "-t", "Second",
               "--on-dependency-failure", "run")
    )  # fmt: skip
    said = podium("task", "watch", first, second)
    assert said.status == 0, said
    assert "Second: succeeded" in said.err
    assert said.out.splitlines() == [f"{first} succeeded", f"{second} succeeded"]


def test_submitting_and_waiting_in_one(podium: Run, echo: str) -> None:
    said = podium("task", "create", "-a", echo, "-i", "1", "--wait", "--json")
    assert (said.status, said.json["state"]) == (0, "succeeded")
    podium("agent", "add", "broken", "--", "false")
    assert podium("task", "create", "-a", "broken", "--wait").status == 1
    key = ("--idempotency-key", "k1")
    first = made(podium("task", "create", "-a", echo, *key))
    assert made(podium("task", "create", "-a", echo, *key)) == first
    assert podium("task", "create", "-a", echo, "-c", "x").status == 2
    assert podium("task", "create").status == 2
    assert podium("task", "create", "-a", echo, "-i", "no json").status == 2


def test_artifacts(podium: Run, tmp_path: Path) -> None:
    script = (
        'printf 0123456789 > out.txt; echo \'{"podium":"artifact","name":"a/b.txt",'
        '"path":"out.txt"}\''
    )
    podium("agent", "add", "maker", "--output", "events", "--", "sh", "-c", script)
    task_id = podium("task", "create", "-a", "maker", "-w", "--json").json["id"]
    assert "a/b.txt" in podium("task", "artifacts", task_id).out
    assert podium("task", "artifacts", task_id, "--json").json[0]["size"] == 10
    said = podium("task", "download", task_id, "a/b.txt", cwd=tmp_path)
    assert said.out == "b.txt (10 B)\n"
    assert (tmp_path / "b.txt").read_text() == "0123456789"
    to = str(tmp_path / "there")
    said = podium("task", "download", task_id, "a/b.txt", "--to", to, "--json")
    assert said.json == {"path": to, "size": 10}
    assert podium("task", "download", task_id, "nothing", "--to", to).status == 4
    for to in ("/nowhere/at/all", str(tmp_path)):
        said = podium("task", "download", task_id, "a/b.txt", "--to", to)
        assert (said.status, f"{to} cannot be written" in said.err) == (1, True), said


def test_one_of_several_that_is_refused_keeps_the_others_from_nothing(
    podium: Run, echo: str
) -> None:
    missing = "01a1fded-0000-7000-8000-000000000000"
    for gone in (missing, missing[:13]):
        task_id = made(podium("task", "create", "-a", echo, "--delay", "1h"))
        said = podium("task", "cancel", gone, task_id)
        assert (said.status, said.out) == (4, f"{task_id} is cancelled\n"), said
        assert gone in said.err
        assert podium("task", "retry", missing, task_id).out == f"{task_id} is queued\n"
        said = podium("task", "delete", missing, task_id, "-y", "--json")
        assert said.status == 4
        assert json.loads(said.err.splitlines()[0])["error"]["about"] == missing
    assert podium("task", "wait", task_id).status in {0, 4}


def test_what_is_shown_tells_why_and_what_is_left_out(podium: Run, echo: str) -> None:
    first = made(podium("task", "create", "-a", echo, "--delay", "1h"))
    shown = podium("task", "show", first).out
    assert podium("task", "explain", first).out.splitlines()[0] in shown
    assert podium("task", "logs", first).err == "Nothing was written.\n"
    for arguments in (["--attempt", "9"], ["--attempt", "1", "--json"]):
        said = podium("task", "logs", first, *arguments)
        assert (said.status, said.out, "not_found" in said.err) == (4, "", True), said
    made(podium("task", "create", "-a", echo, "--delay", "1h"))
    listed = podium("task", "list", "-n", "1")
    assert listed.err == "These are the first 1; --limit NUMBER shows more.\n"
    assert first not in listed.out
    assert podium("task", "list", "-n", "2").err == ""
    assert len(podium("task", "list", "-n", "1", "--json").json) == 1
    for task in podium("task", "list", "--json").json:
        assert podium("task", "cancel", task["id"]).status == 0


def test_history_tells_of_an_error_what_it_says(podium: Run) -> None:
    podium("agent", "add", "broken", "--", "sh", "-c", "exit 3")
    task_id = podium("task", "create", "-a", "broken", "-w", "--json").json["id"]
    for told in (podium("task", "history", task_id), podium("event", "list")):
        assert "The agent ended with exit status 3. (exit_status)" in told.out


def test_explanations_and_hints_are_told_in_commands_and_once(podium: Run, echo: str) -> None:
    task_id = made(podium("task", "create", "-c", "rare"))
    explained = podium("task", "explain", task_id).out
    assert explained.count("rare") == 1
    hint = podium("task", "delete", task_id, "-y").err
    assert f"Cancel it first: `podium task cancel {task_id}`." in hint
    assert "`podium agent edit`" in podium("agent", "add", echo, "--", "cat").err
    said = podium("agent", "edit", echo, "--prompt", "argument")
    assert (said.status, "Give the program again" in said.err) == (2, True)


def test_a_table_in_a_pipe_is_as_wide_as_asked(podium: Run, echo: str) -> None:
    task_id = made(podium("task", "create", "-a", echo, "--delay", "1h", "-t", "word " * 30))
    whole = podium("task", "list", COLUMNS="").out
    assert whole.count("word") == 12
    assert all(line == line.rstrip() for line in whole.splitlines())
    narrow = podium("task", "list", COLUMNS="80").out
    assert task_id in narrow
    assert all(len(line) <= 80 for line in narrow.splitlines())
    assert 0 < narrow.count("word") < 12
    assert podium("task", "list", COLUMNS="9" * 5_000).out.count("word") == 12


def test_capabilities_are_not_shown_as_an_agent(podium: Run) -> None:
    podium("agent", "add", "talker", "-c", "talk", "--", "cat")
    task_id = made(podium("task", "create", "-c", "talk", "--delay", "1h"))
    shown = [line.split() for line in podium("task", "show", task_id).out.splitlines()]
    assert ["Capabilities", "talk"] in shown
    assert "Agent" not in [fields[0] for fields in shown]


def test_too_many_retries_are_told_as_an_option(podium: Run, echo: str) -> None:
    said = podium("task", "create", "-a", echo, "--retries", "100000")
    assert (said.status, "--retries" in said.err, "1000" in said.err) == (2, True, True), said
