"""The options that describe a template, and what is given for one of its tasks."""

from collections.abc import Mapping, Sequence
from typing import Annotated, cast

import typer

from podium.cli import completion
from podium.cli.options import json_object, text_value, wrong

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the template.",
        show_default=False,
        autocompletion=completion.templates,
    ),
]
NewName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the template.", show_default=False)
]
Prompt = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="What the agent is told, with parameters as {{ name }}; @FILE reads a file, - "
        "standard input.",
    ),
]
Schema = Annotated[
    str | None,
    typer.Option(
        metavar="JSON", help="JSON Schema of its parameters; @FILE reads a file, - standard input."
    ),
]
Description = Annotated[
    str | None, typer.Option("--description", "-d", metavar="TEXT", help="What it is for.")
]
Approval = Annotated[
    bool | None,
    typer.Option(
        "--requires-approval/--no-requires-approval",
        help="Whether its tasks need an approval; there are none yet, so that none could start.",
        show_default=False,
    ),
]
Defaults = Annotated[
    list[str] | None,
    typer.Option(
        "--default",
        metavar="NAME=VALUE",
        help="Value of a parameter that is not given; may be repeated.",
    ),
]
Unset = Annotated[
    list[str] | None,
    typer.Option(
        "--no-default",
        metavar="NAME",
        help="Take away what --default has set; may be repeated.",
    ),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A parameter; may be repeated, for a list to add to it.",
    ),
]
Parameters = Annotated[
    str | None,
    typer.Option(
        "--parameters",
        metavar="JSON",
        help="Parameters as a JSON object; @FILE reads a file, - standard input. --set comes "
        "before it.",
    ),
]
Version = Annotated[
    int | None,
    typer.Option(
        "--version", min=1, metavar="NUMBER", help="This version; unset, the one in force."
    ),
]


def parameters(
    schema: Mapping[str, object], whole: str | None, given: Sequence[str] | None
) -> dict[str, object]:
    """What is to be sent for ``--parameters`` and ``--set``."""
    found = {} if whole is None else dict(json_object(whole, "--parameters"))
    return {**found, **values(schema, given, "--set")}


def values(
    schema: Mapping[str, object], given: Sequence[str] | None, option: str
) -> dict[str, object]:
    """Values by name from ``name=value``, each of the type that the schema has for it."""
    known = cast("Mapping[str, Mapping[str, object]]", schema.get("properties") or {})
    made: dict[str, object] = {}
    for each in given or ():
        name, equals, text = each.partition("=")
        if not name or not equals:
            raise wrong(f"{option}: {each!r} is no value.", "Write it as name=value.")
        part = known.get(name) or {}
        value = _value(part, text, f"{option} {name}")
        if isinstance(value, _Item):
            added = cast("list[object]", made.setdefault(name, []))
            added.append(value.value)
        elif name in made:
            raise wrong(f"{option}: {name!r} is given twice.", "Give it once.")
        else:
            made[name] = value
    return made


class _Item:
    """One of the items of a list that is given one by one."""

    def __init__(self, value: object) -> None:
        self.value = value


def _value(schema: Mapping[str, object], text: str, option: str) -> object:
    kinds = _kinds(schema)
    if kinds == {"string"}:
        return text_value(text, option) if text.startswith("@") else text
    if kinds == {"array"} and not text.lstrip().startswith("["):
        items = schema.get("items")
        one: Mapping[str, object] = {}
        if isinstance(items, dict):
            one = cast("dict[str, object]", items)
        return _Item(_value(one, text, option))
    return _typed(text, kinds, option)


def _typed(text: str, kinds: set[str], option: str) -> object:
    """JSON, where it is some; else the text. The server tells what is wrong with the values, of
    all at once, but not how JSON is written."""
    import msgspec

    try:
        found: object = msgspec.json.decode(text)
    except (ValueError, msgspec.DecodeError):
        if kinds & {"array", "object"} and "string" not in kinds:
            expected = " or ".join(sorted(kinds))
            raise wrong(f"{option}: {text!r} is no {expected}.", "Write it as JSON.") from None
        return text
    return text if "string" in kinds and not isinstance(found, str) else found


def _kinds(schema: Mapping[str, object]) -> set[str]:
    """The types that a value may have; none where the schema does not say."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return {kind}
    if isinstance(kind, list):
        return set(cast("list[str]", kind))
    choices = schema.get("enum")
    if isinstance(choices, list) and all(
        isinstance(each, str) for each in cast("list[object]", choices)
    ):
        return {"string"}
    return set()
