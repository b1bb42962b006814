"""The graph: agents and tasks that Podium's own models take."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from podium.agents.runtimes.command import CommandConfig
from podium.agents.runtimes.function import FunctionConfig
from podium.checkup import graph
from podium.checkup.graph import Options
from podium.checkup.paths import path_of, path_text
from podium.tasks.model import BulkNew


def test_every_task_comes_after_what_it_depends_on() -> None:
    drafts = graph.tasks(Path("/srv/x"), {"out": "/srv/out"})
    seen: set[str] = set()
    for draft in drafts:
        assert set(draft["depends_on"]) <= seen
        seen.add(draft["ref"])
    by_ref = {draft["ref"]: draft for draft in drafts}
    assert list(by_ref) == [
        "survey", "history", "lint", "secrets", "dependencies", "todos", "large_files", "tests",
        "report",
    ]  # fmt: skip
    assert by_ref["lint"]["depends_on"] == ["survey"]
    assert by_ref["lint"]["on_dependency_failure"] == "cancel"
    assert set(by_ref["report"]["depends_on"]) == set(by_ref) - {"report"}
    assert by_ref["report"]["on_dependency_failure"] == "run"
    assert by_ref["report"]["input"]["out"] == "/srv/out"
    assert by_ref["survey"]["retry"] == {"max_retries": 0}


def test_the_api_takes_the_tasks_and_the_runtimes_the_agents() -> None:
    bulk = BulkNew.model_validate({"tasks": graph.tasks(Path(), {"out": "out"})})
    names = {draft["name"] for draft in graph.agents()}
    assert {task.agent for task in bulk.tasks} == names
    runtimes = {draft["name"]: draft["runtime"] for draft in graph.agents()}
    assert sorted(name for name in names if runtimes[name] == "command") == [
        "checkup-history", "checkup-large-files", "checkup-lint", "checkup-secrets",
    ]  # fmt: skip
    for draft in graph.agents():
        if draft["runtime"] == "command":
            CommandConfig.model_validate(draft["config"])
            assert draft["config"]["command"][0] == sys.executable
        else:
            FunctionConfig.model_validate(draft["config"])


def test_functions_are_published() -> None:
    for draft in graph.agents():
        if draft["runtime"] == "function":
            [found] = entry_points(group="podium.functions", name=draft["config"]["function"])
            assert callable(found.load())


def test_options_reach_the_parts_that_know_them() -> None:
    options: Options = {
        "out": "out", "skip": ["todos"], "head": "abc", "seconds": 5.0, "now": 1,
        "run_project_tools": True,
    }  # fmt: skip
    by_ref = {draft["ref"]: draft for draft in graph.tasks(Path(), options)}
    assert "todos" not in by_ref
    assert "todos" not in by_ref["report"]["depends_on"]
    assert by_ref["report"]["input"]["parts"] == [
        "history", "lint", "secrets", "dependencies", "large_files", "tests",
    ]  # fmt: skip
    assert by_ref["lint"]["input"] == {
        "repo": str(Path.cwd()), "head": "abc", "seconds": 5.0, "now": 1, "run_project_tools": True,
    }  # fmt: skip
    assert "run_project_tools" not in by_ref["history"]["input"]
    json.dumps(by_ref)


def test_importing_the_graph_loads_nothing_else() -> None:
    script = (
        "import sys, podium.checkup.graph\n"
        "heavy = ('yaml', 'ruff', 'lizard', 'detect_secrets')\n"
        "print([m for m in sys.modules if m.startswith('podium.') or m in heavy])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules = ["podium.checkup", "podium.checkup.paths", "podium.checkup.graph"]
    assert ended.stdout.strip() == str(modules)


def test_paths_that_are_no_utf_8_travel_as_uris() -> None:
    odd = os.fsdecode(b"/x \xff/%41")
    drafts = graph.tasks(Path(odd), {"out": f"{odd}/out"})
    given = json.loads(json.dumps(drafts[-1]["input"]).encode())
    assert given["repo"] == "file:///x%20%FF/%2541"
    assert str(path_of(given["repo"])) == odd
    assert str(path_of(given["out"])) == f"{odd}/out"
    for plain in ("/x/ä %41", "relative", "file:x"):
        assert path_text(plain) == plain
        assert str(path_of(plain)) == plain
