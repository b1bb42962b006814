"""Finds, calls and judges user functions. Used by the worker and by ``function_host`` alike."""

import dataclasses
import importlib
import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol
from uuid import UUID

from podium.agents.runtime import JSON_ONLY, Dependency, Json, Said, Stream
from podium.kernel.errors import AttemptFailed, ErrorClass, InvalidInput
from podium.kernel.redaction import beginning, ending

ENTRY_POINTS = "podium.functions"
SETTING = "PODIUM_FUNCTION_MODULES"
_TRACEBACK_LIMIT = 8000
_MESSAGE_LIMIT = 2000
_CALLERS = (
    "podium.agents.runtimes",
    "asyncio",
    "importlib",
    "_frozen_importlib",
    "_frozen_importlib_external",
)
"""The modules through which a function is called or imported."""


class FunctionSession(Protocol):
    """The session in which a function runs."""

    @property
    def earlier(self) -> Sequence[Said]:
        """What was said before this attempt; empty in a first one."""
        ...

    def receive(self) -> Any:
        """The next input as a ``Said``, or None when the session was closed. The one before counts
        as answered with the call. An async function must await it."""
        ...

    def say(self, text: str, data: Json = None) -> None:
        """Say something."""
        ...

    def ask(self, text: str, data: Json = None) -> None:
        """Ask a person something, whose answer ``receive`` gives."""
        ...


