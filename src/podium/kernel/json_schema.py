"""JSON Schema without its dangers: no schema reaches the network or a file, and what checking
costs is bounded.

A few lines of schema can ask for any amount of work: references double with each definition,
patterns backtrack, every error of an ``anyOf`` holds a copy of the value. What is sure to be
cheap, which is nearly all, is checked here; the rest in a child process with limits.
"""

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import jsonschema_rs
import orjson

from podium.kernel import schema_check
from podium.kernel.errors import SchemaTooCostly, Unavailable
from podium.kernel.schema_check import Finding
from podium.kernel.schema_cost import cost

_LARGEST = 4_000_000
"""Work of one check, in subschemas times bytes: about 50 ms, and 40 MB for its errors."""
_LARGEST_TOGETHER = 40_000_000
_COMPILING = 50
"""Work of a byte of a schema, to count and to compile it."""
_TURN = 1_000_000
_PATTERN_BYTES = 64 * 1024
_CHILD_SECONDS = 10.0
_PATIENCE_SECONDS = 30.0
_children = ThreadPoolExecutor(2, thread_name_prefix="json-schema")
_CHILD = (sys.executable, "-I", "-P", "-m", "podium.kernel.schema_check")


class Check(NamedTuple):
    """A schema, and the JSON text of the value to hold against it; None: only the schema."""

    schema: Mapping[str, Any]
    text: bytes | None


class _Schema(NamedTuple):
    cost: int
    validator: jsonschema_rs.Validator | Finding


async def findings(checks: Sequence[Check]) -> list[Finding | None]:
    """What is wrong in each check; None where nothing is.

    Drafts 4 to 2020-12, as a schema's ``$schema`` says; 2020-12 without one. It may refer to its
    own parts and to the drafts' own schemas, to nothing else. Raises ``SchemaTooCostly`` when
    those that are not sure to be cheap take too much together.
    """
    found: list[Finding | None] = []
    costly: list[int] = []
    spent = turn = 0
    for place, check in enumerate(checks):
        definition = orjson.dumps(check.schema, option=orjson.OPT_SORT_KEYS)
        schema = None if spent > _LARGEST_TOGETHER else _known(definition)
        spent += (used := _COMPILING * len(definition))
        work = schema.cost * len(check.text or b"1") if schema else 0
        if schema is None or work > _LARGEST or spent + work > _LARGEST_TOGETHER:
            costly.append(place)
            found.append(None)
        else:
            found.append(schema_check.answer(schema.validator, check.text))
            spent += work
            used += work
        turn += used
        if turn > _TURN:
            turn = 0
            await asyncio.sleep(0)  # let others have their turn
    if costly:
        elsewhere = await _in_child([checks[place] for place in costly])
        for place, finding in zip(costly, elsewhere, strict=True):
            found[place] = finding
    return found


@lru_cache(maxsize=256)
def _known(text: bytes) -> _Schema | None:
    """The schema, ready to be used here; None when it is not sure to be cheap."""
    schema = orjson.loads(text)
    found = cost(schema)
    if found is None:
        return None
    linear = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)
    validator = schema_check.compiled(schema, linear)
    if isinstance(validator, Finding) and b"pattern" in text:
        return None  # the child knows look-around and larger patterns, too
    return _Schema(found, validator)


async def _in_child(checks: Sequence[Check]) -> list[Finding | None]:
    schemas: dict[bytes, int] = {}
    pairs: list[tuple[int, str | None]] = []
    for schema, text in checks:
        number = schemas.setdefault(orjson.dumps(schema), len(schemas))
        pairs.append((number, None if text is None else text.decode()))
    request = {"schemas": [orjson.Fragment(each) for each in schemas], "checks": pairs}
    running = asyncio.get_running_loop().run_in_executor(_children, _run, orjson.dumps(request))
    try:
        answer = await asyncio.wait_for(running, _PATIENCE_SECONDS)
    except TimeoutError:
        raise Unavailable(
            "Too many JSON Schemas that are costly to check wait for it.", hint="Try again later."
        ) from None
    return [None if each is None else Finding(*each) for each in orjson.loads(answer)]


def _run(request: bytes) -> bytes:
    """What the child answers; ``SchemaTooCostly`` when it was ended by its limits."""
    try:
        child = subprocess.run(
            _CHILD,
            input=request,
            capture_output=True,
            cwd="/",
            env={},
            timeout=_CHILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_costly() from None
    except OSError as error:
        raise Unavailable(
            f"No process can be started to check a JSON Schema: {error}.",
            hint="See that this machine has memory and processes to spare, and try again.",
        ) from error
    if child.returncode < 0 or child.returncode == schema_check.OUT_OF_MEMORY:
        raise _too_costly()
    if child.returncode:
        raise RuntimeError(f"A JSON Schema was not checked: {child.stderr.decode()[-2000:]}")
    return child.stdout


def _too_costly() -> SchemaTooCostly:
    return SchemaTooCostly(
        f"Checking against the JSON Schema takes more than {schema_check.CPU_SECONDS} s or "
        f"{schema_check.MEMORY_BYTES // 2**20} MiB.",
        hint="Make the schema smaller: refer to the same definition from fewer places, let fewer "
        "alternatives stand in anyOf and oneOf, and keep patterns simple. Submit fewer tasks "
        "with such schemas at once.",
    )
