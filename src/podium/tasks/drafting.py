"""From a client's request to the rows that the scheduler accepts: checks, order, defaults."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from podium.kernel.errors import (
    DependencyCycle,
    InvalidInput,
    PodiumError,
    SchemaMismatch,
    TooLarge,
)
from podium.kernel.fields import one_line
from podium.kernel.json_schema import Check, Finding, findings
from podium.kernel.json_text import holds_nul
from podium.kernel.redaction import redact_text
from podium.scheduler.model import Edge, NewTask
from podium.tasks.model import (
    JsonSchema,
    TaskBase,
    TaskInBulk,
    TaskNew,
    TaskOfSession,
    TaskOfTemplate,
)

MAX_EDGES = 100_000
_TITLE_CHARS = 80
_TURN_BYTES = 1_000_000
_TASK_BYTES = 1000
"""What a task costs besides its own bytes, in bytes."""
_SCHEMAS = ("input_schema", "output_schema")


def draft(
    request: TaskNew,
    *,
    task_id: UUID,
    project_id: UUID,
    lane_id: int,
    created_by: str,
    dependencies: tuple[Edge, ...],
    max_bytes: int,
    trace: Mapping[str, Any] | None = None,
) -> NewTask:
    """The row of one request; raises when its input or a schema is too large, or its deadline has
    passed. ``trace`` is where spans of its attempts belong."""
    _require_ahead(request.deadline)
    text = json_text(request.input, "input", max_bytes)
    for name in _SCHEMAS:
        if (schema := getattr(request, name)) is not None:
            json_text(schema, name, max_bytes)
    return NewTask(
        id=task_id,
        project_id=project_id,
        lane_id=lane_id,
        queue=request.queue,
        title=title_of(request),
        input=text,
        spec=spec_of(request, bool(dependencies), trace),
        created_by=created_by,
        priority=request.priority,
        labels=orjson.dumps(request.labels).decode() if request.labels else "{}",
        start_at=start_of(request),
        queue_timeout=request.timeouts.queue,
        deadline=request.deadline,
        dependencies=dependencies,
        on_dependency_failure=request.on_dependency_failure,
        limits=tuple(dict.fromkeys(request.limits)),
    )


def spec_of(
    request: TaskNew,
    depends: bool,  # noqa: FBT001
    trace: Mapping[str, Any] | None = None,
) -> str:
    """What worker and scheduler read of the request later, as JSON; defaults are left out."""
    given = request.model_fields_set
    spec: dict[str, Any] = {}
    if "timeouts" in given and (timeouts := request.timeouts.model_dump(exclude_none=True)):
        spec["timeouts"] = timeouts
    if "retry" in given and (retry := request.retry.model_dump(exclude_defaults=True)):
        spec["retry"] = retry
    if depends:
        spec["depends"] = True
    if depends or "on_dependency_failure" in given:
        spec["on_dependency_failure"] = request.on_dependency_failure
    if request.deadline is not None:
        spec["deadline"] = request.deadline.isoformat()
    if request.limits:
        spec["limits"] = list(dict.fromkeys(request.limits))
    if request.sticky is not None:
        spec["sticky"] = request.sticky
    if trace is not None:
        spec["trace"] = {**trace, "queue": request.queue}
    for name in _SCHEMAS:
        if name in given and (schema := getattr(request, name)) is not None:
            spec[name] = schema
    if isinstance(request, TaskOfTemplate):
        spec["template"] = request.template.model_dump()
    if isinstance(request, TaskOfSession):
        spec["session"] = {} if request.config is None else {"config": request.config}
    return orjson.dumps(spec).decode() if spec else "{}"


def start_of(request: TaskNew) -> datetime | None:
    if request.delay:
        return datetime.now(UTC) + timedelta(seconds=request.delay)
    return request.start_at


def _require_ahead(deadline: datetime | None) -> None:
    if deadline is not None and deadline <= datetime.now(UTC):
        raise InvalidInput(
            f"The deadline {deadline.isoformat()} has passed: the task could only fail.",
            hint="Give a later one, or none.",
            field="deadline",
        )


def title_of(request: TaskBase) -> str:
    """The title, or the first line of what is asked, or the agent's name; without secrets, because
    it stands in events and in messages."""
    if request.title:
        return redact_text(request.title)
    asked = request.input
    if isinstance(asked, dict):
        asked = asked.get("prompt")
    if isinstance(asked, str) and (line := _first_line(asked)):
        return line if len(line) <= _TITLE_CHARS else f"{line[: _TITLE_CHARS - 1]}…"
    return request.agent or ", ".join(request.capabilities)[:_TITLE_CHARS]


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return one_line(redact_text(lines[0])).strip() if lines else ""


def json_text(value: Any, field: str, max_bytes: int) -> str:
    """``value`` as JSON that PostgreSQL can keep."""
    text = orjson.dumps(value)
    if len(text) > max_bytes:
        raise TooLarge(
            f"The {field} has {len(text)} bytes; at most {max_bytes} are allowed.",
            hint="Keep large data in files and pass their paths or addresses.",
            field=field,
            limit=max_bytes,
        )
    if holds_nul(text):
        raise InvalidInput(
            f"The {field} holds NUL characters, which cannot be kept.",
            hint="Remove them, or encode the text, for example as base64.",
            field=field,
        )
    return text.decode()


async def schema_error(
    requests: Sequence[TaskNew], drafts: Sequence[NewTask]
) -> tuple[int, PodiumError] | None:
    """The place of the first task whose schemas cannot be used, or whose input does not match,
    and what is wrong. Raises ``SchemaTooCostly`` when that takes too much to find out."""
    checks: list[Check] = []
    origins: list[tuple[int, str]] = []
    for place, request in enumerate(requests):
        for name in _SCHEMAS:
            if (schema := getattr(request, name)) is not None:
                text = drafts[place].input.encode() if name == "input_schema" else None
                checks.append(Check(schema, text))
                origins.append((place, name))
    found = await findings(checks)
    wrong = (
        (place, _error(finding, name))
        for (place, name), finding in zip(origins, found, strict=True)
        if finding is not None
    )
    return next(wrong, None)


async def check_input(value: Any, schema: JsonSchema, max_bytes: int) -> None:
    """The input must match the schema declared for it."""
    text = json_text(value, "input", max_bytes).encode()
    if finding := (await findings([Check(schema, text)]))[0]:
        raise _error(finding, "input_schema")


def _error(finding: Finding, schema: str) -> PodiumError:
    if finding.what == "schema":
        return InvalidInput(
            f"{schema} is no JSON Schema that can be used: {finding.message}",
            hint="A schema may refer to its own parts only.",
            field=_place(schema, finding),
        )
    where = finding.place or "its top"
    return SchemaMismatch(
        f"The input does not match input_schema at {where}: {finding.message}",
        hint="Correct the input, or the task's input_schema.",
        field=_place("input", finding),
    )


def _place(field: str, finding: Finding) -> str:
    return f"{field}.{finding.place.replace('/', '.')}".rstrip(".")


async def request_hash(requests: Sequence[TaskBase]) -> bytes:
    """What tells two calls under one idempotency key apart; blind to the order of members."""
    call = hashlib.sha256()
    turn = 0
    for request in requests:
        given = request.model_dump(exclude_unset=True, exclude={"input"})
        if "input" in request.model_fields_set:
            given["input"] = request.input  # as it is: to copy it costs more than all else
        text = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
        call.update(hashlib.sha256(text).digest())
        turn += len(text) + _TASK_BYTES
        if turn > _TURN_BYTES:
            turn = 0
            await asyncio.sleep(0)  # let other requests have their turn
    return call.digest()


def check_edges(requests: Sequence[TaskNew]) -> None:
    """Raise ``InvalidInput`` when the tasks of one call have too many dependencies together."""
    count = sum(len(request.depends_on) for request in requests)
    if count > MAX_EDGES:
        raise InvalidInput(
            f"The tasks of this call have {count} dependencies together; at most {MAX_EDGES} are "
            "allowed.",
            hint="Put a task in between that waits for many and that many wait for, or submit the "
            "tasks in several calls.",
            field="tasks",
        )


def ordered(tasks: Sequence[TaskInBulk]) -> list[int]:
    """Positions of the tasks so that each comes after those of the call that it depends on."""
    place = refs_of(tasks)
    before = [[place[name] for name in task.depends_on if name in place] for task in tasks]
    after: list[list[int]] = [[] for _ in tasks]
    missing = [len(each) for each in before]
    for position, each in enumerate(before):
        for dependency in each:
            after[dependency].append(position)
    order = [position for position, count in enumerate(missing) if count == 0]
    for position in order:
        for successor in after[position]:
            missing[successor] -= 1
            if missing[successor] == 0:
                order.append(successor)
    if len(order) < len(tasks):
        stuck = [tasks[position].ref for position, count in enumerate(missing) if count > 0]
        names = ", ".join(str(name) for name in stuck[:10])
        raise DependencyCycle(
            f"These tasks depend on each other in a circle, or on one that does: {names}.",
            hint="Remove one of the dependencies.",
            refs=stuck[:100],
        )
    return order


def refs_of(tasks: Sequence[TaskInBulk]) -> dict[str, int]:
    """Position of each ref; raises when one is used twice."""
    place: dict[str, int] = {}
    for position, task in enumerate(tasks):
        if task.ref is None:
            continue
        if task.ref in place:
            raise InvalidInput(
                f"ref {task.ref!r} is used twice, by tasks {place[task.ref]} and {position}.",
                hint="Give each task a ref of its own.",
                field=f"tasks.{position}.ref",
            )
        place[task.ref] = position
    return place


def edges(names: Sequence[str], ids: Mapping[str, UUID]) -> tuple[Edge, ...]:
    """Dependencies of one task: names of the call by ``ids``, others as ids of tasks."""
    found: dict[UUID, Edge] = {}
    for position, name in enumerate(names):
        own = ids.get(name)
        if own is None:
            try:
                own = UUID(name)
            except ValueError:
                raise InvalidInput(
                    f"{name!r} is neither the id of a task nor a ref of this call.",
                    hint="Use the id that creating the task returned.",
                    field=f"depends_on.{position}",
                ) from None
        found[own] = Edge(own, name)
    return tuple(found.values())


def behind(task: NewTask, others: Sequence[UUID]) -> NewTask:
    """The task, to start once all the others have ended, however they did; it is given the output
    of the last of them as ``previous``, and those before it as ``previous-2`` and so on."""
    names = ["previous", *(f"previous-{n}" for n in range(2, len(others) + 1))]
    spec = {**orjson.loads(task.spec), "depends": True, "on_dependency_failure": "run"}
    return task._replace(
        spec=orjson.dumps(spec).decode(),
        dependencies=tuple(map(Edge, reversed(others), names)),
        on_dependency_failure="run",
    )
