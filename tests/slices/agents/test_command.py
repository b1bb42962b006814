"""Command agents: what the guide to them promises, beyond the contract of all runtimes."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.context import until
from podium.agents.runtimes import launch, supervise
from podium.agents.runtimes.command import CommandRuntime
from podium.agents.runtimes.launch import Report
from podium.agents.runtimes.outcome import failure_of
from podium.kernel.errors import ErrorClass
from slices.agents.commands import Make, command_runtime, maker
from slices.agents.failing import failure

MIB = 2**20


@pytest.fixture
def runtime(tmp_path: Path) -> CommandRuntime:
    return command_runtime(tmp_path)


@pytest.fixture
def make(runtime: CommandRuntime, tmp_path: Path) -> Make:
    return maker(runtime, tmp_path)


@pytest.mark.parametrize(
    ("value", "prompt"),
    [
        ("do it", "do it"),
        ({"prompt": "do that", "more": 1}, "do that"),
        ({"prompt": 3}, '{"prompt":3}'),
        (None, "null"),
        (["ä"], '["ä"]'),
    ],
)
async def test_prompts_arrive(runtime: CommandRuntime, make: Make, value: Any, prompt: str) -> None:
    for context in (
        make(["cat"], value, prompt="stdin"),
        make(["cat", "/dev/stdin"], value, prompt="stdin"),
        make(["printf", "%s"], value, prompt="argument"),
        make(["printf", "%s", "{prompt}"], value, prompt="argument"),
        make('printf %s "$1"', value, prompt="argument"),
    ):
        result = await runtime.run(context)
        assert result == {"text": prompt, "exit_code": 0, "truncated": False}


async def test_placeholders_are_replaced_inside_arguments(
    runtime: CommandRuntime, make: Make
) -> None:
    context = make(["printf", "%s.", "--ask={prompt}", "x"], "why?", prompt="argument")
    assert await runtime.run(context) == {
        "text": "--ask=why?.x.",
        "exit_code": 0,
        "truncated": False,
    }


async def test_without_a_prompt_standard_input_is_empty(
    runtime: CommandRuntime, make: Make
) -> None:
    context = make(["cat"], "not given")
    assert (await runtime.run(context))["text"] == ""  # type: ignore[index]


async def test_a_large_prompt_by_stdin_and_one_too_large_as_argument(
    runtime: CommandRuntime, make: Make
) -> None:
    prompt = "x" * (5 * MIB)
    context = make(["wc", "-c"], prompt, prompt="stdin")
    assert (await runtime.run(context))["text"] == str(5 * MIB)  # type: ignore[index]
    failed = await failure(runtime, make(["true"], prompt, prompt="argument", confinement="none"))
    assert (failed.error_class, failed.code) == (ErrorClass.INVALID_INPUT, "arguments_too_long")
    assert "stdin" in (failed.hint or "")


async def test_a_prompt_with_a_nul_cannot_be_an_argument(
    runtime: CommandRuntime, make: Make
) -> None:
    failed = await failure(runtime, make(["true"], "a\0b", prompt="argument"))
    assert (failed.error_class, failed.code) == (ErrorClass.INVALID_INPUT, "invalid_command")


@pytest.mark.parametrize(
    ("script", "error_class", "code"),
    [
        ("exit 3", ErrorClass.AGENT, "exit_status"),
        ("exit 64", ErrorClass.INVALID_INPUT, "exit_status"),
        ("exit 69", ErrorClass.TRANSIENT, "exit_status"),
        ("exit 75", ErrorClass.TRANSIENT, "exit_status"),
        ("exit 77", ErrorClass.PERMISSION, "exit_status"),
        ("exit 124", ErrorClass.TIMEOUT, "exit_status"),
        ("exit 255", ErrorClass.AGENT, "exit_status"),
        ("exit 42", ErrorClass.RATE_LIMITED, "exit_status"),
        ("exit 143", ErrorClass.BUDGET, "exit_status"),
        ("no-such-program", ErrorClass.AGENT, "command_not_found"),
        ("/etc/passwd", ErrorClass.AGENT, "not_executable"),
        ("kill -SEGV $$", ErrorClass.AGENT, "killed_by_signal"),
        ("kill -9 $$", ErrorClass.AGENT, "killed_by_signal"),
        ("sh -c 'kill -ABRT $$'", ErrorClass.AGENT, "killed_by_signal"),
    ],
)
@pytest.mark.parametrize("confinement", ["inherit", "none"])
async def test_exit_statuses(
    runtime: CommandRuntime,
    make: Make,
    script: str,
    error_class: ErrorClass,
    code: str,
    confinement: str,
) -> None:
    context = make(
        f"echo why >&2; {script}",
        exit_codes={"42": "rate_limited", "143": "budget"},
        confinement=confinement,
    )
    failed = await failure(runtime, context)
    assert (failed.error_class, failed.code) == (error_class, code)
    assert "why" in failed.detail["stderr"]


async def test_signals_are_named(runtime: CommandRuntime, make: Make) -> None:
    for name in ("SEGV", "KILL", "TERM"):
        failed = await failure(runtime, make(f"kill -{name} $$"))
        assert failed.detail["signal"] == f"SIG{name}"
        assert ("memory" in (failed.hint or "")) is (name == "KILL")


async def test_commands_that_cannot_be_started(
    runtime: CommandRuntime, make: Make, tmp_path: Path
) -> None:
    for confinement in ("inherit", "none"):
        failed = await failure(runtime, make(["no-such-program"], confinement=confinement))
        assert (failed.error_class, failed.code) == (ErrorClass.AGENT, "command_not_found")
        assert "no-such-program was not found" in failed.message
        failed = await failure(runtime, make(["/etc/passwd"], confinement=confinement))
        assert (failed.error_class, failed.code) == (ErrorClass.AGENT, "not_executable")


async def test_a_script_whose_interpreter_is_missing(
    runtime: CommandRuntime, make: Make, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    failed = await failure(runtime, make([str(script)], confinement="none"))
    assert failed.code == "command_not_found"
    failed = await failure(runtime, make([str(script)]))
    assert failed.code in ("start_failed", "command_not_found")


async def test_the_working_directory(runtime: CommandRuntime, make: Make, tmp_path: Path) -> None:
    assert (await runtime.run(make(["pwd"], cwd="/usr")))["text"] == "/usr"  # type: ignore[index]
    context = make(["pwd"])
    assert (await runtime.run(context))["text"] == str(context.workspace)  # type: ignore[index]
    failed = await failure(runtime, make(["pwd"], cwd=str(tmp_path / "nowhere")))
    assert (failed.error_class, failed.code) == (ErrorClass.AGENT, "directory_not_found")
    failed = await failure(runtime, make(["pwd"], cwd=str(tmp_path / "data")))
    assert failed.code == "directory_not_found"
    assert "data directory" in failed.message


async def test_agents_cannot_read_podiums_secrets_unless_let(
    runtime: CommandRuntime, make: Make, tmp_path: Path
) -> None:
    script = f"cat {tmp_path}/data/admin-token || true"
    context = make(script)
    assert (await runtime.conditions(context.agent.config))["confinement"] != "none", (
        "this machine offers no confinement"
    )
    assert "secret" not in str(await runtime.run(context))
    assert not any("secret" in line for line in context.lines())
    let = make(script, confinement="none")
    assert "secret-of-podium" in str(await runtime.run(let))
    assert await runtime.conditions(let.agent.config) == {
        "confinement": "none",
        "confinement_detail": "none: chosen in the agent's configuration",
    }


async def test_cpu_time_is_limited(runtime: CommandRuntime, make: Make) -> None:
    alone = make("while :; do :; done", limits={"cpu_seconds": 1})
    together = make(
        "for i in 1 2 3 4; do (while :; do :; done) & done; wait", limits={"cpu_seconds": 1}
    )
    for context in (alone, together):
        failed = await failure(runtime, context)
        assert (failed.error_class, failed.code) == (ErrorClass.RESOURCE, "cpu_limit")


async def test_memory_of_all_processes_together_is_limited(
    runtime: CommandRuntime, make: Make
) -> None:
    hold = "import time; held = bytearray(60_000_000); time.sleep(20)"
    script = f"for i in 1 2 3 4; do {sys.executable} -c '{hold}' & done; wait"
    failed = await failure(runtime, make(script, limits={"memory_bytes": 150 * MIB}))
    assert (failed.error_class, failed.code) == (ErrorClass.RESOURCE, "memory_limit")


@pytest.mark.parametrize(
    ("agent", "limits", "code"),
    [
        ("held = bytearray(10**9)", {"memory_bytes": 150 * MIB}, "memory_limit"),
        ("raise ValueError('no MemoryError')", {"memory_bytes": 150 * MIB}, "exit_status"),
        ("raise MemoryError", {}, "exit_status"),
    ],
)
async def test_an_agent_that_is_refused_memory_passed_its_limit(
    runtime: CommandRuntime, make: Make, agent: str, limits: dict[str, int], code: str
) -> None:
    failed = await failure(runtime, make([sys.executable, "-c", agent], limits=limits))
    assert failed.code == code
    assert (failed.error_class is ErrorClass.RESOURCE) == (code == "memory_limit")
    assert "Error" in failed.detail["stderr"]


async def test_processes_and_open_files_are_limited(runtime: CommandRuntime, make: Make) -> None:
    many = make("for i in 1 2 3 4 5 6 7 8; do sleep 20 & done; wait", limits={"processes": 5})
    failed = await failure(runtime, many)
    assert (failed.error_class, failed.code) == (ErrorClass.RESOURCE, "process_limit")
    few = make("sleep 0.5; ulimit -n", limits={"processes": 5, "open_files": 64})
    assert (await runtime.run(few))["text"] == "64"  # type: ignore[index]


async def test_how_processes_are_started(runtime: CommandRuntime, make: Make) -> None:
    """Signals at their defaults, no core files, the first to go when memory runs out."""
    context = make(
        "yes | head -1 > /dev/null; grep SigIgn /proc/self/status; ulimit -c;"
        "cat /proc/self/oom_score_adj; ls /proc/self/fd | wc -l; ps -o tty= -p $$ || echo '?'"
    )
    text = (await runtime.run(context))["text"]  # type: ignore[index]
    ignored, core, score, descriptors, *_ = str(text).splitlines()
    mask = int(ignored.split()[1], 16)
    # Some are the C library's own; nobody can set them back who inherited them ignored.
    assert not [one for one in signal.valid_signals() if mask >> (one - 1) & 1]
    assert (core, score) == ("0", "300")
    assert int(descriptors) <= 5  # the three streams, the task's lock, and the listing itself
    assert context.lines("stderr") == []


async def test_the_input_file_holds_the_envelope(runtime: CommandRuntime, make: Make) -> None:
    context = make('cat "$PODIUM_INPUT"', {"deep": [1]}, output="json")
    context.labels = {"a": "b"}
    assert await runtime.run(context) == {
        "task_id": str(context.task_id),
        "attempt": 1,
        "project": "default",
        "title": "a task",
        "labels": {"a": "b"},
        "input": {"deep": [1]},
        "dependencies": {},
        "workspace": str(context.workspace),
        "session": None,
    }


async def test_locks_do_not_pile_up(runtime: CommandRuntime, make: Make, tmp_path: Path) -> None:
    await runtime.run(make(["true"]))
    await failure(runtime, make(["no-such-program"]))
    assert list((tmp_path / "data" / "run" / "attempts").iterdir()) == []


async def test_an_attempt_waits_for_the_one_before_and_gives_up(
    runtime: CommandRuntime, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make("echo running; sleep 30")
    running = asyncio.create_task(runtime.run(first))
    await until(first.lines)
    second = make(["true"])
    second.task_id, second.attempt = first.task_id, 2

    def impatient(**given: Any) -> launch.Launch:
        return launch.Launch(**given, patience=0.3)

    monkeypatch.setattr("podium.agents.runtimes.hosting.Launch", impatient)
    failed = await failure(runtime, second)
    assert (failed.error_class, failed.code) == (ErrorClass.RESOURCE, "previous_attempt_running")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await runtime.run(second)


async def test_a_supervisor_that_does_not_obey_is_killed(
    runtime: CommandRuntime, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervise, "_OVERDUE_SECONDS", 0.2)
    context = make("echo $PPID; sleep 30", confinement="none", grace_seconds=0.1)
    running = asyncio.create_task(runtime.run(context))
    await until(context.lines)
    os.kill(int(context.lines()[0]), 19)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(
    ("report", "limit", "error_class", "code"),
    [
        (Report("exited", 1, rss=90), 100, ErrorClass.RESOURCE, "memory_limit"),
        (Report("exited", 1, rss=10), 100, ErrorClass.AGENT, "exit_status"),
        (Report("exited", -9, rss=10), 100, ErrorClass.RESOURCE, "memory_limit"),
        (Report("exited", -6, rss=90), 100, ErrorClass.RESOURCE, "memory_limit"),
        (Report("exited", -6, rss=90), None, ErrorClass.AGENT, "killed_by_signal"),
        (Report("exited", -40), None, ErrorClass.AGENT, "killed_by_signal"),
        (Report("exited", 152), None, ErrorClass.RESOURCE, "cpu_limit"),
        (Report("process_limit"), None, ErrorClass.RESOURCE, "process_limit"),
        (Report("worker_gone"), None, ErrorClass.TRANSIENT, "worker_gone"),
        (Report("start_failed", stage="lock", errno=28), None, ErrorClass.RESOURCE, "start_failed"),
        (Report("start_failed", stage="command", errno=8), None, ErrorClass.AGENT,
         "not_executable"),
        (Report("start_failed", stage="directory", errno=2), None, ErrorClass.AGENT,
         "directory_not_found"),
    ],
)  # fmt: skip
def test_how_ends_are_judged(
    report: Report, limit: int | None, error_class: ErrorClass, code: str
) -> None:
    failed = failure_of(report, "agent", {}, limit, "")
    assert failed is not None
    assert (failed.error_class, failed.code) == (error_class, code)


async def test_what_the_machine_refuses(
    runtime: CommandRuntime, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make(["true"], cwd="/")
    context.workspace.rmdir()
    context.workspace.touch()
    failed = await failure(runtime, context)
    assert (failed.error_class, failed.code) == (ErrorClass.RESOURCE, "start_failed")
    monkeypatch.setattr(launch, "SUPERVISOR", ("/no/such/python",))
    failed = await failure(runtime, make(["true"]))
    assert (failed.error_class, failed.code) == (ErrorClass.RESOURCE, "start_failed")
