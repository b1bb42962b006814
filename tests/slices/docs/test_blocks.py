"""Every block of code in the documentation is run by a test, or checked here.

What its language says of a block: ``bash`` is typed by a test of its page; ``sh`` is to be typed
elsewhere, so its commands are only known ones; ``console`` shows what a command looks like;
``json`` with ``title="Model"`` is what that model takes; ``toml`` are settings or a project;
``http`` is a request of the API; ``mermaid`` is a diagram.
"""

import ast
import importlib
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
import yaml
from pydantic import BaseModel
from typer.core import TyperGroup

from podium.agents.runtimes.command import CommandConfig
from podium.api.websocket import Subscribe
from podium.checkup.graph import PARTS, REPORT, SURVEY
from podium.cli.app import whole
from podium.kernel.settings import Settings
from slices.docs.pages import PAGES, ROOT, Block, blocks

AGENTS = "slices/agents/test_command_guide.py"
GUIDES = "slices/cli/test_guides.py"
TYPED: Mapping[tuple[str, str], str] = {
    ("docs/tutorial.md", "bash"): f"{GUIDES}::test_tutorial",
    ("docs/guides/apply.md", "bash"): f"{GUIDES}::test_apply",
    ("docs/guides/artifacts.md", "bash"): f"{GUIDES}::test_artifacts",
    ("docs/guides/backup.md", "bash"): "slices/cli/test_db.py::test_the_guide",
    ("docs/guides/coding-agents.md", "bash"): f"{GUIDES}::test_coding_agents",
    ("docs/guides/command-agents.md", "bash"): f"{GUIDES}::test_command_agents",
    ("docs/guides/command-agents.md", "json"): f"{GUIDES}::test_command_agents",
    ("docs/guides/command-agents.md", "python"): f"{AGENTS}::test_the_agent_in_python_runs",
    ("docs/guides/command-agents.md", "sh"): f"{AGENTS}::test_the_agent_in_a_shell_runs",
    ("docs/guides/finding.md", "bash"): f"{GUIDES}::test_finding",
    ("docs/guides/finding.md", "python"): f"{GUIDES}::test_finding",
    ("docs/guides/function-agents.md", "python"): f"{GUIDES}::test_function_agents",
    ("docs/guides/function-agents.md", "sh"): f"{GUIDES}::test_function_agents",
    ("docs/guides/http.md", "bash"): f"{GUIDES}::test_http",
    ("docs/guides/http.md", "sh"): f"{GUIDES}::test_http",
    ("docs/guides/observing.md", "bash"): f"{GUIDES}::test_observing",
    ("docs/guides/schedules.md", "bash"): f"{GUIDES}::test_schedules",
    ("docs/guides/sessions.md", "sh"): "slices/cli/test_sessions.py::test_the_guide",
    ("docs/guides/tasks.md", "bash"): f"{GUIDES}::test_tasks",
    ("docs/guides/tasks.md", "python"): f"{GUIDES}::test_many_tasks",
    ("docs/guides/tasks.md", "sh"): f"{GUIDES}::test_many_tasks",
    ("docs/guides/templates.md", "sh"): f"{GUIDES}::test_a_checkup_by_template",
    ("docs/guides/templates.md", "bash"): f"{GUIDES}::test_templates",
}
"""Who runs the blocks of a page: all that have the language."""
MODELS: Mapping[str, type[BaseModel]] = {"CommandConfig": CommandConfig, "Subscribe": Subscribe}
_DIAGRAMS = {"flowchart", "sequenceDiagram", "stateDiagram-v2"}
_PODIUM = re.compile(r"(?:^|[|;&(]|\bdo |\$\()\s*(?:\S*/)?podium +([^|;&)\n]*)", re.MULTILINE)


class Wrong(Exception):
    """What is wrong with a block."""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_checked(page: str) -> None:
    told: list[str] = []
    for block in blocks(page):
        try:
            _check(block)
        except (Wrong, ValueError, SyntaxError, ImportError, AttributeError) as error:
            told.append(f"{block} ({block.language}): {error}")
    assert not told, "\n".join(told)


@pytest.mark.parametrize(("what", "test"), TYPED.items(), ids=str)
def test_who_is_said_to_run_blocks_does(what: tuple[str, str], test: str) -> None:
    page, language = what
    path, _, name = test.partition("::")
    source = (ROOT / "tests" / path).read_text()
    found = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    assert found, f"there is no {test}"
    text = ast.get_source_segment(source, found[0]) or ""
    name = page.rpartition("/")[2]
    of_the_page = f'blocks("{language}"' in text and f'"{name}"' in source
    assert of_the_page or f'blocks("{name}", "{language}")' in text
    assert any(block.language == language for block in blocks(page)), f"{page} has no such block"


