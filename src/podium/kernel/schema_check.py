"""Holds JSON values against JSON Schemas, and is the child process that does so within limits.

The child (``python -I -P -m podium.kernel.schema_check``) reads one JSON object from standard
input, ``{"schemas": […], "checks": [[index of the schema, text of the value or null], …]}``, and
writes the list of findings. Passing a limit ends it, which is all that its caller needs to know.
"""

import resource
import sys
from typing import Any, Literal, NamedTuple

import jsonschema_rs
import orjson

CPU_SECONDS = 2
MEMORY_BYTES = 512 * 2**20
OUT_OF_MEMORY = 75

_MESSAGE_CHARS = 500


class Finding(NamedTuple):
    """What is wrong: the schema itself, or the value. ``place`` is as ``steps/0/name``, empty
    for the top."""

    what: Literal["schema", "value"]
    place: str
    message: str


Options = jsonschema_rs.RegexOptions | None


def compiled(schema: dict[str, Any], patterns: Options) -> jsonschema_rs.Validator | Finding:
    """The schema ready for use. It reaches neither the network nor a file."""
    try:
        return jsonschema_rs.validator_for(schema, offline=True, pattern_options=patterns)
    except jsonschema_rs.ValidationError as error:
        return _finding("schema", error)


def compared(validator: jsonschema_rs.Validator, text: str | bytes) -> Finding | None:
    """The first place where the JSON ``text`` does not match."""
    value = orjson.loads(text)
    if validator.is_valid(value):  # costs no memory, unlike errors
        return None
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        return _finding("value", error)
    return None


def _finding(what: Literal["schema", "value"], error: jsonschema_rs.ValidationError) -> Finding:
    place = "/".join(str(part) for part in error.instance_path)
    return Finding(what, place, error.message[:_MESSAGE_CHARS])


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    if sys.platform == "linux":  # macOS refuses it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _answers(request: dict[str, Any]) -> list[list[str] | None]:
    schemas: list[dict[str, Any]] = request["schemas"]
    checks: list[tuple[int, str | None]] = request["checks"]
    validators = [compiled(schema, None) for schema in schemas]
    answers: list[list[str] | None] = []
    for number, text in checks:
        found = answer(validators[number], text)
        answers.append(None if found is None else list(found))
    return answers


def answer(
    validator: jsonschema_rs.Validator | Finding, text: str | bytes | None
) -> Finding | None:
    """What is wrong with the schema or, unless the text is None, with the value."""
    if isinstance(validator, Finding):
        return validator
    return None if text is None else compared(validator, text)


def main() -> int:
    """Be the child; the exit status."""
    _limit()
    try:
        answer = orjson.dumps(_answers(orjson.loads(sys.stdin.buffer.read())))
    except MemoryError:
        return OUT_OF_MEMORY
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
