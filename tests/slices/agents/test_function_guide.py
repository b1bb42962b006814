"""The guide to function agents says what is so: its functions run, its tables are complete."""

import builtins
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from contract.context import RecordingContext
from podium.agents.runtime import AgentSpec
from podium.agents.runtimes import built_in, functions
from podium.kernel.errors import AttemptFailed, ErrorClass

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "function-agents.md").read_text()


class Bench:
    """Runs the guide's functions as a worker would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found = built_in(
            data_dir=folder / "data", confinement="auto", allowed_modules=["my_agents"]
        )
        self._runtime = found["function"]

    async def run(self, function: str, value: Any) -> tuple[Any, RecordingContext]:
        workspace = self._folder / "data" / uuid4().hex
        workspace.mkdir(parents=True)
        config = self._runtime.validate({"function": f"my_agents:{function}"})
        context = RecordingContext(workspace, AgentSpec(function, 1, "function", config), value)
        return await self._runtime.run(context), context


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    (code,) = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    site = tmp_path / "site"
    site.mkdir()
    (site / "my_agents.py").write_text(code)
    monkeypatch.syspath_prepend(site)
    return Bench(tmp_path)


async def test_the_functions_run(bench: Bench) -> None:
    assert (await bench.run("count_words", "count these words"))[0] == {"words": 3}
    output, context = await bench.run("greet", ["Ada", "Grace"])
    assert output == "Hello Ada and Grace"
    assert context.artifacts == {"greeted.txt": (b"Ada\nGrace", "text/plain")}
    assert context.lines() == ["Greeting Ada", "Greeting Grace"]
    assert ("progress", 0.5, "Grace") in context.reports
    assert ("usage", {"greetings": 2}) in context.reports
    _, context = await bench.run("keep", None)
    assert context.artifacts == {"note.txt": (b"attempt 1 of a task", "text/plain")}


async def test_an_exception_says_what_it_means(bench: Bench) -> None:
    with pytest.raises(AttemptFailed) as caught:
        await bench.run("count_words", " ")
    assert caught.value.error_class == ErrorClass.INVALID_INPUT
    assert (caught.value.code, caught.value.hint) == ("nothing_to_count", "Send some text.")


def test_the_table_of_exceptions_is_true() -> None:
    table = GUIDE.split("| exception | class |")[1]
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", table, re.MULTILINE))
    for name, error_class in rows.items():
        assert functions.failure_of(getattr(builtins, name)("x")).error_class == error_class
    assert len(rows) == 4
