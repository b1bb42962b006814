"""Fixtures of function agents; tests of command agents bring their own of these names."""

from pathlib import Path

import pytest

from podium.agents.runtimes.function import FunctionRuntime
from slices.agents.functions import Make, function_runtime, maker


@pytest.fixture
def runtime(tmp_path: Path) -> FunctionRuntime:
    return function_runtime(tmp_path)


@pytest.fixture
def make(runtime: FunctionRuntime, tmp_path: Path) -> Make:
    return maker(runtime, tmp_path)
