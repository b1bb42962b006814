"""Texts with expressions, ``Review {{ branch }}``, in a small and bounded part of Jinja.

Who writes them is not trusted with this process. Of Jinja's language there are names, members,
comparisons, ``if``, ``for`` and a few filters of our own; nothing can be called, no attribute of a
Python object is reached, and each rendering has a budget of work and of length: Jinja's sandbox
alone lets a line of text take seconds and hundreds of megabytes.
"""

import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, NoReturn, cast

from jinja2 import (
    Template,
    TemplateSyntaxError,
    UndefinedError,
    meta,
    nodes,
)

from podium.kernel import rendering
from podium.kernel.errors import InvalidInput
from podium.kernel.rendering import (
    ENVIRONMENT,
    FILTERS,
    STEP,
    WORK,
    Nothing,
    Work,
    as_text,
    no_value,
    too_long,
)

MOST_CHARS = 65_536
"""Of a text before it is rendered."""
_MOST_TOKENS = 3_000
"""Words and signs in all expressions together; to read so many takes some 50 ms."""
_DEEPEST = 60
RESERVED = frozenset({"loop", "self"})
"""Names that mean something of their own."""

_STATEMENTS = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For)
_EXPRESSIONS = (
    *(nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Test),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr),
    *(nodes.Add, nodes.Sub, nodes.Neg, nodes.List, nodes.Tuple),
)
_ALLOWED = (*_STATEMENTS, *_EXPRESSIONS)
_TESTS = frozenset({"defined", "undefined", "none", "string", "number", "boolean", "mapping"})


class Missing:
    """What a lone expression comes to that has no value."""


MISSING = Missing()


class _Text(NamedTuple):
    """A text that was found to be usable. ``lone``: it is one expression and nothing else."""

    template: Template
    lone: bool
    names: frozenset[str]


class Values:
    """What the names in texts stand for. All texts that are rendered with it share one budget."""

    def __init__(self, named: Mapping[str, Any], work: Work | None = None) -> None:
        self._named = named
        self._work = work or Work()

    def joined(self, **others: Any) -> "Values":
        """These and others, with the same budget."""
        return Values({**self._named, **others}, self._work)

    def for_rendering(self) -> dict[str, Any]:
        return {**self._named, WORK: self._work}

    def spend(self, amount: int) -> None:
        self._work.spend(amount)


def is_plain(source: str) -> bool:
    """Whether a text has no expression, and nothing else that would be read."""
    return "{" not in source


def names(source: str) -> frozenset[str]:
    """The names of the values that a text uses. Raises ``InvalidInput`` when it cannot be used."""
    return _read(source).names


def text(source: str, values: Values) -> str:
    """The text with its expressions replaced; other values than text are written as JSON.

    Raises ``InvalidInput`` when it cannot be used, uses what has no value, or takes too much.
    """
    if is_plain(source):
        return source
    read = _read(source)
    if read.lone:
        found = _alone(read.template, values)
        if isinstance(found, Missing):
            no_value(next(iter(read.names), "it"))
        return found if isinstance(found, str) else as_text(found)
    return _rendered(read.template, values)


def value(source: str, values: Values) -> Any:
    """As ``text``, but a lone expression keeps its type, and is ``MISSING`` without a value."""
    if is_plain(source):
        return source
    read = _read(source)
    return _alone(read.template, values) if read.lone else _rendered(read.template, values)


def _rendered(template: Template, values: Values) -> str:
    parts: list[str] = []
    length = 0
    with _told():
        for part in template.generate(values.for_rendering()):
            values.spend(len(part) + STEP)
            length += len(part)
            if length > rendering.MOST_CHARS:
                too_long()
            parts.append(part)
    return "".join(parts)


def _alone(template: Template, values: Values) -> Any:
    context = template.new_context(values.for_rendering())
    with _told():
        for _ in template.root_render_func(context):
            pass
    found = context.vars["result"]
    return MISSING if isinstance(found, Nothing) else found


@contextmanager
def _told() -> Generator[None]:
    """What Python does not do with some values, such as to compare a number with a text."""
    try:
        yield
    except (TypeError, ValueError, UndefinedError) as error:
        raise InvalidInput(
            f"An expression cannot be used with these values: {error}.",
            hint="Look at what it compares, adds or loops over.",
        ) from None


