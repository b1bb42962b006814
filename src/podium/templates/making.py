"""From a template and what is given for one task to the task: pure, and the same each time."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import ValidationError

from podium.kernel import expressions
from podium.kernel.errors import InvalidInput, within
from podium.kernel.expressions import Values
from podium.kernel.fields import closest, one_line, told
from podium.tasks.model import TaskOfTemplate, TemplateUsed
from podium.templates import parameters as given_parameters
from podium.templates.model import Definition, Template

LABEL = "template"
_MOST_TITLE = 500
_MOST_TEXTS = 100
_MOST_CHARS = 16_384
_MERGED = ("labels", "timeouts", "retry")
"""Of these a task's own members come before those of the template, and the others stay."""


def check_texts(definition: Definition) -> None:
    """Raise ``InvalidInput`` for a text with an expression that cannot be used, or that uses what
    is no parameter."""
    known = {"parameters", *given_parameters.properties(definition.parameters)}
    with within("prompt"):
        _check_names(expressions.names(definition.prompt), known)
    task = definition.task
    with within("task.title"):
        _check_names(expressions.names(task.get("title") or ""), known)
    texts = [*_texts("task.input", task.get("input"))]
    if len(texts) > _MOST_TEXTS or sum(len(text) for _, text in texts) > _MOST_CHARS:
        raise InvalidInput(
            f"The input has more than {_MOST_TEXTS} texts with expressions, or they have more than "
            f"{_MOST_CHARS} characters together.",
            hint="Pass the whole {{ parameters }} on, and let the agent look into them.",
            field="task.input",
        )
    for place, text in texts:
        with within(place):
            _check_names(expressions.names(text), {"prompt", *known})


def _check_names(names: Iterable[str], known: Iterable[str]) -> None:
    known = sorted(known)
    for name in sorted(names):
        if name not in known:
            raise InvalidInput(
                f"The text uses {name[:100]!r}, which is no parameter{closest(name, known)}.",
                hint="Add it to the properties of `parameters`, or reach one whose name is no "
                "word as {{ parameters['its name'] }}.",
            )


def _texts(place: str, value: object) -> Iterable[tuple[str, str]]:
    """All texts with expressions in a JSON value, each with its place."""
    if isinstance(value, str):
        if not expressions.is_plain(value):
            yield place, value
    elif isinstance(value, dict):
        for name, each in cast("dict[str, object]", value).items():
            yield from _texts(f"{place}.{name}", each)
    elif isinstance(value, list):
        for number, each in enumerate(cast("list[object]", value)):
            yield from _texts(f"{place}.{number}", each)


def task(
    template: Template, parameters: Mapping[str, Any], changes: Mapping[str, Any]
) -> TaskOfTemplate:
    """The task of a template with checked parameters; ``changes`` are fields of a task that are
    given for this one alone. Raises ``InvalidInput`` when there can be no such task."""
    definition = template.definition
    values = Values({**parameters, "parameters": parameters})
    with within("prompt"):
        prompt = expressions.text(definition.prompt, values)
    made = _merged(definition.task, changes)
    if "title" not in changes and (title := definition.task.get("title")):
        with within("title"):
            made["title"] = one_line(expressions.text(title, values))[:_MOST_TITLE] or None
    made["input"] = {"prompt": prompt, "parameters": dict(parameters)}
    if "input" in definition.task:
        found = _filled(definition.task["input"], values.joined(prompt=prompt), "input")
        made["input"] = None if found is expressions.MISSING else found
    made["labels"] = {**(made.get("labels") or {}), LABEL: template.name}
    made["template"] = TemplateUsed(
        name=template.name, version=template.version, built_in=template.id is None
    )
    return _validated(made)


def _merged(task: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    made = {**task, **changes}
    for field in _MERGED:
        if field in changes:
            made[field] = {**(task.get(field) or {}), **changes[field]}
    if changes.get("agent"):  # one takes the other's place
        made = {**made, "capabilities": changes.get("capabilities", [])}
        if "sticky" not in changes:
            made.pop("sticky", None)
    elif changes.get("capabilities"):
        made.pop("agent", None)
    return made


def _filled(value: object, values: Values, place: str) -> Any:
    """The value with its texts rendered; what comes to nothing is left out of objects."""
    if isinstance(value, str):
        with within(place):
            return expressions.value(value, values)
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        filled = {name: _filled(each, values, f"{place}.{name}") for name, each in members}
        return {name: each for name, each in filled.items() if each is not expressions.MISSING}
    if isinstance(value, list):
        items = enumerate(cast("list[object]", value))
        found = [_filled(each, values, f"{place}.{number}") for number, each in items]
        return [each for each in found if each is not expressions.MISSING]
    return value


def _validated(made: Mapping[str, Any]) -> TaskOfTemplate:
    try:
        return TaskOfTemplate.model_validate(made)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, found["loc"]))
        message = told(found, TaskOfTemplate)
        raise InvalidInput(
            f"{f'{field}: ' if field else ''}{message}.",
            hint="It is what the template and this call come to together.",
            field=f"task.{field}".rstrip("."),
        ) from None
