"""The whole graph on Podium's own runtimes, confined as agents are, without a server."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.context import RecordingContext
from podium.agents.runtime import AgentSpec, Dependency, Runtime
from podium.agents.runtimes import built_in
from podium.checkup import graph
from podium.kernel.errors import AttemptFailed
from slices.checkup.repos import NOW, Repo


@pytest.fixture
async def runtimes(tmp_path: Path) -> AsyncIterator[dict[str, Runtime]]:
    (tmp_path / "data").mkdir()
    found = built_in(data_dir=tmp_path / "data", confinement="auto", allowed_modules=[])
    yield dict(found.by_name)
    for runtime in found.by_name.values():
        await runtime.aclose()


async def _run(
    runtimes: dict[str, Runtime],
    draft: graph.TaskDraft,
    came: dict[str, Dependency],
    tmp_path: Path,
) -> tuple[Dependency, RecordingContext]:
    agent = next(agent for agent in graph.agents() if agent["name"] == draft["agent"])
    runtime = runtimes[agent["runtime"]]
    config = runtime.validate(agent["config"])
    assert (await runtime.probe(config)).ok
    workspace = tmp_path / "data" / "workspaces" / draft["ref"] / "1"
    workspace.mkdir(parents=True)
    context = RecordingContext(
        workspace,
        AgentSpec(agent["name"], 1, agent["runtime"], config),
        draft["input"],
        dependencies={name: came[name] for name in draft["depends_on"]},
    )
    try:
        output = await runtime.run(context)
    except AttemptFailed as failure:
        return Dependency(context.task_id, "failed", None, failure.as_dict(), 0.1, 0.2), context
    return Dependency(context.task_id, "succeeded", output, None, 0.1, 0.2), context


async def test_the_whole_graph(repo: Repo, runtimes: dict[str, Runtime], tmp_path: Path) -> None:
    repo.commit({"a.py": "import os\n# TODO: one\n", "pyproject.toml": "[project]\nname = 'x'\n"})
    out = tmp_path / "out"
    came: dict[str, Dependency] = {}
    for draft in graph.tasks(repo.path, {"out": str(out), "now": NOW}):
        came[draft["ref"]], context = await _run(runtimes, draft, came, tmp_path)
        assert came[draft["ref"]].state == "succeeded", came[draft["ref"]].error
        steps = [report for report in context.reports if report[0] == "progress"]
        assert steps[-1][1] == 1.0, draft["ref"]
        if draft["ref"] == "report":
            assert set(context.artifacts) == {"report.md", "report.json"}
    report = json.loads((out / "report.json").read_text())
    assert report["summary"]["outcome"] == "complete"
    assert {part["run_seconds"] for part in report["parts"]} == {0.2}
    assert (out / "report.md").read_text().count("| succeeded | 0.1 s | 0.2 s |") == 8


async def test_a_failed_survey_is_reported(runtimes: dict[str, Runtime], tmp_path: Path) -> None:
    survey, *_, last = graph.tasks(tmp_path, {"out": str(tmp_path / "out")})
    failed, _ = await _run(runtimes, survey, {}, tmp_path)
    assert failed.error is not None
    assert "is not inside a git repository" in failed.error["message"]
    cancelled = Dependency(failed.task_id, "cancelled", None, None)
    came = dict.fromkeys(last["depends_on"], cancelled) | {"survey": failed}
    done, _ = await _run(runtimes, last, came, tmp_path)
    assert done.state == "succeeded"
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["summary"]["outcome"] == "failed"
