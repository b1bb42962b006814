"""The adapters of the runtime port, and the kinds of agent that its suites are run on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.kinds import KINDS, PROCESSES, Bench, Kind
from podium.agents.runtime import Runtime
from podium.agents.runtimes import built_in


@pytest.fixture
async def runtimes(tmp_path: Path) -> AsyncIterator[dict[str, Runtime]]:
    data = tmp_path / "data"
    data.mkdir()
    found = built_in(data_dir=data, confinement="auto", allowed_modules=["contract"])
    yield dict(found.by_name)
    for runtime in found.by_name.values():
        await runtime.aclose()


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture(params=PROCESSES, ids=str)
def process(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def bench(runtimes: dict[str, Runtime], tmp_path: Path) -> Bench:
    return Bench(runtimes, tmp_path)
