"""Keeps pydantic off the quick path.

Typer converts every value by pydantic, also the text that needs no conversion and the option
that was not given; importing pydantic alone takes longer than the rest of a command's start.
Values that already are what they should be are passed on here; all others take Typer's way.
Should Typer change inside, commands work as before and only the start-up test fails.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from typer.core import TyperArgument, TyperOption

Parameter = TyperOption | TyperArgument


@dataclass(frozen=True, slots=True)
class _Conversion:
    """Stands before Typer's conversion of one parameter."""

    usual: Callable[[], Any]

    def coerce(self, value: Any, param: Parameter, ctx: Any) -> Any:
        kind: Any = param.type_descriptor.annotation
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if several and get_origin(kind) is list and get_args(kind) == (str,):
            return list(value)
        if not several and kind in {str, int, float, bool} and type(value) is kind:
            return value
        return self.usual().coerce(value, param=param, ctx=ctx)


def quicken() -> None:
    """Do this for every parameter of this process."""
    for kind in (TyperOption, TyperArgument):
        _stand_before(kind)


def _stand_before(kind: type[Parameter]) -> None:
    usual = kind.get_runtime_param
    if usual.__module__ == __name__:
        return

    def get_runtime_param(self: Any) -> Any:
        return _Conversion(lambda: usual(self))

    kind.get_runtime_param = get_runtime_param
