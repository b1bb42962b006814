"""The errors that the SDK raises, one class for each code that the API documents."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

Context = Mapping[str, Any]


class PodiumError(Exception):
    """Base of every error of the SDK. ``hint`` says what to do about it, where that is known."""

    code: str = "client"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConnectionFailed(PodiumError):
    """The server could not be reached, or the connection broke and did not come back."""

    code = "connection_failed"


class NoServer(ConnectionFailed):
    """Nothing says which server to use: no arguments, no ``PODIUM_URL``, no local server."""

    code = "no_server"


class ClientClosed(PodiumError):
    """The client was closed before it was used, or meanwhile."""

    code = "client_closed"


class InvalidResponse(PodiumError):
    """What answered does not speak Podium's API as this version of the SDK knows it."""

    code = "invalid_response"


class WaitTimeout(PodiumError, TimeoutError):
    """What was waited for did not happen in time. The task goes on."""

    code = "wait_timeout"


class ApiError(PodiumError):
    """The server refused a request.

    ``code`` is stable and documented, ``status`` the HTTP status, ``request_id`` names the
    request in the server's log, ``errors`` the fields that were wrong as ``field`` and
    ``message``, and ``context`` whatever else the problem document carried.
    """

    status: int = 500
    by_code: ClassVar[dict[str, type["ApiError"]]] = {}

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        hint: str | None = None,
        request_id: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        context: Context | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code or type(self).code
        self.status = status or type(self).status
        self.request_id = request_id
        self.errors = tuple(errors)
        self.context: Context = context or {}

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        ApiError.by_code[cls.code] = cls


class MalformedRequest(ApiError):
    """The request is no valid HTTP or JSON, or holds what can never be stored, such as NUL."""

    code = "malformed_request"
    status = 400


class InvalidInput(ApiError):
    """The request is well-formed but what it asks for cannot be."""

    code = "invalid_input"
    status = 422


class SchemaMismatch(InvalidInput):
    """A value does not match the JSON Schema that was declared for it."""

    code = "schema_mismatch"


class SchemaTooCostly(InvalidInput):
    """Checking a value against its JSON Schema takes longer than the server allows."""

    code = "schema_too_costly"


class DependencyCycle(InvalidInput):
    """The tasks of one call depend on each other in a circle."""

    code = "dependency_cycle"


class Unauthenticated(ApiError):
    """The token is missing, wrong, expired or revoked."""

    code = "unauthenticated"
    status = 401


class Forbidden(ApiError):
    """The token may not do this."""

    code = "forbidden"
    status = 403


class NeedsAdmin(Forbidden):
    """What is asked for lifts a guard, which only the scope ``admin`` may."""

    code = "needs_admin"


class OriginRefused(Forbidden):
    """The request names another site as the one whose page made it."""

    code = "origin_refused"


class NotFound(ApiError):
    """What the request names does not exist, or the token may not see it."""

    code = "not_found"
    status = 404


class MethodNotAllowed(ApiError):
    """The server knows the path, but not for this method: it may be of another version."""

    code = "method_not_allowed"
    status = 405


class Conflict(ApiError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"
    status = 409


class IdempotencyMismatch(Conflict):
    """An idempotency key came again with a different request."""

    code = "idempotency_mismatch"


class QueueDraining(Conflict):
    """The queue takes no new tasks."""

    code = "queue_draining"


class SessionEnded(Conflict):
    """The session has ended, or its agent has: nobody would hear what is said."""

    code = "session_ended"


class SessionClosed(Conflict):
    """The session is closed: its agent answers what was said, and ends."""

    code = "session_closed"


class NeedsApproval(Conflict):
    """Tasks of the template need an approval, which cannot be asked for yet."""

    code = "needs_approval"


class LeaseLost(Conflict):
    """A worker's lease ran out or was ended."""

    code = "lease_lost"


class Gone(ApiError):
    """A cursor points before what is still kept."""

    code = "gone"
    status = 410


class RangeUnsatisfiable(ApiError):
    """The range that was asked for begins beyond the end of the file."""

    code = "range_unsatisfiable"
    status = 416


class TooLarge(ApiError):
    """A body or a field passes its size limit."""

    code = "too_large"
    status = 413


class UnsupportedMediaType(ApiError):
    """A body is of a type that is not read there."""

    code = "unsupported_media_type"
    status = 415


class Misdirected(ApiError):
    """The server does not answer under the host name or address by which it was called."""

    code = "misdirected"
    status = 421


class RateLimited(ApiError):
    """The token passed its request rate."""

    code = "rate_limited"
    status = 429


class TooManyStreams(RateLimited):
    """The server serves as many streams as it may, in all or to the token."""

    code = "too_many_streams"


class ServerFault(ApiError):
    """The server failed. ``request_id`` finds the reason in its log."""

    code = "internal"
    status = 500


class DatabaseUnsupported(ServerFault):
    """The database server, or the schema in it, is not one that the server can use."""

    code = "database_unsupported"


class SettingsInvalid(ServerFault):
    """A setting of the server has a value that it cannot use."""

    code = "settings_invalid"


class Unavailable(ApiError):
    """The server cannot reach its database now, or its disk is full; nothing was changed."""

    code = "unavailable"
    status = 503


class OutcomeUnknown(ApiError):
    """The server lost its database before that answered: the change was made, or it was not."""

    code = "outcome_unknown"
    status = 503


_BY_STATUS: dict[int, type[ApiError]] = {
    kind.status: kind
    for kind in (
        MalformedRequest,
        InvalidInput,
        Unauthenticated,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        Gone,
        TooLarge,
        RangeUnsatisfiable,
        UnsupportedMediaType,
        Misdirected,
        RateLimited,
        Unavailable,
    )
}
_KNOWN = {"type", "title", "status", "detail", "code", "hint", "request_id", "errors"}


def api_error(status: int, problem: Mapping[str, Any]) -> ApiError:
    """The error for an RFC 9457 problem document.

    A code that this version does not know becomes the class of its status.
    """
    code = str(problem.get("code") or "")
    kind = ApiError.by_code.get(code) or _BY_STATUS.get(
        status, ServerFault if status >= 500 else ApiError
    )
    return kind(
        str(problem.get("detail") or problem.get("title") or f"The server answered {status}."),
        code=code or None,
        status=status,
        hint=problem.get("hint"),
        request_id=problem.get("request_id"),
        errors=problem.get("errors") or (),
        context={name: value for name, value in problem.items() if name not in _KNOWN},
    )
