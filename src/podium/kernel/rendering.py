"""What happens while a text with expressions is rendered: its budget, its filters, its values."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, NoReturn, cast

import orjson
from jinja2 import Undefined, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment

from podium.kernel.errors import InvalidInput

MOST_CHARS = 1_000_000
"""Of a text that was rendered, and of what a filter makes."""
_WORK = 2_000_000
"""Work of one rendering: a character counts 1, every other value and step ``STEP``. It comes to
less than 0.1 s."""
STEP = 20
WORK = "_work"
"""The name under which a rendering has its budget; no text can name it."""
_LOOP = frozenset({"index", "index0", "first", "last", "length"})


class Nothing(Undefined):
    """What a name stands for that has no value."""

    @property
    def asked(self) -> str:
        return str(self._undefined_name or "it")


class Work:
    """What is left of the work that one rendering may take."""

    def __init__(self) -> None:
        self.left = _WORK

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise InvalidInput(
                "Rendering the text takes too much work.",
                hint="Give smaller values, or let it loop over fewer of them.",
            )

    def weigh(self, found: object) -> None:
        """Spend what it costs to go through a value."""
        stack = [found]
        while stack:
            each = stack.pop()
            self.spend(STEP)
            if isinstance(each, str):
                self.spend(len(each))
            elif isinstance(each, dict):
                inner = cast("dict[str, object]", each)
                stack.extend(inner.values())
                self.spend(sum(map(len, inner)))
            elif isinstance(each, list | tuple):
                stack.extend(cast("Sequence[object]", each))


class _Environment(SandboxedEnvironment):
    """Reaches members of objects and lists only, and adds numbers only."""

    intercepted_binops = frozenset({"+", "-"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, dict) and isinstance(argument, str) and argument in obj:
            return cast("dict[str, Any]", obj)[argument]
        if isinstance(obj, list) and type(argument) is int:
            items = cast("list[Any]", obj)
            if -len(items) <= argument < len(items):
                return items[argument]
        return Nothing(name=str(argument)[:100])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        for each in (left, right):
            if isinstance(each, bool) or not isinstance(each, int | float):
                raise InvalidInput(
                    f"{operator} is for numbers.", hint="Write texts one after the other."
                )
        found = super().call_binop(context, operator, left, right)
        if isinstance(found, float) and not math.isfinite(found):
            raise InvalidInput(
                f"The result of {operator} is too large.", hint="Use smaller numbers."
            )
        return found


@pass_context
def _written(context: Context, found: Any) -> str:
    if isinstance(found, Nothing):
        no_value(found.asked)
    if isinstance(found, str):
        return found
    cast("Work", context[WORK]).weigh(found)
    return as_text(found)


def as_text(found: Any) -> str:
    """A value that is no text, as JSON."""
    try:
        return orjson.dumps(found).decode()
    except TypeError as error:  # a loop itself, a sum of more than 64 bits
        raise InvalidInput(f"A value has no text: {error}.", hint="Write another one.") from None


def no_value(name: str) -> NoReturn:
    raise InvalidInput(
        f"The text uses {name!r}, which has no value.",
        hint=f"Give it a value or a default, or write {{{{ {name} | default('…') }}}} or "
        f"{{% if {name} %}}.",
    )


def too_long() -> NoReturn:
    raise InvalidInput(
        f"The text comes to more than {MOST_CHARS} characters.", hint="Give shorter values."
    )


# -- filters -------------------------------------------------------------------------------------


def _default(found: Any, other: Any = "") -> Any:
    return other if isinstance(found, Nothing) or found is None else found


def _first(found: Sequence[Any]) -> Any:
    return found[0] if found else Nothing(name="first")


def _last(found: Sequence[Any]) -> Any:
    return found[-1] if found else Nothing(name="last")


def _indent(found: str, width: int = 4) -> str:
    """All lines but the first, as what stands before the expression indents that."""
    if not 0 <= width <= 80:
        raise ValueError("a width is 0 to 80")
    if len(found) + width * found.count("\n") > MOST_CHARS:
        too_long()
    return found.replace("\n", "\n" + " " * width)


def _join(found: Sequence[Any], between: str = "") -> str:
    parts = [each if isinstance(each, str) else as_text(each) for each in found]
    if sum(map(len, parts)) + len(between) * len(parts) > MOST_CHARS:
        too_long()
    return between.join(parts)


def _json(found: Any) -> str:
    made = as_text(found)
    if len(made) > MOST_CHARS:
        too_long()
    return made


FILTERS: Mapping[str, Callable[..., Any]] = {
    "default": _default,
    "first": _first,
    "indent": _indent,
    "join": _join,
    "json": _json,
    "last": _last,
    "length": len,
    "lower": str.lower,
    "trim": str.strip,
    "upper": str.upper,
}


def _paying(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, which is paid for by the size of what it is given."""

    @pass_context
    @wraps(function)
    def paying(context: Context, found: Any, *arguments: Any, **options: Any) -> Any:
        work = cast("Work", context[WORK])
        for each in (found, *arguments, *options.values()):
            work.weigh(each)
        if name != "default" and isinstance(found, Nothing):
            no_value(found.asked)
        try:
            return function(found, *arguments, **options)
        except (TypeError, ValueError, KeyError, AttributeError):
            raise InvalidInput(
                f"The filter {name!r} cannot be used like this, or with this value.",
                hint="lower, upper, trim and indent take texts, first and last lists, join a list "
                "and a text.",
            ) from None

    return paying


@pass_context
def _weighed(context: Context, found: Any) -> Any:
    cast("Work", context[WORK]).weigh(found)
    return found


@pass_context
def _steps(context: Context, found: Any, size: int) -> Iterator[Any]:
    """The items of a list, or the names in an object, each paid for by the size of the loop."""
    if not isinstance(found, list | dict | tuple | Nothing):
        raise InvalidInput("A loop goes over a list or an object.", hint="Give it one.")
    work = cast("Work", context[WORK])
    for each in cast("Sequence[Any]", found):
        work.spend(size * STEP)
        yield each


def _made() -> _Environment:
    made = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        undefined=Nothing,
        finalize=_written,
        cache_size=0,
    )
    made.globals.clear()
    made.filters = {name: _paying(name, function) for name, function in FILTERS.items()}
    made.filters |= {"_weighed": _weighed, "_steps": _steps}
    return made


ENVIRONMENT = _made()
