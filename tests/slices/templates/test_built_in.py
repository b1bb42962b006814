"""The templates that come with Podium: usable, rendered whole, and never changed in secret."""

import re
from dataclasses import asdict
from hashlib import sha256
from typing import Any

import orjson
import pytest

from podium.tasks.model import TaskOfTemplate
from podium.templates import making, parameters
from podium.templates.builtin import templates
from podium.templates.model import Template
from podium.templates.views import TemplateNew, definition_of

LEAST: dict[str, dict[str, Any]] = {
    "bug-fix": {"repository": "/r", "report": "It stops."},
    "checkup": {"repository": "/r"},
    "code-review": {"repository": "/r", "branch": "feature"},
}
MOST: dict[str, dict[str, Any]] = {
    "bug-fix": {
        "base": "dev",
        "branch": "mend",
        "reproduction": "Press twice.",
        "tests": ["make test"],
        "keep": "the format of the file",
    },
    "checkup": {"head": "v1", "out": "/o", "skip": ["lint", "tests"], "run_project_tools": True},
    "code-review": {
        "base": "dev",
        "focus": ["performance"],
        "severity": "high",
        "most_findings": 3,
        "context": "It is urgent.",
    },
}
KNOWN = {
    "bug-fix": (1, "5696c77c8402cb57"),
    "checkup": (1, "bf07316276963e2e"),
    "code-review": (1, "0c6a688a37e8d622"),
}
"""Version and hash of each: whoever changes one gives it another version."""


def test_a_built_in_template_that_changes_gets_another_version() -> None:
    found = {name: (each.version, _hash(each)) for name, each in templates().items()}
    assert found == KNOWN


def _hash(template: Template) -> str:
    text = orjson.dumps(asdict(template.definition), option=orjson.OPT_SORT_KEYS)
    return sha256(text).hexdigest()[:16]


@pytest.mark.parametrize("name", KNOWN)
async def test_each_could_have_been_made_by_a_request(name: str) -> None:
    definition = templates()[name].definition
    body = TemplateNew.model_validate({"name": name, **asdict(definition)})
    assert definition_of(body) == definition
    await parameters.check_schema(definition.parameters, definition.defaults)
    making.check_texts(definition)


@pytest.mark.parametrize("name", KNOWN)
async def test_what_is_given_stands_in_the_prompt(name: str) -> None:
    template = templates()[name]
    schema = template.definition.parameters
    least = making.task(template, await parameters.checked(schema, {}, LEAST[name]), {})
    given = {**LEAST[name], **MOST[name]}
    assert given.keys() == parameters.properties(schema).keys()
    most = making.task(template, await parameters.checked(schema, {}, given), {})
    short, long = _prompt(least), _prompt(most)
    assert "/r" in short
    assert not re.search(r"[{}]|\bnull\b|\n\n\n", short + long)
    for field, value in given.items():
        if field != "skip" and not isinstance(value, bool):
            assert all(
                str(each) in long for each in (value if isinstance(value, list) else [value])
            )
    assert least.labels == {"template": name}
    assert least.title
    assert least.capabilities == [{"checkup": "checkup"}.get(name, "code")]


def _prompt(task: TaskOfTemplate) -> str:
    made: Any = task.input
    return made["prompt"]


async def test_a_checkup_is_given_what_its_agent_reads() -> None:
    template = templates()["checkup"]
    given = await parameters.checked(template.definition.parameters, {}, LEAST["checkup"])
    made: Any = making.task(template, given, {}).input
    assert {name: made[name] for name in made if name not in ("prompt", "parameters")} == {
        "repo": "/r",
        "skip": [],
        "run_project_tools": False,
    }
    assert "- tests:" in made["prompt"]
    given = await parameters.checked(
        template.definition.parameters, {}, {"repository": "/r", "skip": ["tests"]}
    )
    without: Any = making.task(template, given, {}).input
    assert "- tests:" not in without["prompt"]
