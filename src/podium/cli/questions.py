"""Questions on the terminal: for parameters of commands, and for fields of a JSON Schema."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, cast, get_args, get_origin

import questionary

from podium.cli.quick import Parameter
from podium.cli.text import clean, line

_MOST_IN_SIGHT = 15


def of(parameter: Parameter, context: Any, *, optional: bool = False) -> list[str]:
    """The answer for a parameter, as it is typed on a command line; nothing where it is optional
    and was left empty."""
    label = _label(parameter)
    kind = _kind(parameter)
    choices = _choices(kind) or _offered(parameter, context)
    if choices and not optional and not parameter.multiple:
        return [_select(label, choices)]
    answer = _typed(label, _checked_by(kind), optional=optional, offered=choices)
    if not answer:
        return []
    if parameter.name == "input":
        return [_as_json(answer)]
    if parameter.nargs == -1:
        return _words(answer)
    return [each.strip() for each in answer.split(",")] if parameter.multiple else [answer]


def which(parameters: Sequence[Parameter]) -> str:
    """The name of the one of several parameters that is to be given."""
    choices = [(str(each.name), _label(each)) for each in parameters]
    return _select("Give one of these", [(label, name) for name, label in choices])


def fields(
    schema: Mapping[str, Any],
    defaults: Mapping[str, Any],
    given: Collection[str],
    *,
    everything: bool,
) -> Iterator[tuple[str, str]]:
    """Names and values of an object's fields: of those that it must have and that are not given,
    or of all; an answer that is the default is left out."""
    required = cast("Sequence[str]", schema.get("required") or ())
    known = cast("Mapping[str, Mapping[str, Any]]", schema.get("properties") or {})
    needed = [name for name in required if name in known and name not in defaults]
    # Of an object, unlike of a list, PostgreSQL does not keep the order.
    others = sorted(known.keys() - set(needed)) if everything else []
    asked = [name for name in (*needed, *others) if name not in given]
    for name in asked:
        part = known[name]
        usual = defaults.get(name, part.get("default"))
        for value in _field(name, part, usual, required=name in required):
            if value != _shown(usual):
                yield name, value


def _field(name: str, part: Mapping[str, Any], usual: object, *, required: bool) -> Sequence[str]:
    about = line(str(part.get("description") or ""), 80)
    label = f"{name} ({about})" if about else name
    options = cast("Sequence[object] | None", part.get("enum"))
    if part.get("type") == "boolean":
        options = [True, False]
    if options is not None:
        choices = [(_shown(each), _shown(each)) for each in options]
        if not required and usual is None:
            choices.append(("(none)", ""))
        found = _select(label, choices, _shown(usual) or None)
        return [found] if found else []
    if part.get("type") == "array":
        return _items(label, part, required=required)
    answer = _typed(label, _checked_by_schema(part), optional=not required, usual=_shown(usual))
    return [answer] if answer else []


def _items(label: str, part: Mapping[str, Any], *, required: bool) -> Sequence[str]:
    """Items one by one, until one is left empty."""
    items = cast("Mapping[str, Any]", part.get("items") or {})
    found: list[str] = []
    while True:
        needed = required and not found
        more = label if not found else f"{label}, another"
        answer = _typed(more, _checked_by_schema(items), optional=not needed)
        if not answer:
            return found
        found.append(answer)


def _label(parameter: Parameter) -> str:
    about = str(getattr(parameter, "help", "") or "")
    name = max(parameter.opts, key=len).lstrip("-").replace("_", "-")
    return f"{name}: {line(about, 100)}" if about else name


def _kind(parameter: Parameter) -> Any:
    """The type of one value."""
    found: Any = parameter.type_descriptor.annotation
    inner = [each for each in get_args(found) if each is not type(None)]
    if get_origin(found) is not Literal and inner:
        found = inner[0]
        if get_origin(found) is list:
            found = get_args(found)[0]
    return found


def _choices(kind: Any) -> Sequence[tuple[str, str]]:
    """Labels and values of what is one of several."""
    if get_origin(kind) is Literal:
        return [(str(each), str(each)) for each in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [(str(each.value), str(each.value)) for each in kind]
    return ()


def _offered(parameter: Parameter, context: Any) -> Sequence[tuple[str, str]]:
    """What the shell would offer for it."""
    found = parameter.shell_complete(context, "")
    return [
        (f"{each.value}  {clean(each.help)}" if each.help else str(each.value), str(each.value))
        for each in found
        if each.type == "plain"
    ]


def _select(label: str, choices: Sequence[tuple[str, str]], usual: str | None = None) -> str:
    made = [questionary.Choice(title=line(title, 100), value=value) for title, value in choices]
    default = next((each for each in made if each.value == usual), None)
    many = len(made) > _MOST_IN_SIGHT
    question = questionary.select(
        label, made, default=default, use_search_filter=many, use_jk_keys=not many
    )
    return str(question.unsafe_ask())


def _typed(
    label: str,
    check: Callable[[str], str | None],
    *,
    optional: bool,
    usual: str = "",
    offered: Sequence[tuple[str, str]] = (),
) -> str:
    def valid(text: str) -> bool | str:
        if not text.strip():
            return True if optional else "It is needed."
        return check(text) or True

    label = f"{label} (may be left empty)" if optional and not usual else label
    if offered:
        words = [value for _, value in offered]
        question = questionary.autocomplete(label, words, default=usual, validate=valid)
    else:
        question = questionary.text(label, default=usual, validate=valid)
    return str(question.unsafe_ask()).strip()


def _checked_by(kind: Any) -> Callable[[str], str | None]:
    if kind in (int, float):
        told = "It must be a whole number." if kind is int else "It must be a number."
        return lambda text: None if _is(kind, text) else told
    return lambda _: None


def _is(kind: Callable[[str], object], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _checked_by_schema(part: Mapping[str, Any]) -> Callable[[str], str | None]:
    """What is wrong with a text as a value of a JSON Schema."""
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator(dict(part))
    text_only = part.get("type", "string") == "string"

    def check(text: str) -> str | None:
        value: object = text if text_only else _value(text)
        error = next(validator.iter_errors(value), None)
        return None if error is None else f"{error.message}."

    return check


def _value(text: str) -> object:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _as_json(text: str) -> str:
    """A text as the JSON that a task's input is, unless it is JSON already."""
    import msgspec

    if text == "-" or text.startswith("@"):
        return text
    value = _value(text)
    return msgspec.json.encode(text).decode() if value is text else text


def _words(text: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def _shown(value: object) -> str:
    import msgspec

    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
