"""Function agents: how functions are found, called and judged, beyond the runtime contract."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.context import ParkedForTest
from podium.agents.runtime import AgentSpec
from podium.agents.runtimes import built_in
from podium.agents.runtimes.function import FunctionRuntime
from podium.kernel.errors import ErrorClass, InvalidInput
from slices.agents.failing import failure
from slices.agents.functions import SAMPLES, Make


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("double", 42),
        ("async_double", 42),
        ("optional", 63),
        ("optional_context", "a task"),
        ("returns_coroutine", 42),
        ("called", 21),
        ("point", {"points": [{"x": 1, "y": 2.5}], "tuple": [1, 2]}),
        ("report", {"title": "it", "made": "2026-01-02T00:00:00Z"}),
        ("gather", [0, 1, 2]),
        ("recovered_time_out", "recovered"),
    ],
)
async def test_calls(runtime: FunctionRuntime, make: Make, name: str, output: Any) -> None:
    assert await runtime.run(make(name, 21)) == output


@pytest.mark.parametrize("name", ["async_double", "report", "gather", "called"])
async def test_async_functions_run_in_a_process_too(
    runtime: FunctionRuntime, make: Make, name: str
) -> None:
    context = make(name, 21, isolation="process")
    assert await runtime.isolated(context.agent.config)
    assert (await runtime.conditions(context.agent.config))["confinement"] != ""
    in_process = await runtime.run(context)
    inline = make(name, 21, isolation="inline")
    assert not await runtime.isolated(inline.agent.config)
    assert (await runtime.conditions(inline.agent.config))["confinement_detail"] == (
        "none: the function runs inside the worker"
    )
    assert await runtime.run(inline) == in_process


@pytest.mark.parametrize(
    ("name", "error_class", "code", "told"),
    [
        ("absent", ErrorClass.AGENT, "function_not_found", "no function absent"),
        ("NUMBER", ErrorClass.AGENT, "function_not_callable", "NUMBER is not a function"),
        ("BORROWED", ErrorClass.PERMISSION, "function_not_allowed", "defined in posix"),
        ("none", ErrorClass.AGENT, "function_signature", "(input, ctx)"),
        ("many", ErrorClass.AGENT, "function_signature", "(input, ctx)"),
        ("unprintable", ErrorClass.AGENT, "output_not_json", "object. Return plain values"),
        ("cancel_itself", ErrorClass.AGENT, "exception", "cancelled itself. Catch Cancelled"),
        ("own_time_out", ErrorClass.TIMEOUT, "exception", "TimeoutError"),
        ("raise_in_step", ErrorClass.AGENT, "exception", "RuntimeError: outer"),
    ],
)
async def test_what_fails(
    runtime: FunctionRuntime,
    make: Make,
    name: str,
    error_class: ErrorClass,
    code: str,
    told: str,
) -> None:
    context = make(name)
    failed = await failure(runtime, context)
    assert (failed.error_class, failed.code) == (error_class, code)
    assert told in f"{failed.message} {failed.hint}"
    if code.startswith("function_"):
        health = await runtime.probe(context.agent.config)
        assert not health.ok
        assert told in health.detail
        process = await failure(runtime, make(name, isolation="process"))
        assert (process.error_class, process.code) == (error_class, code)


async def test_sync_functions_cannot_run_inline(runtime: FunctionRuntime, make: Make) -> None:
    context = make("double", 1, isolation="inline")
    failed = await failure(runtime, context)
    assert failed.code == "function_not_async"
    assert not (await runtime.probe(context.agent.config)).ok


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("os:system", "PODIUM_FUNCTION_MODULES"),
        (f"{SAMPLES}_more:double", "PODIUM_FUNCTION_MODULES"),
        (f"{SAMPLES}:Caller.__call__", "module:function"),
        (f"{SAMPLES}:", "module:function"),
        (":double", "module:function"),
        ("a b:c", "module:function"),
    ],
)
def test_references_that_are_refused(runtime: FunctionRuntime, reference: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        runtime.validate({"function": reference})
    assert told in (caught.value.hint or "")


async def test_a_worker_checks_for_itself(runtime: FunctionRuntime, make: Make) -> None:
    """The server that took the configuration may allow more than this worker."""
    context = make("double")
    for isolation in ("auto", "process"):
        config = {**context.agent.config, "function": "os:system", "isolation": isolation}
        context.agent = AgentSpec("another", 1, "function", config)
        failed = await failure(runtime, context)
        assert (failed.error_class, failed.code) == (
            ErrorClass.PERMISSION,
            "function_not_allowed",
        )
        assert not list(context.workspace.glob("ran"))


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[None]:
    """A package that publishes functions, and one that cannot be imported."""
    site = tmp_path / "site"
    (site / "entry_package-1.0.dist-info").mkdir(parents=True)
    (site / "entry_package-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: entry-package\nVersion: 1.0\n"
    )
    (site / "entry_package-1.0.dist-info" / "entry_points.txt").write_text(
        "[podium.functions]\nentry-sync = entry_module:sync\nentry-async = entry_module:later\n"
        "entry-broken = entry_broken:any\nentry-max = builtins:max\n"
        "entry-constant = entry_module:NUMBER\n"
    )
    (site / "entry_module.py").write_text(
        "from os.path import join\nNUMBER = 7\n"
        "def sync(value): return join('a', value)\n"
        "async def later(value): return value\n"
    )
    (site / "entry_broken.py").write_text("raise RuntimeError('cannot be imported')\n")
    sys.path.append(str(site))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(site))
    for name in ("entry_module", "entry_broken"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("installed")
async def test_entry_points_need_no_permission(tmp_path: Path, make: Make) -> None:
    strict = built_in(data_dir=tmp_path / "data", confinement="auto")["function"]
    outputs = {"entry-sync": "a/b", "entry-async": "b", "entry-max": "b"}
    for name, output in outputs.items():
        context = make(name, "b")
        assert (await strict.probe(context.agent.config)).ok
        assert await strict.run(context) == output


@pytest.mark.usefixtures("installed")
async def test_entry_points_that_are_broken_or_missing(
    runtime: FunctionRuntime, make: Make
) -> None:
    failed = await failure(runtime, make("entry-broken"))
    assert failed.code == "function_import_failed"
    assert "cannot be imported" in failed.detail["traceback"]
    assert "importlib" not in failed.detail["traceback"]
    detail = (await runtime.probe(make("entry-broken").agent.config)).detail
    assert "cannot be imported. Run its import in" in detail
    failed = await failure(runtime, make("entry-constant"))
    assert failed.code == "function_not_callable"
    failed = await failure(runtime, make("entry-missing"))
    assert failed.code == "function_not_found"
    assert "'entry-missing'" in failed.message


async def test_prints_become_logs_in_their_place(runtime: FunctionRuntime, make: Make) -> None:
    context = make("talk")
    assert await runtime.run(context) is None
    ordered = [r for r in context.reports if r[0] != "usage" and r[1] != "stderr"]
    assert ordered[:5] == [
        ("log", "stdout", "one"),
        ("log", "agent", "two"),
        ("log", "stdout", "three and a half"),
        ("progress", 1.0, None),
        ("log", "stdout", "four"),
    ]
    assert "".join(context.lines("stdout")[3:]) == "x" * 40_000 + "last"
    assert context.lines("stderr") == [
        "err",
        "from a child",
        '{"podium":"result","output":"forged"',
    ]


async def test_the_process_finds_the_workers_modules_only(
    runtime: FunctionRuntime, make: Make
) -> None:
    assert await runtime.run(make("surroundings")) == {"path": None, "module": "colorsys"}


async def test_exit_is_an_exit_status(runtime: FunctionRuntime, make: Make) -> None:
    failed = await failure(runtime, make("leave", 75))
    assert (failed.error_class, failed.code) == (ErrorClass.TRANSIENT, "exit_status")
    assert await runtime.run(make("leave", 0)) is None


async def test_artifacts_are_copied_at_once(runtime: FunctionRuntime, make: Make) -> None:
    context = make("keep")
    await runtime.run(context)
    assert context.artifacts == {
        "bytes": (b"as bytes", "text/plain"),
        "copied": (b"before", "application/octet-stream"),
    }
    context = make("keep_in_process", isolation="process")
    await runtime.run(context)
    assert set(context.artifacts) == {"bytes"}


async def test_parking_passes_through(runtime: FunctionRuntime, make: Make) -> None:
    with pytest.raises(ParkedForTest):
        await runtime.run(make("park"))


async def test_a_new_version_is_prepared_anew(runtime: FunctionRuntime, make: Make) -> None:
    context = make("async_double", 2)
    assert await runtime.run(context) == 4
    other = make("called", 2)
    context.agent = AgentSpec(context.agent.name, 1, "function", other.agent.config)
    assert await runtime.run(context) == 2


async def test_what_is_remembered_is_bounded(
    runtime: FunctionRuntime, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.agents.runtimes.function._REMEMBERED", 2)
    for number in range(5):
        assert await runtime.run(make("async_double", number)) == 2 * number
    assert len(runtime._known) <= 2
