"""How the end of an agent's run becomes the end of an attempt."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import orjson

from podium.agents.runtime import JSON_ONLY
from podium.kernel.errors import (
    NEVER_RETRIED,
    AttemptFailed,
    ErrorClass,
    SchemaTooCostly,
    Unavailable,
)
from podium.kernel.json_schema import Check, findings
from podium.kernel.json_text import holds_nul
from podium.kernel.redaction import beginning, redact
from podium.scheduler.model import Claimed, RetryPolicy, Settlement
from podium.worker.attempt import Attempt
from podium.worker.text import clean

_STOPPED = {
    "run_timeout": "The attempt ran longer than its run timeout of {run:g} s.",
    "heartbeat_timeout": "The attempt gave no sign of life for {heartbeat:g} s.",
    "deadline_passed": "The attempt did not end before the task's deadline.",
}
_MAX_ERROR_CHARS = 16_000
_LONGEST_WAIT = 86400.0


def succeeded(attempt: Attempt, output: bytes) -> Settlement:
    """The attempt did its work; ``output`` is JSON."""
    return Settlement(
        attempt.task_id, attempt.attempt, "succeeded", output=output.decode(), usage=usage(attempt)
    )


def parked(attempt: Attempt, key: str) -> Settlement:
    """The attempt gave up its slot until ``key`` is signalled."""
    return Settlement(
        attempt.task_id, attempt.attempt, "parked", park_key=key, usage=usage(attempt)
    )


def released(attempt: Attempt) -> Settlement:
    """The attempt is handed back for no fault of its own."""
    return Settlement(attempt.task_id, attempt.attempt, "released", usage=usage(attempt))


def stopped(attempt: Attempt) -> Settlement | None:
    """The attempt ended because it was told to; None when its lease is gone."""
    reason = attempt.stop_reason
    if reason == "lease_lost":
        return None
    if reason == "released":
        return released(attempt)
    if reason == "cancelled":
        return Settlement(attempt.task_id, attempt.attempt, "cancelled", usage=usage(attempt))
    code = reason or "run_timeout"
    limits = {"run": 0.0, "heartbeat": 0.0} | {
        name: value for name, value in attempt.claimed.spec.get("timeouts", {}).items() if value
    }
    message = _STOPPED[code].format(**limits)
    return failed(attempt, AttemptFailed(ErrorClass.TIMEOUT, code, message))


def failed(attempt: Attempt, error: AttemptFailed) -> Settlement:
    """The attempt failed: again after a while, or for good."""
    claimed = attempt.claimed
    policy = RetryPolicy.model_validate(claimed.spec.get("retry", {}))
    retryable = error.error_class not in NEVER_RETRIED
    delay = max(policy.delay(claimed.failures + 1), _asked(error.retry_after))
    if _too_late(claimed, delay):
        how, delay = "failed", None
    elif retryable and claimed.failures < policy.max_retries:
        how = "retry"
    else:
        how, delay = "dead" if retryable and policy.max_retries else "failed", None
    return Settlement(
        claimed.task_id,
        claimed.attempt,
        how,
        error=error_json(error),
        delay=delay,
        usage=usage(attempt),
    )


def _too_late(claimed: Claimed, delay: float) -> bool:
    """Whether another attempt could only begin after the task's deadline."""
    deadline = claimed.spec.get("deadline")
    if deadline is None:
        return False
    return datetime.now(UTC) + timedelta(seconds=delay) >= datetime.fromisoformat(deadline)


def _asked(seconds: float | None) -> float:
    """How long the agent wants to wait, as far as that makes sense."""
    return min(seconds, _LONGEST_WAIT) if seconds and math.isfinite(seconds) else 0.0


def unexpected(task_id: UUID, attempt: int, error: BaseException) -> Settlement:
    """The attempt ended in a way that nobody thought of: it failed for good, and says why."""
    return _plainly_failed(
        task_id,
        attempt,
        "runtime_crashed",
        f"The attempt ended with {_told(error)}",
        "If its function raised that, have it raise an ordinary exception; the worker's log tells "
        "where it came from.",
    )


def unsettleable(end: Settlement, error: BaseException) -> Settlement:
    """The database refused this very result: the attempt failed, and says why."""
    return _plainly_failed(
        end.task_id,
        end.attempt,
        "output_refused",
        f"The output could not be stored: {_told(error)}",
        "Have the agent return less, or plainer data.",
    )


def _plainly_failed(task_id: UUID, attempt: int, code: str, message: str, hint: str) -> Settlement:
    """Nothing of the agent's is in it that could be refused once more."""
    failure = AttemptFailed(ErrorClass.AGENT, code, message, hint=hint)
    return Settlement(task_id, attempt, "failed", error=error_json(failure))


def _told(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        return f"{kind}: {beginning(str(error), 500)}"
    except Exception:  # noqa: BLE001 - an exception of the agent's own that cannot be shown
        return kind


async def check_output(claimed: Claimed, output: bytes) -> None:
    """Raise ``AttemptFailed`` when the JSON does not match the schema declared for it."""
    schema = claimed.spec.get("output_schema")
    if schema is None:
        return
    try:
        wrong = (await findings([Check(schema, output)]))[0]
    except SchemaTooCostly as error:  # another attempt would take as much
        raise AttemptFailed(
            ErrorClass.INVALID_INPUT, error.code, error.message, hint=error.hint
        ) from None
    except Unavailable as error:
        raise AttemptFailed(
            ErrorClass.RESOURCE, "output_not_checked", error.message, hint=error.hint
        ) from None
    if wrong is not None:
        raise AttemptFailed(
            ErrorClass.AGENT,
            "output_schema_mismatch",
            f"The output does not match its schema at {wrong.place or 'its top'}: {wrong.message}",
            hint="Correct the agent, or the task's output_schema.",
        )


def to_json(output: Any) -> bytes:
    """The output as JSON, or ``AttemptFailed`` when it cannot be one."""
    try:
        content = orjson.dumps(output, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError) as error:
        raise AttemptFailed(
            ErrorClass.AGENT,
            "output_not_json",
            f"The output cannot be written as JSON: {error}.",
            hint=JSON_ONLY,
        ) from None
    if holds_nul(content):
        raise AttemptFailed(
            ErrorClass.AGENT,
            "output_not_json",
            "The output holds NUL characters.",
            hint="Remove them, or encode the text, for example as base64.",
        )
    return content


def usage(attempt: Attempt) -> str | None:
    """What the attempt consumed, as JSON text."""
    return orjson.dumps(attempt.spent).decode() if attempt.spent else None


def error_json(failure: AttemptFailed) -> str:
    """The error as it is stored: redacted, cleaned and bounded in size."""
    error: Mapping[str, Any] = _cleaned(redact(failure.as_dict()))
    text = orjson.dumps(error).decode()
    if len(text) > _MAX_ERROR_CHARS:
        short = {name: str(error[name])[:200] for name in ("class", "code")}
        text = orjson.dumps(short | {"message": str(error["message"])[:4000]}).decode()
    return text


def _cleaned(value: Any) -> Any:
    """A copy of what ``redact`` gives that JSON and PostgreSQL can hold."""
    match value:
        case str():
            return clean(value)
        case dict():
            items = cast("Mapping[Any, Any]", value).items()
            return {clean(str(name)): _cleaned(item) for name, item in items}
        case list():
            return [_cleaned(item) for item in cast("list[Any]", value)]
        case int() if abs(value) >= 2**63:
            return str(value)
        case _:
            return value
