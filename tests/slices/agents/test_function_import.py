"""Importing functions: for a look in a process apart, for an attempt without trust in its end."""

import asyncio
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from podium.agents.runtimes.function import FunctionRuntime
from podium.agents.runtimes.imports import Imports
from podium.kernel.errors import ErrorClass
from slices.agents.failing import failure
from slices.agents.functions import Make

Write = Callable[[str], Path]
TELLS = """
import json, os, pathlib
print("printed while importing")
told = {"pid": os.getpid(), "podium": [name for name in os.environ if name.startswith("PODIUM_")]}
pathlib.Path(__file__).with_name("told.json").write_text(json.dumps(told))
async def double(value): return 2 * value
"""


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Writes the module ``entry_module``, which functions may be loaded from."""
    site = tmp_path / "site"
    site.mkdir()
    sys.path.append(str(site))

    def written(source: str) -> Path:
        (site / "entry_module.py").write_text(source)
        importlib.invalidate_caches()
        return site

    yield written
    sys.path.remove(str(site))
    sys.modules.pop("entry_module", None)


async def test_a_probe_imports_nothing_into_this_process(
    runtime: FunctionRuntime, make: Make, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = write(TELLS)
    monkeypatch.setenv("PODIUM_DATABASE_URL", "postgresql://secret")
    health = await runtime.probe(make("entry_module:double").agent.config)
    assert health.ok, health.detail
    assert "inside the worker" in health.detail
    told = orjson.loads((site / "told.json").read_bytes())
    assert told["pid"] != os.getpid()
    assert told["podium"] == []
    assert "entry_module" not in sys.modules


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise ValueError('not today')", "ValueError: not today"),
        ("import os; os._exit(3)", "ended its process"),
        ("import sys; sys.exit('no licence')", "no licence"),
        ("def other(value): pass", "has no function double"),
    ],
)
async def test_a_probe_tells_why_a_function_cannot_be_used(
    runtime: FunctionRuntime, make: Make, write: Write, source: str, told: str
) -> None:
    write(source)
    health = await runtime.probe(make("entry_module:double").agent.config)
    assert not health.ok
    assert told in health.detail


async def test_probes_of_imports_that_hang_end_in_time_and_hold_up_nobody(
    runtime: FunctionRuntime, make: Make, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.agents.runtimes.function._PROBE_SECONDS", 1.0)
    write("import time; time.sleep(60)")
    config = make("entry_module:double").agent.config
    began = time.monotonic()
    probes = [asyncio.create_task(runtime.probe(config)) for _ in range(10)]
    await asyncio.sleep(0.5)
    assert await asyncio.wait_for(asyncio.to_thread(int, "7"), 5) == 7
    for health in await asyncio.gather(*probes):
        assert not health.ok
        assert "takes longer" in health.detail
    assert time.monotonic() - began < 30


async def test_an_import_that_hangs_takes_one_thread_of_the_worker(
    runtime: FunctionRuntime, make: Make, write: Write
) -> None:
    site = write(
        "import pathlib, time\n"
        "while not pathlib.Path(__file__).with_name('go').exists(): time.sleep(0.01)\n"
        "async def double(value): return 2 * value\n"
    )
    runtime._imports = Imports(seconds=0.3)
    tries = (failure(runtime, make("entry_module:double", 2)) for _ in range(50))
    for failed in await asyncio.gather(*tries):
        assert (failed.error_class, failed.code) == (ErrorClass.TIMEOUT, "function_import_slow")
    assert await asyncio.wait_for(asyncio.to_thread(int, "7"), 5) == 7
    importing = [each for each in threading.enumerate() if each.name.startswith("import-")]
    assert [each.daemon for each in importing] == [True]
    (site / "go").touch()
    await asyncio.to_thread(importing[0].join, 5)
    assert await runtime.run(make("entry_module:double", 2)) == 4