# -- reading -------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _read(source: str) -> _Text:
    if len(source) > MOST_CHARS:
        raise InvalidInput(
            f"The text has {len(source)} characters; at most {MOST_CHARS} are allowed.",
            hint="Keep long texts in files that the agent reads.",
        )
    try:
        if sum(1 for _ in islice(_tokens(source), _MOST_TOKENS + 1)) > _MOST_TOKENS:
            raise _too_deep()
        tree = ENVIRONMENT.parse(source)
        _check(tree)
        used = frozenset(meta.find_undeclared_variables(tree))
        alone = _lone(tree)
        if alone is not None:
            result = nodes.Assign(nodes.Name("result", "store"), _bounded(alone), lineno=1)
            tree = nodes.Template([result], lineno=1)
        else:
            tree = cast("nodes.Template", _bounded(tree))
        tree.set_environment(ENVIRONMENT)
        code = ENVIRONMENT.compile(tree)
    except TemplateSyntaxError as error:
        raise InvalidInput(f"Line {error.lineno}: {error.message}", hint=_HINT) from None
    except ValueError:  # Python reads and writes no number of so many digits
        raise InvalidInput("A number in it is too long.", hint=_HINT) from None
    except (RecursionError, MemoryError, SyntaxError):  # the last two are of Python's compiler
        raise _too_deep() from None
    template = ENVIRONMENT.template_class.from_code(ENVIRONMENT, code, {})
    return _Text(template, alone is not None, used)


_HINT = (
    "Write {{ name }}, {{ name | default('none') }}, {% if name %}…{% endif %} or "
    "{% for each in names %}…{% endfor %}; braces that mean themselves stand in "
    "{% raw %}…{% endraw %}."
)


def _tokens(source: str) -> Iterator[str]:
    """The words and signs of all expressions, without the text around them."""
    return (kind for _, kind, _ in ENVIRONMENT.lex(source) if kind not in ("data", "whitespace"))


def _check(tree: nodes.Template) -> None:
    """Raise ``InvalidInput`` for what is not part of the language."""
    stack: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > _DEEPEST:
            raise _too_deep()
        if not isinstance(node, _ALLOWED):
            _refuse(node, f"{type(node).__name__} is not possible here.")
        if why := _why_not(node):
            _refuse(node, why)
        stack.extend((each, depth + 1) for each in node.iter_child_nodes())


def _why_not(node: nodes.Node) -> str | None:
    """What is wrong with a node of a kind that is allowed."""
    match node:
        case nodes.Name(name=str(name)) if name.startswith("_"):
            return f"The name {name!r} begins with an underscore."
        case nodes.Name(name="self"):
            return "The name 'self' is none of a value."
        case nodes.Filter(name=str(name)) if name not in ENVIRONMENT.filters:
            return f"There is no filter {name!r}; there are: {', '.join(FILTERS)}."
        case nodes.Filter(node=None):
            return "A filter stands behind a value."
        case nodes.Test(name=str(name)) if name not in _TESTS:
            return f"There is no test {name!r}; there are: {', '.join(sorted(_TESTS))}."
        case nodes.List(items=items) | nodes.Tuple(items=items, ctx="load") if not all(
            isinstance(item, nodes.Const) for item in items
        ):
            return "A list that is written out holds plain values only."
        case nodes.Const(value=float(value)) if math.isinf(value):
            return "A number in it is too large."
        case nodes.For(recursive=True):
            return "A loop cannot be recursive."
        case _:
            return None


def _refuse(node: nodes.Node, why: str) -> NoReturn:
    raise InvalidInput(f"Line {node.lineno}: {why}", hint=_HINT)


def _too_deep() -> InvalidInput:
    return InvalidInput(
        "The text is nested too deeply, or has too many expressions.", hint="Make it simpler."
    )


def _lone(tree: nodes.Template) -> nodes.Expr | None:
    """The expression, when there is nothing but one."""
    outputs = [part for each in tree.body if isinstance(each, nodes.Output) for part in each.nodes]
    said = [
        part
        for part in outputs
        if not (isinstance(part, nodes.TemplateData) and not part.data.strip())
    ]
    if len(said) != 1 or isinstance(said[0], nodes.TemplateData):
        return None
    only_outputs = all(isinstance(each, nodes.Output) for each in tree.body)
    return said[0] if only_outputs else None


def _bounded(node: nodes.Node) -> Any:
    """The node with everything in it paid for that does not come at a fixed price."""
    for field, found in node.iter_fields():
        if isinstance(found, nodes.Node):
            setattr(node, field, _bounded(found))
        elif isinstance(found, list):
            items = cast("list[Any]", found)
            setattr(node, field, [_bounded(x) if isinstance(x, nodes.Node) else x for x in items])
    match node:
        case nodes.For():
            each_time = [*node.body, *([node.test] if node.test else [])]
            size = sum(1 + sum(1 for _ in part.find_all(nodes.Node)) for part in each_time)
            node.iter = _paid(node.iter, "_steps", nodes.Const(size + 1, lineno=node.lineno))
        case nodes.Compare():
            node.expr = _paid(node.expr, "_weighed")
        case nodes.Operand():
            node.expr = _paid(node.expr, "_weighed")
        case _:
            pass
    return node


def _paid(node: nodes.Node, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(
        cast("nodes.Expr", node), name, list(arguments), [], None, None, lineno=node.lineno
    )