def test_a_block_that_nobody_knows_is_told() -> None:
    unknown = (
        Block("x.md", 1, "bash", "", "podium status\n"),
        Block("x.md", 1, "", "", "text"),
        Block("x.md", 1, "sh", "", "podium statsu\n"),
        Block("x.md", 1, "sh", "", "podium task list --no-such-option\n"),
        Block("x.md", 1, "sh", "", "if true; then\n"),
        Block("x.md", 1, "console", "", "$ podium nothing\n"),
        Block("x.md", 1, "json", "", "{"),
        Block("x.md", 1, "json", "CommandConfig", '{"command": 3}'),
        Block("x.md", 1, "json", "TaskNew", '{"no_such_field": 3}'),
        Block("x.md", 1, "json", "Nothing", "{}"),
        Block("x.md", 1, "toml", "", "no_such_setting = 1"),
        Block("x.md", 1, "python", "", "from podium.client import Nothing"),
        Block("x.md", 1, "http", "", "GET /api/v1/orchestration/nothing"),
        Block("x.md", 1, "mermaid", "", "painting\n"),
    )
    for block in unknown:
        with pytest.raises((Wrong, ValueError, SyntaxError, ImportError, AttributeError)):
            _check(block)


def _check(block: Block) -> None:
    if not block.title and (block.page, block.language) in TYPED:
        return
    check = _CHECKS.get(block.language)
    if check is None:
        raise Wrong("no test runs it and nothing can be checked of it; see TYPED and _CHECKS")
    check(block)


def _shell(block: Block) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Wrong(done.stderr)
    for line in _PODIUM.findall(block.text.replace("\\\n", " ")):
        _command(shlex.split(line, comments=True))


def _console(block: Block) -> None:
    shown = [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]
    if not shown:
        raise Wrong("no line begins with '$ '")
    for line in shown:
        program, *arguments = line.split()
        if program == "podium":
            _command([word for word in arguments if not (word[0] in "[{" or word.isupper())])
        elif arguments[:2] == ["-m", "podium.checkup"]:
            if arguments[2] not in {"all", *(part.ref for part in (SURVEY, *PARTS, REPORT))}:
                raise Wrong(f"the checkup has no part {arguments[2]}")
        else:
            raise Wrong(f"it shows {program}, which nobody knows here")


def _command(words: list[str]) -> None:
    """Raise unless the words name a command of the CLI and options that it has."""
    found: Any = whole()
    options = set(_options(found))
    for word in words:
        if word == "--":
            return
        if word.startswith("-") and not word[1:].isdigit():
            if word.partition("=")[0] not in options | {"--help", "-h"}:
                raise Wrong(f"{found.name} has no option {word}")
        elif isinstance(found, TyperGroup):
            command = found.get_command(None, word)  # type: ignore[arg-type]
            if command is None:
                raise Wrong(f"podium has no command {' '.join(words)}")
            found = command
            options |= set(_options(found))


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from parameter.opts
        yield from parameter.secondary_opts


def _json(block: Block) -> None:
    value = json.loads(block.text)
    if not block.title:
        return
    if model := MODELS.get(block.title):
        model.model_validate(value)
        return
    document = _openapi()
    if block.title not in document["components"]["schemas"]:
        raise Wrong(f"there is no model {block.title}")
    schema = {**document, "$ref": f"#/components/schemas/{block.title}"}
    jsonschema_rs.validate(schema, value)


def _toml(block: Block) -> None:
    value = tomllib.loads(block.text)
    if "project" not in value:
        Settings.model_validate(value)


def _yaml(block: Block) -> None:
    list(yaml.safe_load_all(block.text))


def _python(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("podium"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                getattr(module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("podium"):
                    importlib.import_module(alias.name)


def _http(block: Block) -> None:
    method, target = block.text.split()[:2]
    path = target.partition("?")[0]
    for template, operations in _openapi()["paths"].items():
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in operations:
            return
    raise Wrong(f"the API has no {method} {path}")


def _mermaid(block: Block) -> None:
    lines = block.text.split("\n")
    if lines[0].split()[0] not in _DIAGRAMS:
        raise Wrong(f"it is no diagram: {lines[0]}")
    starts, ends = (
        sum(line.strip().split(" ")[0] == word for line in lines) for word in ("subgraph", "end")
    )
    if starts != ends:
        raise Wrong("a subgraph has no end")


@cache
def _openapi() -> Any:
    return json.loads((ROOT / "openapi.json").read_text())


_CHECKS: Mapping[str, Callable[[Block], None]] = {
    "sh": _shell,
    "console": _console,
    "json": _json,
    "toml": _toml,
    "yaml": _yaml,
    "python": _python,
    "http": _http,
    "mermaid": _mermaid,
}
