"""Podium's errors. Each carries a stable code and is mapped once per door.

A message says what was wrong and where; ``hint`` says what to do about it.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, ClassVar


class PodiumError(Exception):
    """Base of every error that Podium reports on purpose.

    ``code`` is stable and documented, as is ``advice``, what to do about any such error;
    ``status`` is the HTTP status it maps to; ``context``
    is machine-readable detail (ids, limits, fields) and must never hold a secret.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    advice: ClassVar[str] = "Look for `request_id` in the log of the server."

    def __init__(self, message: str, *, hint: str | None = None, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context: Mapping[str, Any] = context


@contextmanager
def within(place: str) -> Generator[None]:
    """Let errors tell their ``field`` as a part of the field ``place``."""
    try:
        yield
    except PodiumError as error:
        field = str(error.context.get("field", ""))
        error.context = {**error.context, "field": f"{place}.{field}".rstrip(".")}
        raise


class InvalidInput(PodiumError):
    """The request is well-formed but what it asks for cannot be."""

    code = "invalid_input"
    status = 422
    title = "Invalid input"
    advice = "Correct the fields in `errors`."


class SchemaMismatch(InvalidInput):
    """A value does not match the JSON Schema that was declared for it."""

    code = "schema_mismatch"
    title = "Value does not match its schema"
    advice = "Correct the value, or the schema of the agent."


class SchemaTooCostly(InvalidInput):
    """Checking against the JSON Schema would take more time or memory than it may."""

    code = "schema_too_costly"
    title = "JSON Schema takes too much to check"
    advice = "Simplify the schema."


class DependencyCycle(InvalidInput):
    """The tasks of one call depend on each other in a circle."""

    code = "dependency_cycle"
    title = "Dependencies form a cycle"
    advice = "Take out one of the dependencies that are named."


class Unauthenticated(PodiumError):
    """No valid credential came with the request."""

    code = "unauthenticated"
    status = 401
    title = "Not signed in"
    advice = "Send a token: `Authorization: Bearer TOKEN`. `podium token create` makes one."


class Forbidden(PodiumError):
    """The principal is known and may not do this."""

    code = "forbidden"
    status = 403
    title = "Not allowed"
    advice = "Use a token with the scope that the detail names."


class NeedsAdmin(Forbidden):
    """What is asked for lifts a guard, which only the scope ``admin`` may."""

    code = "needs_admin"
    title = "Only an administrator may do this"
    advice = "Ask an administrator."


class NotFound(PodiumError):
    """What the request names does not exist, or the principal may not see it."""

    code = "not_found"
    status = 404
    title = "Not found"
    advice = "Look at the id or name, and at the projects that the token reaches."


class Conflict(PodiumError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"
    status = 409
    title = "Conflict"
    advice = "Look at the thing, then decide; the hint says how."


class IdempotencyMismatch(Conflict):
    """An idempotency key came again with a different request."""

    code = "idempotency_mismatch"
    title = "Idempotency key was used for a different request"
    advice = "Use another key for another request."


class QueueDraining(Conflict):
    """The queue takes no new tasks."""

    code = "queue_draining"
    title = "Queue takes no new tasks"
    advice = "Use another queue, or open it: `podium queue`."


class Gone(PodiumError):
    """A cursor points before what is still kept."""

    code = "gone"
    status = 410
    title = "No longer kept"
    advice = "Read the state anew, and follow from the cursor in the answer."


class TooLarge(PodiumError):
    """A body or a field passes its size limit."""

    code = "too_large"
    status = 413
    title = "Too large"
    advice = "Send less; the limits are settings."


class RateLimited(PodiumError):
    """The principal passed its request rate."""

    code = "rate_limited"
    status = 429
    title = "Too many requests"
    advice = "Wait for `Retry-After` seconds."


class Unavailable(PodiumError):
    """PostgreSQL or the store of artifacts cannot be used now; nothing was changed."""

    code = "unavailable"
    status = 503
    title = "Temporarily unavailable"
    advice = "Ask again after `Retry-After` seconds; `podium doctor` looks for the cause."


class SettingsInvalid(PodiumError):
    """A setting has a value that Podium cannot use."""

    code = "settings_invalid"
    title = "Invalid settings"
    advice = "Correct the setting that is named."


class ErrorClass(StrEnum):
    """Why an attempt failed, as far as retrying is concerned."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    INVALID_INPUT = "invalid_input"
    PERMISSION = "permission"
    BUDGET = "budget"
    RESOURCE = "resource"
    AGENT = "agent"
    UNKNOWN = "unknown"


NEVER_RETRIED = frozenset({ErrorClass.INVALID_INPUT, ErrorClass.PERMISSION, ErrorClass.BUDGET})


class AttemptFailed(Exception):
    """Raised by a runtime when the agent's attempt did not succeed.

    ``code`` is a stable word such as ``exit_status`` or ``run_timeout``; ``detail`` is
    machine-readable and is stored with the attempt. ``retry_after`` (seconds) is the least
    wait before the next attempt, for agents that were told one.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        detail: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.code = code
        self.message = message
        self.hint = hint
        self.detail = dict(detail or {})
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, Any]:
        """The error as it is stored with the attempt and shown by every door."""
        shown = {"class": self.error_class.value, "code": self.code, "message": self.message}
        if self.hint:
            shown["hint"] = self.hint
        return shown | ({"detail": self.detail} if self.detail else {})


class LeaseRanOut(AttemptFailed):
    """The attempt was ended because the worker's lease ran out: no fault of the agent."""

    def __init__(self) -> None:
        super().__init__(
            ErrorClass.TRANSIENT,
            "lease_expired",
            "The worker's lease ran out before the agent ended.",
        )
