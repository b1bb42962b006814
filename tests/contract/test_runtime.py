"""The contract of the runtime port, on every adapter. See ``podium.agents.runtime.Runtime``."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from contract.context import TestLease, until
from contract.kinds import ALLOW, KINDS, MIB, Bench, Kind, marked, pids
from podium.agents.runtime import Dependency, Runtime
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass, InvalidInput, NeedsAdmin


async def test_the_output_is_returned(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "echo", {"deep": [1, 2.5, "ä", None, True]})
    output = await bench.run(kind, context)
    assert output == {"got": context.input, "title": "a task", "attempt": 1}


async def test_guards_are_kept_unless_an_administrator_lifts_them(
    runtimes: dict[str, Runtime], kind: Kind
) -> None:
    runtime = runtimes[kind.runtime]
    usual = runtime.validate(kind.configure("echo"))
    kept = runtime.restricted(usual)
    assert runtime.validate(kept) == kept == {**usual, "confinement": "required"}
    for field, value in (("confinement", "none"), ("env_allow", ["*"])):
        with pytest.raises(NeedsAdmin, match=field):
            runtime.restricted({**usual, field: value})


async def test_dependencies_arrive(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "depends")
    context.dependencies = {
        "survey": Dependency(uuid4(), "succeeded", {"files": 3}, None, 0.5, 1.5),
        "lint": Dependency(uuid4(), "failed", None, {"class": "agent"}),
    }
    output = await bench.run(kind, context)
    assert output == {"survey": ["succeeded", {"files": 3}], "lint": ["failed", None]}


async def test_reports_arrive_in_order(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "report")
    assert await bench.run(kind, context) is None
    own = [each for each in context.reports if "cpu_seconds" not in each[-1]]
    assert own == [
        ("log", "agent", "first"),
        ("log", "agent", "second"),
        ("progress", 0.25, "a quarter"),
        ("usage", {"input_tokens": 3, "cost_usd": 0.5}),
        ("log", "agent", "third"),
        ("heartbeat",),
        ("progress", None, "cannot be known"),
        ("usage", {"input_tokens": 4}),
    ]


async def test_processes_report_their_cpu_time(bench: Bench, process: Kind) -> None:
    context = bench.context(process, "echo")
    await bench.run(process, context)
    kind, counts = context.reports[-1]
    assert kind == "usage"
    assert 0 < counts["cpu_seconds"] < 30


async def test_artifacts_are_kept(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "keep")
    await bench.run(kind, context)
    assert context.artifacts == {"made": (b"made here", "text/plain")}


async def test_failures_keep_their_class(bench: Bench, kind: Kind) -> None:
    with pytest.raises(AttemptFailed) as caught:
        await bench.run(kind, bench.context(kind, "fail"))
    assert caught.value.as_dict() == {
        "class": "rate_limited",
        "code": "slow_down",
        "message": "The model wants a pause.",
        "hint": "Wait.",
        "detail": {"limit": 3},
    }
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("kind", KINDS[1:], ids=str, indirect=True)
@pytest.mark.parametrize(
    ("name", "error_class"),
    [
        ("value", ErrorClass.AGENT),
        ("time", ErrorClass.TIMEOUT),
        ("permission", ErrorClass.PERMISSION),
        ("connection", ErrorClass.TRANSIENT),
        ("memory", ErrorClass.RESOURCE),
    ],
)
async def test_exceptions_are_classed(
    bench: Bench, kind: Kind, name: str, error_class: ErrorClass
) -> None:
    with pytest.raises(AttemptFailed) as caught:
        await bench.run(kind, bench.context(kind, "crash", name))
    assert caught.value.error_class == error_class
    assert caught.value.code == ("memory_limit" if name == "memory" else "exception")
    assert "as asked" in caught.value.message
    told = caught.value.detail["traceback"]
    assert "in crash" in told
    assert all(each not in told for each in ("podium/agents/runtimes", "asyncio")), told


@pytest.mark.parametrize("kind", KINDS[1:], ids=str, indirect=True)
async def test_exceptions_may_say_what_they_mean(bench: Bench, kind: Kind) -> None:
    with pytest.raises(AttemptFailed) as caught:
        await bench.run(kind, bench.context(kind, "refuse", "here"))
    error = caught.value
    assert (error.error_class, error.code) == (ErrorClass.INVALID_INPUT, "not_a_repository")
    assert (error.message, error.hint) == ("here is no repository.", "Name one.")


async def test_much_output_does_not_block(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "big", 5000)
    assert await bench.run(kind, context) == "y" * 1_000_000
    assert context.logged == 5000 * 999


async def test_cancelling_ends_everything_within_the_grace(
    bench: Bench, kind: Kind, tmp_path: Path
) -> None:
    context = bench.context(kind, "nap", str(tmp_path / "pids"), grace_seconds=5)
    running = asyncio.create_task(bench.run(kind, context))
    await until((tmp_path / "pids").exists)
    began = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < 3  # it obeyed SIGTERM and did not use up its grace
    assert marked(context) == []


async def test_cancelling_twice_changes_nothing(bench: Bench, kind: Kind, tmp_path: Path) -> None:
    context = bench.context(kind, "stubborn", str(tmp_path / "pids"), grace_seconds=0.5)
    running = asyncio.create_task(bench.run(kind, context))
    await until((tmp_path / "pids").exists)
    running.cancel()
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert marked(context) == []


async def test_cancelling_before_the_start(bench: Bench, kind: Kind, tmp_path: Path) -> None:
    context = bench.context(kind, "nap", str(tmp_path / "pids"))
    running = asyncio.create_task(bench.run(kind, context))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert marked(context) == []


async def test_who_ignores_sigterm_is_killed(bench: Bench, process: Kind, tmp_path: Path) -> None:
    context = bench.context(process, "stubborn", str(tmp_path / "pids"), grace_seconds=0.5)
    running = asyncio.create_task(bench.run(process, context))
    await until(lambda: len(pids(tmp_path / "pids")) == 2)
    began = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert 0.4 < time.monotonic() - began < 3
    assert marked(context) == []


async def test_tasks_of_async_functions_end_with_them(bench: Bench, tmp_path: Path) -> None:
    kind = KINDS[2]
    context = bench.context(kind, "stubborn", str(tmp_path / "pids"), grace_seconds=5)
    running = asyncio.create_task(bench.run(kind, context))
    await until((tmp_path / "pids").exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (tmp_path / "pids.ended").exists()


async def test_daemons_end_with_a_cancelled_attempt(
    bench: Bench, process: Kind, tmp_path: Path
) -> None:
    context = bench.context(process, "daemonise", str(tmp_path / "pids"), grace_seconds=0.2)
    running = asyncio.create_task(bench.run(process, context))
    await until(lambda: len(pids(tmp_path / "pids")) == 2)
    assert len(marked(context)) >= 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert marked(context) == []


async def test_daemons_end_with_an_attempt_that_ends(
    bench: Bench, process: Kind, tmp_path: Path
) -> None:
    context = bench.context(process, "leave_daemon", str(tmp_path / "pids"))
    assert await bench.run(process, context) == "left"
    assert marked(context) == []


async def test_nothing_outlives_the_lease(bench: Bench, kind: Kind, tmp_path: Path) -> None:
    context = bench.context(kind, "nap", str(tmp_path / "pids"))
    context.lease = TestLease(300)
    running = asyncio.create_task(bench.run(kind, context))
    await until((tmp_path / "pids").exists)
    context.lease.until = boottime() + 0.2
    if not kind.is_process:
        # Nothing wakes a sleeping coroutine: the worker cancels it, past the deadline.
        await asyncio.sleep(0.3)
        running.cancel()
    with pytest.raises(AttemptFailed) as caught:
        await running
    assert caught.value.code == "lease_expired"
    assert caught.value.error_class == ErrorClass.TRANSIENT
    assert boottime() - context.lease.until < 2
    assert marked(context) == []


async def test_an_expired_lease_starts_nothing(bench: Bench, kind: Kind, tmp_path: Path) -> None:
    context = bench.context(kind, "nap", str(tmp_path / "pids"))
    context.lease = TestLease(-1)
    with pytest.raises(AttemptFailed, match="lease"):
        await bench.run(kind, context)
    assert not (tmp_path / "pids").exists()


async def test_a_renewed_lease_lets_it_run(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "big", 200)
    context.lease = TestLease(1.5)
    running = asyncio.create_task(bench.run(kind, context))
    while not running.done():
        context.lease.until = boottime() + 1.5
        await asyncio.sleep(0.1)
    assert len(await running) == 1_000_000


async def test_the_environment_is_an_allow_list(
    bench: Bench, process: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_DATABASE_URL", "canary-database")
    monkeypatch.setenv("SOME_API_KEY", "canary-key")
    monkeypatch.setenv("SHOWN_TO_AGENTS", "shown")
    allow = [*ALLOW, "SHOWN_*", "P*"]
    context = bench.context(process, "environment", env_allow=allow)
    context.traceparent = "00-1-2-01"
    seen = await bench.run(process, context)
    assert "canary" not in str(seen)
    assert seen["SHOWN_TO_AGENTS"] == "shown"
    assert seen["PODIUM_TASK_ID"] == str(context.task_id)
    assert seen["PODIUM_ATTEMPT"] == "1"
    assert seen["PODIUM_TOKEN"] == context.token
    assert seen["PODIUM_URL"] == context.server_url
    assert seen["PODIUM_WORKSPACE"] == str(context.workspace)
    assert seen["TRACEPARENT"] == "00-1-2-01"


async def test_too_much_output_ends_it(bench: Bench, process: Kind) -> None:
    context = bench.context(process, "big", 100_000, limits={"output_bytes": 200_000})
    with pytest.raises(AttemptFailed) as caught:
        await bench.run(process, context)
    assert caught.value.error_class == ErrorClass.RESOURCE
    assert caught.value.code == "output_limit"
    assert context.logged <= 200_000
    assert marked(context) == []


async def test_too_much_memory_ends_it(bench: Bench, process: Kind) -> None:
    limits = {"memory_bytes": 150 * MIB}
    context = bench.context(process, "devour", 500, limits=limits)
    with pytest.raises(AttemptFailed) as caught:
        await bench.run(process, context)
    assert caught.value.error_class == ErrorClass.RESOURCE
    assert caught.value.code == "memory_limit"
    assert await bench.run(process, bench.context(process, "devour", 10, limits=limits)) == 10


async def test_too_much_time_ends_it(bench: Bench, kind: Kind, tmp_path: Path) -> None:
    context = bench.context(kind, "nap", str(tmp_path / "pids"), limits={"wall_seconds": 0.8})
    with pytest.raises(AttemptFailed) as caught:
        await bench.run(kind, context)
    assert caught.value.error_class == ErrorClass.TIMEOUT
    assert caught.value.code == "wall_limit"
    assert marked(context) == []


async def test_one_adapter_serves_many_attempts(bench: Bench, kind: Kind) -> None:
    contexts = [bench.context(kind, "echo", number) for number in range(8)]
    outputs = await asyncio.gather(*(bench.run(kind, context) for context in contexts))
    assert [output["got"] for output in outputs] == list(range(8))


async def test_validate_fills_in_defaults_and_is_stable(bench: Bench, kind: Kind) -> None:
    runtime = bench.runtimes[kind.runtime]
    config = runtime.validate(kind.configure("echo"))
    assert config["grace_seconds"] == 5
    assert runtime.validate(config) == config


async def test_validate_names_what_is_wrong(bench: Bench, kind: Kind) -> None:
    runtime = bench.runtimes[kind.runtime]
    with pytest.raises(
        InvalidInput, match=r"limits\.cpu_seconds: .* 1 more field is wrong"
    ) as caught:
        runtime.validate(
            kind.configure("echo") | {"limits": {"cpu_seconds": 0}, "no_such_field": 1}
        )
    fields = [each["field"] for each in caught.value.context["errors"]]
    assert fields == ["config.limits.cpu_seconds", "config.no_such_field"]


async def test_probe_tells_whether_it_could_start(bench: Bench, kind: Kind) -> None:
    runtime = bench.runtimes[kind.runtime]
    healthy = await runtime.probe(runtime.validate(kind.configure("echo")))
    assert healthy.ok, healthy.detail
    wrong: dict[str, Any] = {"function": "contract.behaviours:no_such_function"}
    if kind.runtime == "command":
        wrong = {"command": ["no-such-program-anywhere"]}
    sick = await runtime.probe(runtime.validate(wrong))
    assert not sick.ok
    assert "no" in sick.detail


async def test_isolated_tells_who_gets_a_credential(bench: Bench, kind: Kind) -> None:
    context = bench.context(kind, "echo")
    runtime = bench.runtimes[kind.runtime]
    assert await runtime.isolated(context.agent.config) is kind.is_process
    conditions = await runtime.conditions(context.agent.config)
    if not kind.is_process:
        assert conditions["confinement"] == "none"
    await bench.run(kind, context)
    assert await runtime.isolated(context.agent.config) is kind.is_process


async def test_the_input_file_is_private(bench: Bench, process: Kind) -> None:
    context = bench.context(process, "echo")
    await bench.run(process, context)
    path = context.workspace / ".podium" / "input.json"
    assert path.stat().st_mode & 0o077 == 0
    assert path.stat().st_uid == os.getuid()
