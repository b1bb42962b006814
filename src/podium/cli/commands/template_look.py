"""The part of ``podium template`` that shows templates, their versions and their tasks to be."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import output
from podium.cli.options import Json, Project, connect
from podium.cli.template_options import Name, Version
from podium.cli.text import clean, line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podium.client.models import Template, TemplatePreview


def add(app: typer.Typer) -> None:
    """Add these commands to the group."""
    app.command("list")(list_templates)
    for command in (show, versions):
        app.command()(command)


def list_templates(project: Project = None, json: Json = False) -> None:
    """List the templates by name, those that are built in among them."""
    with connect(project) as client:
        templates = list(client.templates.list())
    if json:
        output.emit(templates)
        return
    rows = [
        (each.name, _version(each), _for(each), _names(each), line(each.description, 200))
        for each in templates
    ]
    output.show_table(
        ("Name", "Version", "For", "Parameters", "What it is for"),
        rows,
        "There is no template.",
        fold=("What it is for",),
        drop=("Parameters",),
    )


def show(
    name: Name,
    version: Version = None,
    built_in: Annotated[
        bool, typer.Option("--built-in", help="As it is built in, whatever the project changed.")
    ] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show one template with its parameters and its prompt."""
    with connect(project) as client:
        template = client.templates.get(name, version, built_in=built_in)
    tell(template, json=json)


def versions(
    name: Name,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="NUMBER", help="At most so many.")
    ] = 50,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show its versions, the newest first."""
    with connect(project) as client:
        found = list(client.templates.versions(name, limit=limit))
    if json:
        output.emit(found)
        return
    rows = [(_version(each), each.created_at, each.created_by, _for(each)) for each in found]
    output.show_table(("Version", "Made", "By", "For"), rows, "There is none.")


def tell(template: "Template", *, json: bool) -> None:
    """Print a template."""
    if json:
        output.emit(template)
        return
    output.show_fields(
        {
            "Name": template.name,
            "Project": template.project,
            "Version": _version(template),
            "Built in": _built_in(template),
            "About": clean(template.description) or None,
            "For": _for(template),
            "Task": _task(template),
            "Approval": "required" if template.requires_approval else None,
            "Made": template.created_at,
            "By": template.created_by,
        }
    )
    if rows := [*_parameters(template)]:
        output.divide("Parameters")
        headers = ("Name", "Type", "Default", "What it is")
        output.show_table(headers, rows, "It has none.", fold=("What it is",))
    output.divide("Prompt")
    output.say(clean(template.prompt).rstrip("\n"))


def show_preview(preview: "TemplatePreview") -> None:
    """Print the task that would be submitted."""
    used, task = preview.template, dict(preview.task)
    prompt, parameters, task["input"] = _parts(task.get("input"))
    output.show_fields(
        {
            "Template": f"{used.name} v{used.version}{' (built in)' if used.built_in else ''}",
            "Approval": "required: it cannot be started" if preview.requires_approval else None,
            "Title": task.pop("title", None),
            "For": task.pop("agent", None) or ", ".join(task.pop("capabilities", None) or ()),
            **{
                name.capitalize().replace("_", " "): _shown(value)
                for name, value in task.items()
                if value is not None
            },
        }
    )
    if parameters:
        output.divide("Parameters")
        rows = [(name, _shown(value)) for name, value in parameters.items()]
        output.show_table(("Parameter", "Value"), rows, "It has none.", fold=("Value",))
    if prompt is not None:
        output.divide("Prompt")
        output.say(clean(prompt).rstrip("\n"))


def _parts(given: object) -> "tuple[str | None, Mapping[str, object], object]":
    """The prompt and the parameters of a task's input, if it has such, and what else it has."""
    if not isinstance(given, dict):
        return None, {}, given
    rest = dict(cast("dict[str, object]", given))
    prompt = rest.pop("prompt") if isinstance(rest.get("prompt"), str) else None
    named = rest.pop("parameters") if isinstance(rest.get("parameters"), dict) else None
    parameters = cast("dict[str, object]", named or {})
    return cast("str | None", prompt), parameters, rest or None


def _shown(value: object) -> str:
    """A value within a table: text as it is, an object of plain values on a line, else JSON."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return output.pretty(value)
    members = cast("dict[str, object]", value)
    if any(isinstance(each, dict | list) for each in members.values()):
        return output.pretty(members)
    return ", ".join(f"{name}={_shown(each)}" for name, each in members.items())


def _version(template: "Template") -> str:
    return f"{template.version}{' (built in)' if template.source == 'built_in' else ''}"


def _built_in(template: "Template") -> str | None:
    """How the project's own is to what is built in under its name."""
    if template.source == "built_in" or template.built_in_version is None:
        return None
    told = f"version {template.built_in_version}"
    if template.based_on not in (None, template.built_in_version):
        told += f"; this was made from version {template.based_on}"
    return f"{told}; changed here: {', '.join(template.changed) or 'nothing'}"


def _for(template: "Template") -> str:
    task = template.task
    return str(task.get("agent") or ", ".join(map(str, task.get("capabilities") or ())))


def _task(template: "Template") -> str | None:
    """All that its task has beside whom it is for."""
    rest = {k: v for k, v in template.task.items() if k not in ("agent", "capabilities")}
    return output.pretty(rest) if rest else None


def _properties(template: "Template") -> dict[str, dict[str, object]]:
    return cast("dict[str, dict[str, object]]", template.parameters.get("properties") or {})


def _names(template: "Template") -> str:
    return ", ".join(_properties(template))


def _parameters(template: "Template") -> "list[tuple[str, str, str | None, str]]":
    """A row for each parameter; one that must be given is marked."""
    needed = cast("list[str]", template.parameters.get("required") or [])
    rows: list[tuple[str, str, str | None, str]] = []
    for name, part in _properties(template).items():
        default = template.defaults.get(name, part.get("default"))
        kind = str(part.get("type") or "")
        if choices := part.get("enum"):
            kind = ", ".join(map(str, cast("list[object]", choices)))
        needs = name in needed and default is None
        shown = "(must be given)" if needs else None if default is None else output.pretty(default)
        rows.append((name, kind, shown, line(str(part.get("description") or ""), 200)))
    return rows