class FunctionContext(Protocol):
    """What a function gets as its second argument, if it takes two or one named ``ctx``.

    Reports return at once. ``artifact`` copies the file before it returns; a function that runs
    inside the worker must await it, in a process of its own it may.
    """

    @property
    def task_id(self) -> UUID: ...
    @property
    def attempt(self) -> int: ...
    @property
    def project(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def input(self) -> Json: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def dependencies(self) -> Mapping[str, Dependency]: ...
    @property
    def workspace(self) -> Path: ...
    @property
    def session(self) -> FunctionSession | None:
        """None of a task that nobody talks to."""
        ...

    def log(self, text: str, stream: Stream = "agent") -> None:
        """Append text to the attempt's log."""
        ...

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        """Say how far the work is, from 0 to 1."""
        ...

    def usage(self, **counts: float) -> None:
        """Add to what the attempt consumed."""
        ...

    def heartbeat(self) -> None:
        """Show life."""
        ...

    def artifact(
        self, name: str, content: bytes | Path, content_type: str = "application/octet-stream"
    ) -> Any:
        """Keep a file with the task."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """A user function and how to call it."""

    call: Callable[..., Any]
    takes_context: bool
    is_async: bool

    def __call__(self, value: Json, context: Callable[[], FunctionContext]) -> Any:
        """Call it; the result of an async function has still to be awaited."""
        return self.call(value, context()) if self.takes_context else self.call(value)


def is_entry_point(reference: str) -> bool:
    """Whether the reference names an entry point rather than ``module:function``."""
    return ":" not in reference


def allows(module: str, prefixes: Sequence[str]) -> bool:
    """Whether a module is one of ``prefixes`` or inside one."""
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def check_reference(reference: str, prefixes: Sequence[str]) -> None:
    """Raise ``InvalidInput`` when the reference is malformed or its module is not allowed."""
    module, colon, name = reference.partition(":")
    if not colon:
        return
    if not all(part.isidentifier() for part in [*module.split("."), name]):
        raise InvalidInput(
            f"function: {reference!r} is neither an entry point's name nor module:function.",
            hint=f"Write package.module:function, or the name of an entry point of {ENTRY_POINTS}.",
        )
    if not allows(module, prefixes):
        raise InvalidInput(
            f"function: the module {module} is not among those that functions may be loaded from.",
            hint=f"Add it, or a package above it, to the setting {SETTING}, and restart the server "
            "and its workers with it: settings are read when they start.",
        )


def load(reference: str, prefixes: Sequence[str]) -> Function:
    """Import the function. Raises ``AttemptFailed`` that says why it cannot be used."""
    try:
        check_reference(reference, prefixes)
        found = _entry_point(reference) if is_entry_point(reference) else _attribute(reference)
    except InvalidInput as error:
        _unusable("function_not_allowed", error.message, error.hint, ErrorClass.PERMISSION)
    except AttemptFailed:
        raise
    except Exception as error:
        raise AttemptFailed(
            ErrorClass.AGENT,
            "function_import_failed",
            f"Importing {reference} failed: {described(error)}",
            hint="Run its import in the worker's environment to see the error; PYTHONPATH is that "
            "with which the worker was started.",
            detail={"traceback": _trace(error)},
        ) from error
    if not callable(found):
        _unusable("function_not_callable", f"{reference} is not a function.", None)
    defined_in = getattr(found, "__module__", None) or ""
    if not is_entry_point(reference) and not allows(defined_in, prefixes):
        _unusable(
            "function_not_allowed",
            f"{reference} is defined in {defined_in or 'no module'}, which is not allowed.",
            f"Add that module to the setting {SETTING}, or wrap it in a function of your own.",
            ErrorClass.PERMISSION,
        )
    return _described(found, reference)


def _entry_point(name: str) -> Any:
    from importlib.metadata import entry_points

    for each in entry_points(group=ENTRY_POINTS, name=name):
        return each.load()
    return _unusable(
        "function_not_found",
        f"No installed package publishes the function {name!r}.",
        f"Install it on this worker, or publish it in the entry point group {ENTRY_POINTS}; a "
        "function of a module is written MODULE:FUNCTION.",
    )


def _attribute(reference: str) -> Any:
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        return _unusable(
            "function_not_found",
            f"The module {module} has no function {name}.",
            "Correct the reference, or install the version that has it on this worker.",
        )


def _described(found: Any, reference: str) -> Function:
    positional = _positional(found)
    if positional is not None:
        needed = [each for each in positional if _is_needed(each)]
        if not positional or len(needed) > 2:
            _unusable(
                "function_signature",
                f"{reference} must take (input) or (input, ctx).",
                "Give it one or two positional parameters.",
            )
    is_async = inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(
        getattr(found, "__call__", None)  # noqa: B004 - is it async, not is it callable
    )
    return Function(found, takes_context=_takes_context(positional or []), is_async=is_async)


def _positional(found: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Its positional parameters; None of some built-in functions, which do not tell."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    return [each for each in parameters if each.kind in kinds]


def _is_needed(parameter: inspect.Parameter) -> bool:
    star = parameter.kind is inspect.Parameter.VAR_POSITIONAL
    return parameter.default is inspect.Parameter.empty and not star


def _takes_context(positional: Sequence[inspect.Parameter]) -> bool:
    """A second parameter is the context, unless it has a default and another name."""
    if len(positional) < 2:
        return False
    second = positional[1]
    return second.name in ("ctx", "context") or second.default is inspect.Parameter.empty


def _unusable(
    code: str, message: str, hint: str | None, error_class: ErrorClass = ErrorClass.AGENT
) -> NoReturn:
    raise AttemptFailed(error_class, code, message, hint=hint)


def to_json(value: Any) -> Json:
    """A function's return value as JSON: plain values, dataclasses, pydantic models, dates, UUIDs.

    Raises ``AttemptFailed`` (agent, output_not_json) for anything else.
    """
    if value is None or isinstance(value, str | bool):
        return value
    import orjson

    try:
        return orjson.loads(orjson.dumps(value, default=_modelled))
    except (TypeError, ValueError) as error:
        raise AttemptFailed(
            ErrorClass.AGENT,
            "output_not_json",
            f"The function's return value cannot be written as JSON: {error}.",
            hint=JSON_ONLY,
        ) from None


def _modelled(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None or isinstance(value, type):
        raise TypeError(f"{type(value).__name__} is no JSON type")
    return dump(mode="json")


def failure_of(error: BaseException) -> AttemptFailed:
    """What an exception of a function means for its attempt.

    An exception may carry ``error_class`` (a value of ``ErrorClass``), ``code`` and ``hint``; what
    it does not carry follows from its type.
    """
    if isinstance(error, AttemptFailed):
        return error
    detail = {"exception": type(error).__qualname__, "traceback": _trace(error)}
    hint = getattr(error, "hint", None)
    hint = hint if isinstance(hint, str) else None
    code = getattr(error, "code", None)
    declared = _declared_class(error)
    if declared is None or not isinstance(code, str):
        return AttemptFailed(
            _class_of(error), _code_of(error), described(error), hint=hint, detail=detail
        )
    return AttemptFailed(
        declared, code, beginning(str(error), _MESSAGE_LIMIT), hint=hint, detail=detail
    )


def _declared_class(error: BaseException) -> ErrorClass | None:
    declared = getattr(error, "error_class", None)
    return next((each for each in ErrorClass if each == declared), None)


def _class_of(error: BaseException) -> ErrorClass:
    return next((each for kinds, each in _CLASSES if isinstance(error, kinds)), ErrorClass.AGENT)


def _code_of(error: BaseException) -> str:
    return "memory_limit" if isinstance(error, MemoryError) else "exception"


_CLASSES: Sequence[tuple[type[BaseException], ErrorClass]] = (
    (TimeoutError, ErrorClass.TIMEOUT),
    (PermissionError, ErrorClass.PERMISSION),
    (ConnectionError, ErrorClass.TRANSIENT),
    (MemoryError, ErrorClass.RESOURCE),
    (InvalidInput, ErrorClass.INVALID_INPUT),
)


def described(error: BaseException) -> str:
    """The exception in one line."""
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    return beginning(text, _MESSAGE_LIMIT)


def _trace(error: BaseException) -> str:
    """The traceback from the function's own code on."""
    begins = error.__traceback__
    while begins is not None and _is_caller(begins.tb_frame):
        begins = begins.tb_next
    lines = traceback.format_exception(type(error), error, begins)
    return ending("".join(lines), _TRACEBACK_LIMIT)


def _is_caller(frame: FrameType) -> bool:
    spec = frame.f_globals.get("__spec__")  # its name holds for a module that is run, too
    return spec is not None and allows(spec.name, _CALLERS)
